"""Reading requests (RFC 9112 3 and 6).

`take_head` cuts one head off the front of a buffer; nothing behind the head is looked at, so a pipelined request
stays bytes until its turn comes. What it accepts has one reading only: an origin-form target of visible bytes,
HTTP/1.0 or 1.1, exactly one way to frame the body. `BodyReader` then delivers that body and knows where it ends.
"""

from __future__ import annotations

import re
from typing import Final

from couchgate.core.errors import BadRequest, HeadTooLarge, NotImplementedByGate, VersionNotSupported
from couchgate.core.memo import Memo
from couchgate.core.message import CHUNKED, NO_BODY, Fields, Framing, RequestHead
from couchgate.http1.chunked import ChunkedReader
from couchgate.http1.fields import TOKEN, bearer_begins, is_compact, request_block

_LINE = re.compile(rb"(" + TOKEN + rb") ([\x21-\x7e]+) HTTP/1\.([01])")
_OTHER_VERSION = re.compile(TOKEN + rb" [\x21-\x7e]+ HTTP/(?!1\.[01])[0-9](?:\.[0-9])?")
_FIRST = re.compile(TOKEN)
_LENGTH_DIGITS = 18
MAX_EMPTY_LINES = 4  # before a request line; RFC 9112 2.2 asks for one
_KEPT_BYTES = 512
_HABIT_BYTES = 4096
_RETURN: Final = 0x0D  # as a number: a byte is found sooner than bytes
_REQUEST_LINES: Memo[bytes, tuple[bytes, bytes, int]] = Memo(1024)


def _request_line(line: bytes) -> tuple[bytes, bytes, int]:
    """Method, target and version (10 or 11) of a request line (RFC 9112 3). Raises BadRequest, VersionNotSupported."""
    parts = _REQUEST_LINES[line]
    if parts is None:
        match = _LINE.fullmatch(line)
        if match is None:
            raise _line_error(line)
        parts = (match[1], match[2], 11 if match[3] == b"1" else 10)
        if len(line) <= _KEPT_BYTES:
            _REQUEST_LINES.put(line, parts)
    return parts


class Habit:
    """What a connection has sent before: a client that keeps one repeats its fields, byte for byte, with most requests.

    Only the token may be another one each time, as from a proxy in front that serves many people by one connection.
    It begins with the second request, so that the many connections that bring one hold nothing.
    """

    __slots__ = ("after", "bearer", "before", "block", "fields", "heads", "max_count")

    def __init__(self) -> None:
        self.heads = 0
        self.max_count = 0  # the bound that the block has kept
        self.block = b""  # with the empty line behind it
        self.before = b""  # of it, up to the token; empty if there is none
        self.bearer = b""
        self.after = b""  # of it, behind the token
        self.fields: Fields | None = None

    def learn(self, block: bytes, fields: Fields, bearer: bytes, max_count: int) -> None:
        """A head was read that has this `block`, which ends in the empty line."""
        self.heads += 1
        if self.heads > 1 and len(block) <= _HABIT_BYTES:
            begin = bearer_begins(block) if bearer else 0
            self.max_count = max_count
            self.block = block
            self.before = block[:begin]
            self.bearer = bearer
            self.after = block[begin + len(bearer) :]
            self.fields = fields

    def repeated(self, data: bytes, begin: int) -> int:
        """Where the block ends that begins at `begin`, if it is that of before but for the token; else -1."""
        if data.startswith(self.block, begin):
            return begin + len(self.block)
        if not self.bearer or not data.startswith(self.before, begin):
            return -1
        at = begin + len(self.before)
        end = data.find(_RETURN, at)
        if end < 0 or not data.startswith(self.after, end):
            return -1
        bearer = data[at:end]
        end += len(self.after)
        if end - begin > _HABIT_BYTES or not is_compact(bearer):
            return -1
        self.bearer = bearer
        self.block = data[begin:end]
        return end


