"""How CouchDB is told for whom a request comes (`[upstream] auth`).

`proxy`: CouchDB's proxy authentication. The token is the lower-case hex HMAC of the name; roles travel unsigned, so
CouchDB must be reachable by the gate alone and have `proxy_use_secret = true`.
`jwt`: a short-lived HS256 token of the gate's own, made anew before it expires.
`basic`: one service account. `none`: nothing; then only the gate's policy protects.

Whatever a client sends in these fields was dropped before (`rewrite`). Lines are made once per principal.
"""

from __future__ import annotations

import base64
import hmac
from typing import Protocol

import jwt

from couchgate.core.memo import Memo
from couchgate.core.principal import Principal

JWT_SECONDS = 300  # how long a token for CouchDB is good
JWT_MARGIN = 60  # seconds before that at which a new one is made: longer than a request waits in the gate
_KEPT = 4096  # principals


class Introduction(Protocol):
    """Gives the header lines that name a principal to CouchDB."""

    def lines(self, principal: Principal, now: float) -> bytes:
        """The lines, each with its CRLF. `now` in seconds since the epoch."""


def basic_line(username: str, password: str) -> bytes:
    """The header line of basic authentication, with its CRLF (RFC 7617, in UTF-8)."""
    return b"Authorization: Basic %b\r\n" % base64.b64encode(f"{username}:{password}".encode())


class NoIntroduction:
    """CouchDB is told nothing (`auth = "none"`)."""

    def lines(self, principal: Principal, now: float) -> bytes:  # noqa: ARG002  # the interface's arguments
        """No lines."""
        return b""


class BasicIntroduction:
    """One service account for all (RFC 7617)."""

    def __init__(self, username: str, password: str) -> None:
        self._lines = basic_line(username, password)

    def lines(self, principal: Principal, now: float) -> bytes:  # noqa: ARG002  # the interface's arguments
        """The same line for every principal."""
        return self._lines


class ProxyIntroduction:
    """CouchDB's `proxy_authentication_handler`. `digest` is "sha256" or "sha1", as `[chttpd_auth] hash_algorithms`."""

    def __init__(self, secret: bytes, digest: str = "sha256") -> None:
        self._keyed = hmac.new(secret, digestmod=digest)
        self._memo: Memo[Principal, bytes] = Memo(_KEPT)

    def lines(self, principal: Principal, now: float) -> bytes:  # noqa: ARG002  # the interface's arguments
        """User name, roles and token."""
        lines = self._memo[principal]
        if lines is None:
            name = principal.name.encode()
            keyed = self._keyed.copy()
            keyed.update(name)
            token = keyed.hexdigest().encode()
            lines = b"X-Auth-CouchDB-UserName: %b\r\nX-Auth-CouchDB-Roles: %b\r\nX-Auth-CouchDB-Token: %b\r\n" % (
                name,
                ",".join(principal.roles).encode(),
                token,
            )
            self._memo.put(principal, lines)
        return lines


class JwtIntroduction:
    """A token of the gate's own for CouchDB's `jwt_authentication_handler` (`[jwt_keys] hmac:_default`)."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        self._memo: Memo[Principal, tuple[float, bytes]] = Memo(_KEPT)

    def lines(self, principal: Principal, now: float) -> bytes:
        """The `Authorization` line with a token that is good for at least `JWT_MARGIN` seconds."""
        kept = self._memo[principal]
        if kept is None or kept[0] <= now:
            expires = int(now) + JWT_SECONDS
            claims = {"sub": principal.name, "_couchdb.roles": list(principal.roles), "exp": expires}
            token = jwt.encode(claims, self._secret, algorithm="HS256")
            kept = (expires - JWT_MARGIN, b"Authorization: Bearer %b\r\n" % token.encode())
            self._memo.put(principal, kept)
        return kept[1]
