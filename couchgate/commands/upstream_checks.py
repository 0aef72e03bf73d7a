"""Is CouchDB as the gate needs it? What can be seen by asking, and with administrator's rights its configuration."""

from __future__ import annotations

import re
from collections.abc import Mapping

from couchgate.commands.couchdb import CouchDB, Reply, Session
from couchgate.commands.findings import Finding, error, ini, ok, toml, warning
from couchgate.commands.introductions import DOCTOR, introductions
from couchgate.core.errors import GateError
from couchgate.core.identity import basic_line
from couchgate.settings import Settings, UpstreamSettings
from couchgate.settings.network import is_loopback
from couchgate.wiring import introduction_of

_SKEW = 60.0  # seconds between two clocks that are worth a word
_JWT_SKEW = 240.0  # beyond this CouchDB would find the gate's tokens expired, or soon
_STRANGER = "https://couchgate-doctor.invalid"
_EVERYWHERE = frozenset(("0.0.0.0", "::", "any"))  # looked for, not listened to


async def examine_upstream(settings: Settings, couchdb: CouchDB, now: float) -> list[Finding]:
    """Everything about CouchDB, in the order in which one would mend it. Never fails."""
    upstream = settings.upstream
    try:
        anonymous = await couchdb.session()
    except GateError as problem:
        fix = toml("[upstream]", 'url = "http://127.0.0.1:5984"')
        return [error("reachable", f"{problem.reason.rstrip('.')}, at {where(upstream)}.", fix)]
    found = [ok("reachable", f"CouchDB answers at {where(upstream)}{_tls(upstream)}.")]
    try:
        found += await _looks(settings, couchdb, anonymous, now)
    except GateError as problem:
        found.append(error("reachable", f"It does not go on answering: {problem.reason}"))
    return found


def where(upstream: UpstreamSettings) -> str:
    """CouchDB's address."""
    return upstream.socket or f"{'https' if upstream.secure else 'http'}://{upstream.authority}"


def _tls(upstream: UpstreamSettings) -> str:
    return ", with a certificate that is good" if upstream.secure else ""


async def _looks(settings: Settings, couchdb: CouchDB, anonymous: Session, now: float) -> list[Finding]:
    upstream = settings.upstream
    origins = settings.cors.origins or (_STRANGER,)
    origin = b"Origin: %b\r\n" % origins[0].encode()
    name = introduction_of(upstream).lines(DOCTOR, now)[0] if anonymous.status == 401 else b""
    welcome = await couchdb.get(b"/", origin + name)
    found = [*_version(welcome), *_clock(welcome, upstream, now)]
    found += await _party(couchdb, anonymous)
    found += _nobody(upstream, anonymous)
    found += await introductions(couchdb, upstream, anonymous, now)
    found += await _own(couchdb, upstream)
    if not any(finding.check == "cors" for finding in found):
        found += _cors(welcome)
    found += _exposure(upstream)
    return found


def _version(welcome: Reply) -> list[Finding]:
    value = welcome.value if isinstance(welcome.value, dict) else {}
    version = value.get("version")
    if welcome.status != 200:
        return [warning("version", f"CouchDB does not tell its version (status {welcome.status} to GET /).")]
    if "couchdb" not in value or not isinstance(version, str):
        return [warning("version", "What answers does not say that it is CouchDB; the gate is made for CouchDB 3.")]
    major = re.match(r"[0-9]{1,4}", version)
    if major is None or int(major[0]) < 3:
        return [warning("version", f"This is CouchDB {version[:20]!a}; the gate is made for CouchDB 3.")]
    return [ok("version", f"This is CouchDB {version[:20]!a}.")]


def _clock(welcome: Reply, upstream: UpstreamSettings, now: float) -> list[Finding]:
    if welcome.date is None:
        return [warning("clock", "CouchDB's answer has no Date, so its clock is unseen.")]
    skew = abs(welcome.date - now)
    if skew > _JWT_SKEW and upstream.auth == "jwt":
        return [error("clock", f"CouchDB's clock differs by {skew:.0f} s, and the gate's tokens are good for 300 s.")]
    if skew > _SKEW:
        return [warning("clock", f"CouchDB's clock differs by {skew:.0f} s; let both machines keep time by NTP.")]
    return [ok("clock", f"CouchDB's clock differs by less than {_SKEW:.0f} s.")]


