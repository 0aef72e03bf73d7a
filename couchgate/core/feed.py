r"""Follows a `_changes` answer while it is relayed unchanged, and can end it well.

The rules:

- The query is read as CouchDB reads it (mochiweb `parse_qs`, chttpd `parse_changes_query`): parts are split on `&` and
  `;`, names compare in lower case, the last duplicate wins, `feed=live` is `continuous`, `last-event-id` is `since`.
- A longpoll is ended by closing its array with the last `seq` that came, or the request's `since`, as `last_seq`. Only
  a `seq` of the row itself counts, never one inside its document; rows without one (`seq_interval` gives `null`) leave
  the older one in force, so that changes may come twice but never get lost.
- `since=now` without any row cannot be ended: a `last_seq` of "now" would lose changes. Neither can
  `descending=true`, whose rows run backwards.
- CouchDB sends `{"results":[\n`, newlines as heartbeats, rows with `,\r\n` BEFORE each but the first, and at last
  `\n],\n"last_seq":…,"pending":…}\n`. The npm stand-in may send newlines first, and one after a row. Any white space is
  taken. After a comma a row must follow: the answer can be ended again when that row is complete, and how long to wait
  for it is the caller's to say.
- `continuous` and `eventsource` end between lines and between events: no row holds a raw newline.
- An answer of another form is never ended, only cut. Bytes that are no JSON make a follower wrong or hopeless, but
  never raise.

Rows are not kept. What is kept between two pieces is one unfinished member of a row outside its document, such as
half an `id`, at most `KEPT` bytes; documents are skipped by counting brackets outside strings.
"""

from __future__ import annotations

import json
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator
from enum import Enum, auto
from typing import Final
from urllib.parse import unquote_to_bytes

KEPT: Final = 16384  # bytes; a `seq` of a large cluster is a few thousand long

_SPACE: Final = b" \t\r\n"
_HEAD: Final = b'{"results":['
_HEAD_SPACED: Final = re.compile(rb'[ \t\r\n]*+\{[ \t\r\n]*+"results"[ \t\r\n]*+:[ \t\r\n]*+\[')
_GAP: Final = re.compile(rb"[ \t\r\n]*+")
_MEMBER_GAP: Final = re.compile(rb"[ \t\r\n,]*+")
_STRING_REST: Final = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*+', re.DOTALL)
_STRING: Final = rb'"' + _STRING_REST.pattern + rb'"'
_FLAT: Final = rb'[^"{}\[\]]*+(?:' + _STRING + rb'[^"{}\[\]]*+)*+'  # anything up to a bracket, or half a string


def _nested(levels: int) -> bytes:
    """A pattern for anything up to a bracket whose partner does not follow within so many levels, or half a string."""
    return _FLAT + (rb"(?:[{\[]" + _nested(levels - 1) + rb"[}\]]" + _FLAT + rb")*+" if levels else b"")


_OPENING: Final = re.compile(rb"[{\[]" + _FLAT, re.DOTALL)
_SKIPPED: Final = re.compile(_nested(5), re.DOTALL)
_MEMBER: Final = re.compile(
    # A member of the row: its name, and either its whole value or the bracket that opens it.
    _MEMBER_GAP.pattern + rb"(" + _STRING + rb")[ \t\r\n]*+:[ \t\r\n]*+"
    rb"(?:(" + _STRING + rb'|[^"{}\[\], \t\r\n]++(?=[}, \t\r\n]))|[{\[]' + _nested(4) + rb"[}\]]|([{\[]))",
    re.DOTALL,
)
_NEXT_ROW: Final = b',\r\n{"seq":'
_STRING_SEQ: Final = b'\n{"seq":"'
_SEQ: Final = re.compile(rb'".*"|-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?', re.DOTALL)
_NUMBER: Final = re.compile(r"0|[1-9][0-9]{0,14}")  # what JavaScript reads back exactly
_SSE_FIRST: Final = b"deir:\r\n"  # how `data`, `event`, `id`, `retry`, a comment or an empty line begins


