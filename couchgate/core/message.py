"""Heads of HTTP messages as immutable values.

Header fields are byte pairs in the order in which they came, duplicates kept: a rewriting that folds or sorts them
would lose `Set-Cookie` and hide smuggling. Names compare in lower case; the case that was sent is kept for the wire.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

Pair = tuple[bytes, bytes]


class Field(NamedTuple):
    """One header field: its name in lower case, as sent, its value, and its line on the wire."""

    lower: bytes
    name: bytes
    value: bytes
    line: bytes

    @classmethod
    def of(cls, name: bytes, value: bytes) -> Field:
        """The field `name: value`."""
        return cls(name.lower(), name, value, b"%b: %b\r\n" % (name, value))


class Fields:
    """The header fields of one message, in order (RFC 9110 5).

    `items` holds one `Field` each. `prepared` belongs to `Gate`: what it derived from exactly these fields, so that a
    client that repeats its header block byte for byte is not analysed twice. Nothing else may use it.
    """

    __slots__ = ("_index", "items", "prepared")

    def __init__(self, items: Iterable[Field] = ()) -> None:
        self.items: tuple[Field, ...] = tuple(items)
        self._index: dict[bytes, tuple[bytes, ...]] | None = None
        self.prepared: Any = None

    @classmethod
    def of(cls, *pairs: Pair) -> Fields:
        """Fields from `(name, value)` pairs."""
        return cls(Field.of(name, value) for name, value in pairs)

    @property
    def pairs(self) -> tuple[Pair, ...]:
        """`(name as sent, value)` of every field, in order."""
        return tuple((field.name, field.value) for field in self.items)

    def _indexed(self) -> dict[bytes, tuple[bytes, ...]]:
        # Made on first use: the fields of a response are mostly passed on unread.
        index: dict[bytes, tuple[bytes, ...]] = {}
        for field in self.items:
            index[field.lower] = (*index.get(field.lower, ()), field.value)
        self._index = index
        return index

    def all(self, lower: bytes) -> tuple[bytes, ...]:
        """Every value of the field `lower` (a lower-case name), in order; empty when it is absent."""
        return (self._index or self._indexed()).get(lower, ())

    def first(self, lower: bytes) -> bytes | None:
        """The first value of the field `lower`, or None."""
        values = (self._index or self._indexed()).get(lower)
        return values[0] if values else None

    def __contains__(self, lower: bytes) -> bool:
        return lower in (self._index or self._indexed())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Fields) and self.items == other.items

    def __hash__(self) -> int:
        return hash(self.items)

    def __repr__(self) -> str:
        """Names only: a value may be a token."""
        return f"Fields({b', '.join(field.name for field in self.items).decode('latin-1')})"


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
    looks at (`SPECIAL`): names in lower case, with their values, in order.
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