async def _party(couchdb: CouchDB, anonymous: Session) -> list[Finding]:
    if "_admin" in anonymous.roles:
        fix = ini("admins", "admin = (a password; CouchDB hashes it when it starts)")
        return [error("admins", "Everybody who reaches CouchDB is its administrator (admin party).", fix)]
    if (await couchdb.get(b"/_all_dbs")).status == 200:
        fix = ini("chttpd", "admin_only_all_dbs = true")
        return [warning("admins", "CouchDB lists its databases to everybody who reaches it.", fix)]
    return [ok("admins", "Nobody is an administrator without a name.")]


def _nobody(upstream: UpstreamSettings, anonymous: Session) -> list[Finding]:
    if anonymous.status == 401:
        return [ok("require_valid_user", "CouchDB lets in nobody without a name.")]
    if upstream.auth == "none":
        return []
    fix = ini("chttpd", "require_valid_user = true")
    return [warning("require_valid_user", "CouchDB lets in requests without a name; the gate never sends any.", fix)]


async def _own(couchdb: CouchDB, upstream: UpstreamSettings) -> list[Finding]:
    own = upstream.own
    unseen = "CouchDB's configuration was not read, only its behaviour seen"
    if own is None:
        return [ok("configuration", f"{unseen}: there is no [upstream.own].")]
    line = basic_line(own.username, own.password)
    session = await couchdb.session(line)
    if session.name is None:
        fix = toml("[upstream.own]", 'username = "…"', 'password_file = "…"')
        sentence = f"CouchDB refuses the name and password of [upstream.own] (status {session.status})."
        return [error("own", sentence, fix)]
    found = [ok("own", f"CouchDB knows the gate's own account {session.name!a}.")]
    if "_admin" not in session.roles:
        return [*found, ok("configuration", f"{unseen}: that account is no administrator.")]
    return found + _configuration(upstream, await _read(couchdb, line))


async def _read(couchdb: CouchDB, line: bytes) -> Mapping[str, str]:
    """The single values that matter; the whole configuration holds secrets, and is not asked for."""
    keys = ("chttpd/bind_address", "chttpd/enable_cors", "httpd/enable_cors", "chttpd_auth/hash_algorithms")
    replies = {key: await couchdb.get(f"/_node/_local/_config/{key}".encode(), line) for key in keys}
    return {key: reply.value for key, reply in replies.items() if reply.status == 200 and isinstance(reply.value, str)}


def _configuration(upstream: UpstreamSettings, values: Mapping[str, str]) -> list[Finding]:
    found = []
    address = values.get("chttpd/bind_address")
    if address in _EVERYWHERE and upstream.auth == "proxy":
        sentence = f'CouchDB listens on every address ({address}), and roles are not signed with auth = "proxy".'
        found.append(warning("bind_address", sentence, ini("chttpd", "bind_address = 127.0.0.1")))
    if "true" in (values.get("chttpd/enable_cors"), values.get("httpd/enable_cors")):
        section = "chttpd" if values.get("chttpd/enable_cors") == "true" else "httpd"
        found.append(_doubled(section))
    taken = values.get("chttpd_auth/hash_algorithms", "sha256, sha")
    wanted = {"sha256": "sha256", "sha1": "sha"}[upstream.hmac]
    if upstream.auth == "proxy" and wanted not in re.split(r"[\s,]+", taken):
        fix = ini("chttpd_auth", "hash_algorithms = sha256, sha")
        found.append(error("hash_algorithms", f"CouchDB does not take {upstream.hmac} from the gate.", fix))
    return found or [ok("configuration", "What was read of CouchDB's configuration fits.")]


def _doubled(section: str) -> Finding:
    sentence = "CouchDB has CORS of its own; the gate replaces it, and whoever reaches CouchDB directly gets it."
    return warning("cors", sentence, ini(section, "enable_cors = false"))


def _cors(welcome: Reply) -> list[Finding]:
    if any(name.startswith(b"access-control-") for name in welcome.fields):
        return [_doubled("chttpd")]
    return [ok("cors", "CouchDB leaves CORS to the gate.")]


def _exposure(upstream: UpstreamSettings) -> list[Finding]:
    if upstream.socket is not None or is_loopback(upstream.host):
        return [ok("exposure", "The gate reaches CouchDB on this machine.")]
    if upstream.auth in ("proxy", "none"):
        sentence = "CouchDB is on another machine: see that the gate alone can reach it, because roles are not signed."
        fix = ini("chttpd", "bind_address = (an address in a network that only the gate is in)")
        return [warning("exposure", sentence, fix)]
    return [ok("exposure", "CouchDB is on another machine; best the gate alone can reach it.")]
