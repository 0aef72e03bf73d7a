"""Does CouchDB believe the gate, and nobody else? Asked of `GET /_session`, in the name of somebody made up.

CouchDB (`couch_httpd_auth.erl`): with `proxy_use_secret` a claim with a wrong token counts as no claim; without it, or
without any `secret`, every claim is believed. Its JWT handler answers a token that it cannot verify with 400 or 401.
Handlers are asked in their order, and `default` refuses an `Authorization` that is not Basic.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable

from couchgate.commands.couchdb import CouchDB, Session
from couchgate.commands.findings import Finding, error, ini, ok, toml, warning
from couchgate.core.identity import JwtIntroduction, ProxyIntroduction, basic_line
from couchgate.core.principal import Principal
from couchgate.settings import UpstreamSettings

NAME = "couchgate-doctor"
DOCTOR = Principal("couchgate:doctor", NAME, (), None, None)
_HANDLERS = (
    "authentication_handlers = {chttpd_auth, cookie_authentication_handler}, "
    "{chttpd_auth, %s_authentication_handler}, {chttpd_auth, default_authentication_handler}"
)


async def introductions(couchdb: CouchDB, upstream: UpstreamSettings, anonymous: Session, now: float) -> list[Finding]:
    """What is right and wrong with `[upstream] auth`. `anonymous` is the session of nobody. Raises GateError."""
    checks: dict[str, Callable[[], Awaitable[list[Finding]]]] = {
        "proxy": lambda: _proxy(couchdb, upstream, anonymous, now),
        "jwt": lambda: _jwt(couchdb, upstream, anonymous, now),
        "basic": lambda: _basic(couchdb, upstream),
        "none": lambda: _none(anonymous),
    }
    return await checks[upstream.auth]()


def _handlers(kind: str, known: tuple[str, ...] | None) -> list[Finding]:
    """Whether the handler is there; where it stands matters for tokens only."""
    fix = ini("chttpd", _HANDLERS % kind)
    if known is None:
        return [warning("handlers", "CouchDB did not tell its authentication handlers, so their order is unseen.")]
    if kind not in known:
        return [error("handlers", f"CouchDB has no {kind} handler, so it does not believe the gate.", fix)]
    if kind == "jwt" and "default" in known[: known.index(kind)]:
        return [error("handlers", "CouchDB asks its default handler before jwt, and that refuses tokens.", fix)]
    return [ok("handlers", f"CouchDB asks its handlers in the order {', '.join(known)}.")]


async def _proxy(couchdb: CouchDB, upstream: UpstreamSettings, anonymous: Session, now: float) -> list[Finding]:
    secret = upstream.secret or b""

    async def takes(key: bytes, digest: str) -> Session:
        return await couchdb.session(ProxyIntroduction(key, digest).lines(DOCTOR, now)[0])

    claim = b"X-Auth-CouchDB-UserName: %b\r\n" % NAME.encode()
    forged = [
        await couchdb.session(claim),
        await couchdb.session(claim + b"X-Auth-CouchDB-Token: %b\r\n" % (b"0" * 64)),
    ]
    right = await takes(secret, upstream.hmac)
    found = _handlers("proxy", anonymous.handlers or right.handlers)
    if any(session.name == NAME for session in forged):
        fix = ini("chttpd_auth", "proxy_use_secret = true", "secret = (the line in upstream.secret_file)")
        sentence = (
            "CouchDB believes any name from anybody who reaches it: proxy_use_secret is off, or it has no secret."
        )
        unseen = warning("secret", "Whether the secret is right can be seen only when proxy_use_secret is on.")
        return [*found, error("proxy_use_secret", sentence, fix), unseen]
    if found[0].level == "error":
        return found
    found.append(ok("proxy_use_secret", "CouchDB does not believe a name without the right token."))
    if right.name == NAME:
        return [*found, ok("secret", f"CouchDB believes the gate's secret, with {upstream.hmac}.")]
    return [*found, await _proxy_fault(takes, secret, upstream.hmac)]


async def _proxy_fault(takes: Callable[[bytes, str], Awaitable[Session]], secret: bytes, digest: str) -> Finding:
    other = "sha1" if digest == "sha256" else "sha256"
    if (await takes(secret, other)).name == NAME:
        return error(
            "secret",
            f"The secret is right, but CouchDB does not take {digest}, only {other}.",
            ini("chttpd_auth", "hash_algorithms = sha256, sha"),
            toml("[upstream]", f'hmac = "{other}"'),
        )
    bare = secret.strip()
    if bare != secret and (await takes(bare, digest)).name == NAME:
        return error("secret", "The secret in upstream.secret_file has white space around it that CouchDB's has not.")
    return error(
        "secret",
        "CouchDB does not believe the gate: the two secrets differ, or the proxy handler is missing.",
        ini("chttpd_auth", "secret = (the line in upstream.secret_file)"),
        ini("chttpd", _HANDLERS % "proxy"),
    )


async def _jwt(couchdb: CouchDB, upstream: UpstreamSettings, anonymous: Session, now: float) -> list[Finding]:
    right = await couchdb.session(JwtIntroduction(upstream.secret or b"").lines(DOCTOR, now)[0])
    forged = await couchdb.session(JwtIntroduction(secrets.token_bytes(32)).lines(DOCTOR, now)[0])
    found = _handlers("jwt", anonymous.handlers or right.handlers)
    if forged.name == NAME:
        return [*found, error("jwt", "CouchDB believes a token that was signed with another secret; do not use it.")]
    if found[0].level == "error":
        return found
    if right.name == NAME:
        found.append(ok("secret", "CouchDB believes the gate's tokens, and no others."))
    else:
        found.append(
            error(
                "secret",
                f"CouchDB does not believe the gate's tokens (status {right.status}): the two secrets differ, the jwt "
                "handler is missing, or the clocks differ.",
                ini("jwt_keys", "hmac:_default = (base64 of upstream.secret_file, without a newline at its end)"),
                ini("chttpd", _HANDLERS % "jwt"),
            )
        )
    return found


async def _basic(couchdb: CouchDB, upstream: UpstreamSettings) -> list[Finding]:
    session = await couchdb.session(basic_line(upstream.username or "", upstream.password or ""))
    if session.name is None:
        return [
            error(
                "login",
                f"CouchDB refuses the name and password of [upstream] (status {session.status}).",
                toml("[upstream]", 'username = "…"', 'password_file = "…"'),
            )
        ]
    if "_admin" in session.roles:
        return [
            warning(
                "login",
                f"Every request is the administrator {session.name!a} to CouchDB, so only the gate's rules protect.",
                toml("[upstream]", 'auth = "proxy"', 'secret_file = "proxy.secret"'),
            )
        ]
    return [ok("login", f"CouchDB knows the service account {session.name!a}, which is no administrator.")]


async def _none(anonymous: Session) -> list[Finding]:
    if anonymous.status == 200:
        return [ok("login", 'CouchDB lets in requests without a name, as auth = "none" needs it.')]
    return [
        error(
            "login",
            'CouchDB lets in nobody without a name, and auth = "none" gives none.',
            toml("[upstream]", 'auth = "proxy"', 'secret_file = "proxy.secret"'),
            ini("chttpd", "require_valid_user = false"),
        )
    ]