class FeedFollower(ABC):
    """Follows one answer. Make it with `of`; `feed` it every body byte that is relayed, without the framing.

    `hopeless`: True when the answer cannot be ended well as things stand, and waiting for the end of a row would not
    help: the caller can only cut it.
    """

    __slots__ = ("hopeless",)

    hopeless: bool

    @staticmethod
    def of(raw_target: bytes) -> FeedFollower | None:
        """The follower for the answer to this raw request target, or None when its feed ends by itself."""
        feed, since, descending = b"normal", b"0", False
        for name, value in _query(raw_target):
            if name == b"feed":
                feed = value
            elif name in (b"since", b"last-event-id"):
                since = value
            elif name == b"descending":
                descending = descending or value == b"true"
        if feed == b"longpoll":
            return _Longpoll(None, _State.LOST) if descending else _Longpoll(_last_seq_of(since), _State.HEAD)
        if feed in (b"continuous", b"live"):
            return _Lines(b"{\r\n", (b"\n",))
        if feed == b"eventsource":
            return _Lines(_SSE_FIRST, (b"\n\n", b"\n\r\n"))
        return None

    @abstractmethod
    def feed(self, data: bytes) -> None:
        """Take the next piece of the body, of any size."""

    @abstractmethod
    def ending(self) -> bytes | None:
        """The bytes that end the answer well right now, perhaps none; None inside a row, or when it is hopeless."""

    @property
    def waits(self) -> bool:
        """Whether it is a longpoll that has no row yet: with rows it ends by itself, and they are progress."""
        return False

    @abstractmethod
    def empty_answer(self) -> bytes | None:
        """A whole JSON body for a 200 in place of an answer that has not begun; None when there is no good one."""


