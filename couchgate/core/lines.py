"""Blocks of header lines, taken apart by their shape.

A block is lines, each behind its CRLF. Its shape is the names in their order; there are few shapes, since every
browser and every server has its own habit. So what follows from names alone (are they tokens, which of them does the
gate look at) is worked out once per shape and remembered, and only the values of those few are cut out each time.
The gate passes all other lines on unread, so it does not make objects of them.

A shape that keeps coming gets a pattern of its own, which judges and parts a block in one go. Making one takes some
milliseconds, so a shape has to come `OFTEN` first: a stranger with ever new shapes buys little by it.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from couchgate.core.memo import Memo

_NAMES = re.compile(rb"\r\n([^:]*):")
_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")  # RFC 9110 5.6.2
_LEGAL = bytes(byte for byte in range(256) if byte == 9 or (byte >= 32 and byte != 127))
_VALUE = rb"[^\x00-\x08\x0a-\x1f\x7f]*+"
_SHAPES = 256
_NAMES_KEPT = 64  # names in a shape that is remembered
OFTEN = 1000


class Split:
    """A block taken apart: `lines` that nobody looks at, and `special` fields as (lower-case name, value), in order."""

    __slots__ = ("lines", "special")

    def __init__(self, lines: bytes, special: list[tuple[bytes, bytes]]) -> None:
        self.lines = lines
        self.special = special


class _Shape:
    """What is known of the blocks with these names. `special`: where the lines are that the gate looks at, last first.

    `pattern`, once there is one, has a group for each run of other lines and for each special value, in turn.
    """

    def __init__(self, special: tuple[tuple[int, bytes], ...]) -> None:
        self.special = special
        self.seen = 0
        self.pattern: re.Pattern[bytes] | None = None
        self.lowers: tuple[bytes, ...] = ()


class Splitter:
    """Takes blocks apart; `special` says of a lower-case name whether the gate looks at such fields.

    A shape that came `often` gets a pattern.
    """

    def __init__(self, special: Callable[[bytes], bool], often: int = OFTEN) -> None:
        self._special = special
        self._often = often
        # By the names of a block. False: one of them is no token.
        self._shapes: Memo[tuple[bytes, ...], _Shape | bool] = Memo(_SHAPES)
        self._last: _Shape | None = None

    def split(self, block: bytes) -> Split | None:
        """The parts of a block, or None if it is not lines of RFC 9112 5, each behind its CRLF."""
        last = self._last
        if last is not None and last.pattern is not None:
            match = last.pattern.fullmatch(block)
            if match is not None:
                return _parts(last, match)
        names = tuple(_NAMES.findall(block))
        shape = self._shapes[names]
        if shape is None:
            shape = self._shape(names)
        if isinstance(shape, bool):
            return None
        if shape.pattern is None:
            shape.seen += 1
            if shape.seen < self._often:  # and one that is not kept never comes often
                return _by_lines(block, len(names), shape)
            self._compile(names, shape)
        match = shape.pattern.fullmatch(block)  # type: ignore[union-attr]  # just made
        if match is None:
            return None
        self._last = shape
        return _parts(shape, match)

    def _shape(self, names: tuple[bytes, ...]) -> _Shape | bool:
        shape: _Shape | bool = False
        if all(_TOKEN.fullmatch(name) for name in names):
            lowers = [(index, name.lower()) for index, name in enumerate(names, 1)]
            shape = _Shape(tuple((index, lower) for index, lower in reversed(lowers) if self._special(lower)))
        if len(names) <= _NAMES_KEPT and sum(map(len, names)) <= 32 * _NAMES_KEPT:
            self._shapes.put(names, shape)
        return shape

    @staticmethod
    def _compile(names: tuple[bytes, ...], shape: _Shape) -> None:
        special = dict(shape.special)
        pattern = b"("
        for index, name in enumerate(names, 1):
            line = b"\r\n" + re.escape(name) + b":"
            pattern += b")%b(%b)(" % (line, _VALUE) if index in special else line + _VALUE
        shape.lowers = tuple(special[index] for index in sorted(special))
        shape.pattern = re.compile(pattern + b")")


def _parts(shape: _Shape, match: re.Match[bytes]) -> Split:
    groups = match.groups()
    lines: bytes = groups[0]
    special: list[tuple[bytes, bytes]] = []
    at = 1
    for lower in shape.lowers:
        special.append((lower, groups[at].strip(b" \t")))
        lines += groups[at + 1]
        at += 2
    return Split(lines, special)


def _by_lines(block: bytes, count: int, shape: _Shape) -> Split | None:
    lines = block.split(b"\r\n")
    # A line without a colon is part of the next name; a control byte, or a CR or LF alone, is left over.
    if len(lines) != count + 1 or len(block.translate(None, _LEGAL)) != 2 * count or lines[0]:
        return None
    special = []
    for index, lower in shape.special:
        special.append((lower, lines.pop(index).partition(b":")[2].strip(b" \t")))
    special.reverse()
    return Split(b"\r\n".join(lines), special)
