"""Heads of HTTP messages as immutable values.

Header fields are byte pairs in the order in which they came, duplicates kept: a rewriting that folds or sorts them
would lose `Set-Cookie` and hide smuggling. Names compare in lower case; the case that was sent is kept for the wire.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

Pair = tuple[bytes, bytes]


# The request fields that the gate looks at or keeps from CouchDB, with `_` read as `-` because some servers do so too.
# All others are passed on unread, so a head is split once by this pattern instead of being made an object per line.
SPECIAL = re.compile(
    rb"\r\n((?i:host|authorization|connection|content[-_]length|transfer[-_]encoding|expect|origin|destination|upgrade"
    rb"|te|trailer|keep[-_]alive|proxy[-_][^:]*|http2[-_]settings|cookie|forwarded|access[-_]control[-_][^:]*"
    rb"|x[-_](?:forwarded|auth|couchdb|http[-_]method|method[-_]override|real[-_]ip|couch[-_]request[-_]id)[^:]*))"
    rb":([^\r]*)"
)


class Fields:
    """The header fields of one request (RFC 9110 5), as a block of lines, each behind its CRLF; the block is valid.

    `special` holds the values of the fields that match `SPECIAL` by their names in lower case, `lines` the rest of the
    block. `prepared` belongs to `Gate`: what it derived from exactly these fields, so that a client that repeats its
    block byte for byte is not analysed twice. Nothing else may use it.
    """

    __slots__ = ("block", "lines", "prepared", "special")

    def __init__(self, block: bytes = b"") -> None:
        self.block = block
        parts = SPECIAL.split(block)
        self.lines = b"".join(parts[::3])
        special: dict[bytes, tuple[bytes, ...]] = {}
        for i in range(1, len(parts), 3):
            name = parts[i].lower()
            value = parts[i + 1].strip(b" \t")
            special[name] = (*special[name], value) if name in special else (value,)
        self.special = special
        self.prepared: Any = None

    @classmethod
    def of(cls, *pairs: Pair) -> Fields:
        """Fields from `(name, value)` pairs, which are valid."""
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


class Framing(NamedTuple):
    """How a body is delimited (RFC 9112 6.3). `kind` is "none", "length", "chunked" or "close"; `length` in bytes."""

    kind: str
    length: int = 0


NO_BODY = Framing("none")
CHUNKED = Framing("chunked")
UNTIL_CLOSE = Framing("close")


class RequestHead(NamedTuple):
    """One request head as the client sent it: `target` is the raw request target, `version` 10 or 11."""

    method: bytes
    target: bytes
    version: int
    fields: Fields
    framing: Framing


class ResponseHead(NamedTuple):
    """One response head as CouchDB sent it.

    `lines` are the field lines that the gate passes on unread, each behind its CRLF. `special` are the fields that it
    looks at (`couchgate.core.rewrite.SPECIAL`): names in lower case, with their values, in order.
    """

    status: int
    reason: bytes
    version: int
    lines: bytes
    special: tuple[Pair, ...]
    framing: Framing

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