def _query(raw_target: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The query's names, in lower case, and values, in order and decoded, as mochiweb and chttpd read them."""
    for part in re.split(rb"[&;]", raw_target.partition(b"#")[0].partition(b"?")[2]):
        name, _, value = part.replace(b"+", b" ").partition(b"=")
        yield unquote_to_bytes(name).lower(), unquote_to_bytes(value)


def _last_seq_of(since: bytes) -> bytes | None:
    """`since` as the JSON value of `last_seq`, or None when it names no fixed place.

    A small number stays a number, as servers with such numbers write it. All else is a string: PouchDB sends the
    `last_seq` that it got back as `since`, so the server reads the same text again.
    """
    if since == b"now":
        return None
    try:
        text = since.decode()
    except UnicodeDecodeError:
        return None
    return since if _NUMBER.fullmatch(text) else json.dumps(text).encode("ascii")


class _Lines(FeedFollower):
    """A feed of lines that a client reads one by one, so that it may end at once where no line or event is open."""

    __slots__ = ("_ends", "_first", "_tail")

    def __init__(self, first: bytes, ends: tuple[bytes, ...]) -> None:
        self.hopeless = False
        self._first = first  # the bytes that an understood answer begins with; empty when that is known
        self._ends = ends
        self._tail = b"\n\n"

    def feed(self, data: bytes) -> None:
        if self._first and data:
            self.hopeless = data[0] not in self._first
            self._first = b""
        self._tail = (self._tail + data[-3:])[-3:]

    def ending(self) -> bytes | None:
        return b"" if self._tail.endswith(self._ends) and not self.hopeless else None

    def empty_answer(self) -> bytes | None:
        return None


class _State(Enum):
    """Where in a longpoll answer the next byte stands."""

    HEAD = auto()  # before `{"results":[`, or in it
    FIRST = auto()  # before the first row
    ROW = auto()
    AFTER_ROW = auto()
    COMMA = auto()  # after a comma that a row must follow
    TAIL = auto()  # after the array
    DONE = auto()
    LOST = auto()  # not understood


_NEXT: Final = {
    _State.FIRST: {ord("{"): _State.ROW, ord("]"): _State.TAIL},
    _State.AFTER_ROW: {ord(","): _State.COMMA, ord("]"): _State.TAIL},
    _State.COMMA: {ord("{"): _State.ROW},
    _State.DONE: {},
}
_OPEN: Final = (_State.HEAD, _State.FIRST, _State.AFTER_ROW)


class _Longpoll(FeedFollower):
    """One JSON object whose array of rows grows for as long as the answer is open."""

    __slots__ = ("_depth", "_escaped", "_in_string", "_kept", "_last_seq", "_state")

    def __init__(self, last_seq: bytes | None, state: _State) -> None:
        self.hopeless = last_seq is None
        self._last_seq = last_seq  # JSON
        self._state = state
        self._kept = b""  # the unfinished token that the next piece continues
        self._depth = 0  # open brackets, the row's or the whole answer's own included
        self._in_string = False  # inside a skipped string
        self._escaped = False  # and after a backslash there

    def feed(self, data: bytes) -> None:
        window = self._kept + data if self._kept else data
        self._kept = b""
        position = 0
        leapt = False
        while position < len(window) and self._state is not _State.LOST:
            if self._state is _State.ROW:
                position = (self._member if self._depth == 1 else self._skip)(window, position)
                if not leapt:
                    position, leapt = self._leap(window, position), True
            elif self._state is _State.TAIL:
                position = self._skip(window, position)
                if self._depth == 0:
                    self._state = _State.DONE
            elif self._state is _State.HEAD:
                position = self._head(window)
            else:
                position = self._between(window, position)
        self.hopeless = self._state is _State.LOST or (self._last_seq is None and self._state in _OPEN)

    def ending(self) -> bytes | None:
        if self._state is _State.DONE:
            return b""
        if self._last_seq is None or self._kept or self._state not in _OPEN:
            return None
        if self._state is _State.HEAD:
            return self.empty_answer()
        return b'\n],\n"last_seq":%b,"pending":0}\n' % self._last_seq

    @property
    def waits(self) -> bool:
        return self._state in (_State.HEAD, _State.FIRST) and not self._kept

    def empty_answer(self) -> bytes | None:
        return None if self._last_seq is None else b'%b\n],\n"last_seq":%b,"pending":0}\n' % (_HEAD, self._last_seq)

    def _head(self, window: bytes) -> int:
        head = _HEAD_SPACED.match(window)
        if head is not None:
            self._state = _State.FIRST
            return head.end()
        bare = window.translate(None, _SPACE)
        if bare != _HEAD and _HEAD.startswith(bare):
            self._kept = bare
        else:
            self._state = _State.LOST
        return len(window)

    def _between(self, window: bytes, position: int) -> int:
        position = _end(_GAP, window, position)
        if position < len(window):
            self._state = _NEXT[self._state].get(window[position], _State.LOST)
            self._depth = 1
        return position + 1

    def _member(self, window: bytes, position: int) -> int:
        """One member of the row; or the row's end; or what there is of either is kept."""
        member = _MEMBER.match(window, position)
        if member is not None:
            name, value, bracket = member.groups()
            if value and name == b'"seq"':
                self._take(value)
            if bracket:
                self._depth = 2
            return member.end()
        position = _end(_MEMBER_GAP, window, position)
        if window[position : position + 1] == b"}":
            self._state = _State.AFTER_ROW
            return position + 1
        if len(window) - position > KEPT:
            self._state = _State.LOST
        else:
            self._kept = window[position:]
        return len(window)

    def _take(self, value: bytes) -> None:
        if len(value) <= KEPT and _SEQ.fullmatch(value):
            self._last_seq = value

    def _leap(self, window: bytes, position: int) -> int:
        """Into the last row of this piece, over all that stand before it, where CouchDB wrote them: its rows hold no
        raw newline, so a row begins wherever one stands before `{"seq":`, and each seq is a string or null. (Any other
        would be passed over, and an older one stay in force.) Reading all the rows would cost ten times more.
        """
        row = window.rfind(_NEXT_ROW, position)
        if row < 0:
            return position
        seq = window.rfind(_STRING_SEQ, position, row)  # for when the last row's is null
        if seq >= 0:
            start = seq + len(_STRING_SEQ) - 1
            self._take(window[start : _end(_STRING_REST, window, start + 1) + 1])
        self._state, self._depth, self._in_string, self._escaped = _State.ROW, 1, False, False
        return window.index(b"{", row) + 1

    def _skip(self, window: bytes, position: int) -> int:
        """Over what stands inside a nested value, as far as one look reaches."""
        if self._in_string:
            start = position + self._escaped
            quote = window.find(b'"', start)
            position = quote if quote >= 0 else len(window)
            if window.find(b"\\", start, position) >= 0:  # else found at the speed of memchr
                position = _end(_STRING_REST, window, start)
            stop = window[position : position + 1]
            self._in_string, self._escaped = stop != b'"', stop == b"\\"
            return position + 1
        position = _end(_SKIPPED, window, position)
        stop = window[position : position + 1]
        if stop == b'"':
            self._in_string = True
        elif stop and stop in b"}]":
            self._depth -= 1
        else:  # brackets that open too much to be skipped, one by one: documents may nest without end
            while (opening := _OPENING.match(window, position)) is not None:
                self._depth += 1
                position = opening.end()
            return position
        return position + 1


def _end(pattern: re.Pattern[bytes], window: bytes, position: int) -> int:
    """Where a pattern that may match nothing, and so always matches, ends."""
    found = pattern.match(window, position)
    return found.end() if found else position
