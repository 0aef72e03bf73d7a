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
import hashlib
from math import inf
from typing import Protocol

import jwt

from couchgate.core.principal import Principal

JWT_SECONDS = 300  # how long a token for CouchDB is good
JWT_MARGIN = 60  # seconds before that at which a new one is made: longer than a request waits in the gate


_INNER = bytes(byte ^ 0x36 for byte in range(256))
_OUTER = bytes(byte ^ 0x5C for byte in range(256))


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
        # HMAC (RFC 2104) with both keyed beginnings made once: `hmac.digest` takes twice as long for a name.
        made = hashlib.new(digest)
        key = hashlib.new(digest, secret).digest() if len(secret) > made.block_size else secret
        key = key.ljust(made.block_size, b"\0")
        self._inner = hashlib.new(digest, key.translate(_INNER))
        self._outer = hashlib.new(digest, key.translate(_OUTER))

    def lines(self, principal: Principal, now: float) -> tuple[bytes, float]:  # noqa: ARG002  # the interface's
        """User name, roles and token."""
        name = principal.name.encode()
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(name)
        outer.update(inner.digest())
        lines = b"X-Auth-CouchDB-UserName: %b\r\nX-Auth-CouchDB-Roles: %b\r\nX-Auth-CouchDB-Token: %b\r\n" % (
            name,
            ",".join(principal.roles).encode(),
            outer.hexdigest().encode(),
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