def take_head(
    data: bytes, max_bytes: int, max_count: int, habit: Habit | None = None
) -> tuple[RequestHead, int] | None:
    """The first head in `data` and the number of bytes it took, or None if it is not complete yet.

    `habit` is the connection's; it changes no answer. Raises BadRequest, HeadTooLarge, VersionNotSupported,
    NotImplementedByGate.
    """
    line_end = data.find(b"\r\n")
    if habit is not None and habit.fields is not None and line_end > 0:
        used = habit.repeated(data, line_end)
        if 0 < used <= max_bytes + 4 and habit.max_count == max_count:
            method, target, version = _request_line(data[:line_end])
            fields = habit.fields
            framing = request_framing(version, fields)
            return RequestHead(method, target, version, fields, framing, habit.bearer), used
    stop = data.find(b"\r\n\r\n", 0, max_bytes + 4)
    if stop < 0 or line_end == 0:
        return _odd_head(data, max_bytes, max_count)
    method, target, version = _request_line(data[:line_end])
    fields, bearer = request_block(data[line_end:stop], max_count)
    if habit is not None:
        habit.learn(data[line_end : stop + 4], fields, bearer, max_count)
    return RequestHead(method, target, version, fields, request_framing(version, fields), bearer), stop + 4


def _odd_head(data: bytes, max_bytes: int, max_count: int) -> tuple[RequestHead, int] | None:
    """`take_head` where the bytes do not begin with a whole head: empty lines before it, a part of one, garbage."""
    start = 0
    while data.startswith(b"\r\n", start):
        start += 2
        if start > 2 * MAX_EMPTY_LINES:
            raise BadRequest("There are too many empty lines before the request.", code="empty_lines")
    if start:
        taken = take_head(data[start:], max_bytes, max_count)
        return None if taken is None else (taken[0], taken[1] + start)
    _check_part(data, max_bytes)
    return None


def _check_part(data: bytes, max_bytes: int) -> None:
    """Refuse a part of a head that can never become a good one, so that nobody waits for its end."""
    if len(data) > max_bytes + 3:  # the end of the longest head may be there but for its last byte
        raise HeadTooLarge(f"The head is longer than {max_bytes} bytes.", code="head_bytes")
    if data not in (b"", b"\r") and not _FIRST.match(data):
        raise BadRequest("This is not an HTTP request.", code="not_http")
    # A slow client has this asked again for every byte, so it is counted in C and not searched for by a pattern.
    pairs = data.count(b"\r\n")
    returns = data.count(b"\r") - data.endswith(b"\r")
    if data.count(b"\n") != pairs or returns != pairs or b"\0" in data:
        raise BadRequest("The head has a line that does not end in CRLF.", code="line_end")


def _line_error(line: bytes) -> BadRequest | VersionNotSupported:
    if _OTHER_VERSION.fullmatch(line):
        return VersionNotSupported("Only HTTP/1.0 and HTTP/1.1 are spoken here.")
    return BadRequest("The request line is malformed.", code="request_line")


def request_framing(version: int, fields: Fields) -> Framing:
    """How the body of a request with these fields is delimited. Raises BadRequest, NotImplementedByGate.

    Stricter than RFC 9112 6.3: `Content-Length` beside `Transfer-Encoding`, and any repetition of either, is refused.
    """
    special = fields.special
    if b"content-length" not in special and b"transfer-encoding" not in special:
        return NO_BODY
    codings = special.get(b"transfer-encoding")
    lengths = special.get(b"content-length")
    if codings:
        if lengths:
            raise BadRequest("Content-Length and Transfer-Encoding exclude each other.", code="framing_both")
        if version == 10:
            raise BadRequest("HTTP/1.0 has no Transfer-Encoding.", code="framing_version")
        if len(codings) != 1 or codings[0].lower() != b"chunked":
            raise NotImplementedByGate("The only transfer coding is chunked.", code="framing_coding")
        return CHUNKED
    if lengths is None or len(lengths) != 1 or not lengths[0].isdigit() or len(lengths[0]) > _LENGTH_DIGITS:
        raise BadRequest("Content-Length is not one number.", code="framing_length")
    length = int(lengths[0])
    return Framing("length", length) if length else NO_BODY


class BodyReader:
    """Delivers one request body, whatever its framing. `done` once it is complete; `rest` holds what came after it."""

    __slots__ = ("_chunks", "_left", "done", "rest", "size")

    def __init__(self, framing: Framing) -> None:
        self._chunks = ChunkedReader() if framing is CHUNKED else None
        self._left = framing.length
        self.size = 0  # bytes delivered so far
        self.done = framing is NO_BODY
        self.rest = b""

    def feed(self, data: bytes) -> bytes:
        """The body bytes in `data`. Raises BadRequest; a body over its limit is the caller's to refuse by `size`."""
        if self._chunks is not None:
            data = self._chunks.feed(data)
            self.done = self._chunks.done
            self.rest = self._chunks.rest
        elif len(data) >= self._left:
            self.rest = data[self._left :]
            data = data[: self._left]
            self.done = True
        else:
            self._left -= len(data)
        self.size += len(data)
        return data
