"""Heads of HTTP messages as immutable values.

Header fields are byte pairs in the order in which they came, duplicates kept: a rewriting that folds or sorts them
would lose `Set-Cookie` and hide smuggling. Names compare in lower case; the case that was sent is kept for the wire.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from couchgate.core.errors import BadRequest
from couchgate.core.lines import Splitter

Pair = tuple[bytes, bytes]


# The request fields that the gate looks at or keeps from CouchDB. `_` is read as `-`, because some servers do so too.
_NAMES = re.compile(
    rb"host|authorization|connection|content-length|transfer-encoding|expect|origin|destination|upgrade|te|trailer"
    rb"|keep-alive|proxy-.*|http2-settings|cookie|forwarded|access-control-.*|traceparent|tracestate"
    rb"|x-(?:forwarded|auth|couchdb|http-method|method-override|real-ip|couch-request-id).*"
)
_SPLITTER = Splitter(lambda lower: _NAMES.fullmatch(lower.replace(b"_", b"-")) is not None)


class Fields:
    """The header fields of one request (RFC 9110 5), from a block of lines, each behind its CRLF.

    `special` holds the values of the fields that the gate looks at, by their names in lower case, and `lines` the
    other lines. `prepared` belongs to `Gate`: what it derived from exactly these fields, so that a client that
    repeats its block byte for byte is not analysed twice. Nothing else may use it.

    Raises BadRequest when the block is malformed.
    """

    __slots__ = ("block", "lines", "prepared", "special")

    def __init__(self, block: bytes = b"") -> None:
        parts = _SPLITTER.split(block)
        if parts is None:
            raise BadRequest("A header field is malformed.", code="field_malformed")
        self.block = block
        self.lines = parts.lines
        special: dict[bytes, tuple[bytes, ...]] = {}
        for name, value in parts.special:
            special[name] = (*special[name], value) if name in special else (value,)
        self.special = special
        self.prepared: Any = None

    @classmethod
    def of(cls, *pairs: Pair) -> Fields:
        """Fields from `(name, value)` pairs. Raises BadRequest."""
        return cls(b"".join(b"\r\n%b: %b" % pair for pair in pairs))

    @property
    def pairs(self) -> tuple[Pair, ...]:
        """`(name as sent, value)` of every field, in order."""
        lines = (line.partition(b":") for line in self.block.split(b"\r\n")[1:])
        return tuple((name, value.strip(b" \t")) for name, _, value in lines)

    def all(self, lower: bytes) -> tuple[bytes, ...]:
        """Every value of the field `lower` (a lower-case name), in order; empty when it is absent."""
        values = self.special.get(lower)
        if values is None:
            values = tuple(value for name, value in self.pairs if name.lower() == lower)
        return values

    def first(self, lower: bytes) -> bytes | None:
        """The first value of the field `lower`, or None."""
        values = self.all(lower)
        return values[0] if values else None

    def __contains__(self, lower: bytes) -> bool:
        return bool(self.all(lower))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Fields) and self.block == other.block

    def __hash__(self) -> int:
        return hash(self.block)

    def __repr__(self) -> str:
        """Names only: a value may be a token."""
        return f"Fields({b', '.join(name for name, _ in self.pairs).decode('latin-1')})"


class Framing:
    """How a body is delimited (RFC 9112 6.3). `kind` is "none", "length", "chunked" or "close"; `length` in bytes.

    A plain class, as the heads below: a NamedTuple is made by Python code, also where this is compiled, and each
    request makes five of these values.
    """

    __slots__ = ("kind", "length")

    def __init__(self, kind: str, length: int = 0) -> None:
        self.kind = kind
        self.length = length

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Framing) and self.kind == other.kind and self.length == other.length

    def __hash__(self) -> int:
        return hash((self.kind, self.length))

    def __repr__(self) -> str:
        return f"Framing({self.kind!r}, {self.length})"


NO_BODY = Framing("none")
CHUNKED = Framing("chunked")
UNTIL_CLOSE = Framing("close")


class RequestHead:
    """One request head as the client sent it: `target` is the raw request target, `version` 10 or 11.

    `bearer` is the value of a field `Authorization: Bearer <value>` that `fields` lacks (`couchgate.http1.fields`);
    empty if there is none in that very spelling. Then `fields` may hold one in another.
    """

    __slots__ = ("bearer", "fields", "framing", "method", "target", "version")

    def __init__(
        self, method: bytes, target: bytes, version: int, fields: Fields, framing: Framing, bearer: bytes = b""
    ) -> None:
        self.method = method
        self.target = target
        self.version = version
        self.fields = fields
        self.framing = framing
        self.bearer = bearer

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RequestHead) and self._parts == other._parts

    def __hash__(self) -> int:
        return hash((self.method, self.target, self.fields))

    @property
    def _parts(self) -> tuple[bytes, bytes, int, Fields, Framing, bytes]:
        return self.method, self.target, self.version, self.fields, self.framing, self.bearer

    def __repr__(self) -> str:
        """Without the token, and without what is asked for."""
        return f"RequestHead({self.method!r}, version={self.version}, {self.fields!r}, {self.framing!r})"


class ResponseHead:
    """One response head as CouchDB sent it.

    `lines` are the field lines that the gate passes on unread, each behind its CRLF. `special` are the fields that it
    looks at (`couchgate.core.rewrite.RESPONSE_LINES`): names in lower case, with their values, in order.
    """

    __slots__ = ("framing", "lines", "reason", "special", "status", "version")

    def __init__(
        self, status: int, reason: bytes, version: int, lines: bytes, special: list[Pair], framing: Framing
    ) -> None:
        self.status = status
        self.reason = reason
        self.version = version
        self.lines = lines
        self.special = special
        self.framing = framing

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ResponseHead) and self._parts == other._parts

    def __hash__(self) -> int:
        return hash((self.status, self.lines))

    @property
    def _parts(self) -> tuple[int, bytes, int, bytes, list[Pair], Framing]:
        return self.status, self.reason, self.version, self.lines, self.special, self.framing

    def special_value(self, lower: bytes) -> bytes | None:
        """The first value of the special field `lower`, or None."""
        for name, value in self.special:
            if name == lower:
                return value
        return None


class Peer(NamedTuple):
    """The client's side of a connection: its address, whether it came by TLS, and what CouchDB is told of both."""

    address: str
    secure: bool
    lines: bytes

    @classmethod
    def of(cls, address: str, *, secure: bool) -> Peer:
        """The peer at `address` (an IP address; empty for a Unix socket)."""
        lines = b"X-Forwarded-Proto: https\r\n" if secure else b"X-Forwarded-Proto: http\r\n"
        if address:
            lines += b"X-Forwarded-For: %b\r\n" % address.encode("ascii", "ignore")
        return cls(address, secure, lines)
