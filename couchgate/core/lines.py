"""Blocks of header lines, taken apart by their shape.

A block is lines, each behind its CRLF. Its shape is the names in their order; there are few shapes, since every
browser and every server has its own habit. So what follows from names alone (are they tokens, which of them does the
gate look at) is worked out once per shape and remembered, and only the values of those few are cut out each time.
The gate passes all other lines on unread, so it does not make objects of them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from couchgate.core.memo import Memo

_NAMES = re.compile(rb"\r\n([^:]*):")
_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")  # RFC 9110 5.6.2
_LEGAL = bytes(byte for byte in range(256) if byte == 9 or (byte >= 32 and byte != 127))
_SHAPES = 256
_NAMES_KEPT = 64  # names in a shape that is remembered


class Split(NamedTuple):
    """A block taken apart: `lines` that nobody looks at, and `special` fields as (lower-case name, value), in order."""

    lines: bytes
    special: list[tuple[bytes, bytes]]


class Splitter:
    """Takes blocks apart; `special` says of a lower-case name whether the gate looks at such fields."""

    def __init__(self, special: Callable[[bytes], bool]) -> None:
        self._special = special
        # By the names of a block: where its special lines are, last first. False: a name is no token.
        self._shapes: Memo[tuple[bytes, ...], tuple[tuple[int, bytes], ...] | bool] = Memo(_SHAPES)

    def split(self, block: bytes) -> Split | None:
        """The parts of a block, or None if it is not lines of RFC 9112 5, each behind its CRLF."""
        lines = block.split(b"\r\n")
        names = tuple(_NAMES.findall(block))
        count = len(names)
        # A line without a colon is part of the next name; a control byte, or a CR or LF alone, is left over.
        if len(lines) != count + 1 or len(block.translate(None, _LEGAL)) != 2 * count or lines[0]:
            return None
        shape = self._shapes[names]
        if shape is None:
            shape = self._shape(names)
        if shape is False:
            return None
        special = []
        for index, lower in shape:  # type: ignore[union-attr]  # a tuple: False has left
            special.append((lower, lines.pop(index).partition(b":")[2].strip(b" \t")))
        special.reverse()
        return Split(b"\r\n".join(lines), special)

    def _shape(self, names: tuple[bytes, ...]) -> tuple[tuple[int, bytes], ...] | bool:
        shape: tuple[tuple[int, bytes], ...] | bool = False
        if all(_TOKEN.fullmatch(name) for name in names):
            lowers = [(index, name.lower()) for index, name in enumerate(names, 1)]
            shape = tuple((index, lower) for index, lower in reversed(lowers) if self._special(lower))
        if len(names) <= _NAMES_KEPT and sum(map(len, names)) <= 32 * _NAMES_KEPT:
            self._shapes.put(names, shape)
        return shape
