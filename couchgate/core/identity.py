"""How CouchDB is told for whom a request comes (`[upstream] auth`).

`proxy`: CouchDB's proxy authentication. The token is the lower-case hex HMAC of the name; roles travel unsigned, so
CouchDB must be reachable by the gate alone and have `proxy_use_secret = true`.
`jwt`: a short-lived HS256 token of the gate's own, made anew before it expires.
`basic`: one service account. `none`: nothing; then only the gate's policy protects.

Whatever a client sends in these fields was dropped before (`rewrite`). The gate keeps the lines with
the verdict about a token, so they are made once for each.
"""

from __future__ import annotations

import base64
import hmac
from math import inf
from typing import Protocol

import jwt

from couchgate.core.principal import Principal

JWT_SECONDS = 300  # how long a token for CouchDB is good
JWT_MARGIN = 60  # seconds before that at which a new one is made: longer than a request waits in the gate


class Introduction(Protocol):
    """Gives the header lines that name a principal to CouchDB."""

    def lines(self, principal: Principal, now: float) -> tuple[bytes, float]:
        """The lines, each with its CRLF, and until when they may be used again. Seconds since the epoch."""


def basic_line(username: str, password: str) -> bytes:
    """The header line of basic authentication, with its CRLF (RFC 7617, in UTF-8)."""
    return b"Authorization: Basic %b\r\n" % base64.b64encode(f"{username}:{password}".encode())


class NoIntroduction:
    """CouchDB is told nothing (`auth = "none"`)."""

    def lines(self, principal: Principal, now: float) -> tuple[bytes, float]:  # noqa: ARG002  # the interface's
        """No lines."""
        return b"", inf


class BasicIntroduction:
    """One service account for all (RFC 7617)."""

    def __init__(self, username: str, password: str) -> None:
        self._lines = basic_line(username, password)

    def lines(self, principal: Principal, now: float) -> tuple[bytes, float]:  # noqa: ARG002  # the interface's
        """The same line for every principal."""
        return self._lines, inf


class ProxyIntroduction:
    """CouchDB's `proxy_authentication_handler`. `digest` is "sha256" or "sha1", as `[chttpd_auth] hash_algorithms`."""

    def __init__(self, secret: bytes, digest: str = "sha256") -> None:
        self._secret = secret
        self._digest = digest

    def lines(self, principal: Principal, now: float) -> tuple[bytes, float]:  # noqa: ARG002  # the interface's
        """User name, roles and token."""
        name = principal.name.encode()
        # In one call: an object that is copied for each name costs three times as much.
        token = hmac.digest(self._secret, name, self._digest).hex().encode()
        lines = b"X-Auth-CouchDB-UserName: %b\r\nX-Auth-CouchDB-Roles: %b\r\nX-Auth-CouchDB-Token: %b\r\n" % (
            name,
            ",".join(principal.roles).encode(),
            token,
        )
        return lines, inf


class JwtIntroduction:
    """A token of the gate's own for CouchDB's `jwt_authentication_handler` (`[jwt_keys] hmac:_default`)."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def lines(self, principal: Principal, now: float) -> tuple[bytes, float]:
        """The `Authorization` line with a token that is good for at least `JWT_MARGIN` seconds."""
        expires = int(now) + JWT_SECONDS
        claims = {"sub": principal.name, "_couchdb.roles": list(principal.roles), "exp": expires}
        token = jwt.encode(claims, self._secret, algorithm="HS256")
        return b"Authorization: Bearer %b\r\n" % token.encode(), expires - JWT_MARGIN
