"""Reading CouchDB's responses (RFC 9112 4 and 6).

CouchDB is trusted more than a client, but what it sends is judged by the same grammar: an answer that is not one
valid HTTP/1 response is a 502, never passed on. `ResponseReader` reads one response on one connection; bytes behind
its end make the connection unfit for another.
"""

from __future__ import annotations

import re

from couchgate.core.errors import BadGateway, GateError
from couchgate.core.memo import Memo
from couchgate.core.message import CHUNKED, NO_BODY, UNTIL_CLOSE, Framing, Pair, ResponseHead
from couchgate.core.rewrite import RESPONSE_LINES
from couchgate.http1.chunked import ChunkedReader

_STATUS = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9]{2})(?: ([\t\x20-\x7e\x80-\xff]*))?")
_LENGTH_DIGITS = 18
MAX_HEAD = 65536  # bytes
MAX_INTERIM = 8  # 1xx responses before the final one
_KEPT = 64  # status lines, of which a CouchDB has few
_KEPT_BYTES = 64
_STATUS_LINES: Memo[bytes, tuple[int, int, bytes]] = Memo(_KEPT)


def _status_line(line: bytes) -> tuple[int, int, bytes]:
    """Version (10 or 11), status and reason phrase of a status line (RFC 9112 4). Raises BadGateway."""
    parts = _STATUS_LINES[line]
    if parts is None:
        match = _STATUS.fullmatch(line)
        if match is None:
            raise BadGateway("CouchDB's answer has a malformed head.")
        parts = (11 if match[1] == b"1" else 10, int(match[2]), match[3] or b"")
        if len(line) <= _KEPT_BYTES:
            _STATUS_LINES.put(line, parts)
    return parts


def response_framing(method: bytes, status: int, version: int, special: list[Pair]) -> tuple[Framing, bool]:
    """How the body is delimited, and whether the connection may serve another exchange. Raises BadGateway."""
    coding: bytes | None = None
    length: bytes | None = None
    keep = version == 11
    for name, value in special:
        if name == b"content-length":
            if length is not None or not value.isdigit() or len(value) > _LENGTH_DIGITS:
                raise BadGateway("CouchDB's answer has no one length.")
            length = value
        elif name == b"connection":
            if b"close" in value.lower():
                keep = False
        elif name == b"transfer-encoding":
            if coding is not None or value.lower() != b"chunked" or version == 10:
                raise BadGateway("CouchDB's answer has a transfer coding that is not chunked.")
            coding = value
    if coding is not None and length is not None:
        raise BadGateway("CouchDB's answer is framed in two ways.")
    if method == b"HEAD" or status in (204, 304):
        return NO_BODY, keep
    if length is not None:
        return Framing("length", int(length)), keep
    if coding is not None:
        return CHUNKED, keep
    return UNTIL_CLOSE, False


class ResponseReader:
    """Reads the response to one request with `method`.

    `head` is None until the final head was read, `done` is True once the body is complete, and `reusable` then says
    whether the connection may serve another exchange.
    """

    # Defaults of the class: a reader is made for each exchange, and most of these are never set.
    _buffer = b""
    _left = 0
    _interim = 0
    done = False
    reusable = False

    def __init__(self, method: bytes) -> None:
        self._chunks: ChunkedReader | None = None
        self.head: ResponseHead | None = None
        self._method = method

    def feed(self, data: bytes) -> bytes:
        """The body bytes in `data`; look at `head` and `done` after each call. Raises BadGateway."""
        if self.head is None:
            rest = self._feed_head(data)
            if rest is None:
                return b""
            data = rest
        return self._feed_body(data)

    def _feed_head(self, data: bytes) -> bytes | None:
        if self._buffer:
            data = self._buffer + data
        while True:
            stop = data.find(b"\r\n\r\n")
            if stop < 0 or stop > MAX_HEAD:
                if len(data) > MAX_HEAD + 3 or not b"HTTP/1.".startswith(data[:7]):
                    raise BadGateway("CouchDB's answer does not begin as an HTTP response.")
                self._buffer = data
                return None
            line_end = data.find(b"\r\n")
            version, status, reason = _status_line(data[:line_end])
            parts = RESPONSE_LINES.split(data[line_end:stop])
            if parts is None:
                raise BadGateway("CouchDB's answer has a malformed head.")
            if status >= 200:
                break
            self._interim += 1
            if status == 101 or self._interim > MAX_INTERIM:
                raise BadGateway("CouchDB's answer switches protocols or never becomes final.")
            data = data[stop + 4 :]
        framing, self.reusable = response_framing(self._method, status, version, parts.special)
        self.head = ResponseHead(status, reason, version, parts.lines, parts.special, framing)
        if framing is CHUNKED:
            self._chunks = ChunkedReader()
        elif framing is UNTIL_CLOSE:
            self._left = -1
        else:
            self._left = framing.length
        return data[stop + 4 :]

    def _feed_body(self, data: bytes) -> bytes:
        if self._chunks is not None:
            if self.done:
                self.reusable = self.reusable and not data
                return b""
            try:
                body = self._chunks.feed(data)
            except GateError as error:
                raise BadGateway("CouchDB's answer has a malformed chunk.") from error
            if self._chunks.done:
                self.done = True
                self.reusable = self.reusable and not self._chunks.rest
            return body
        left = self._left
        if left < 0:
            return data
        size = len(data)
        if size < left:
            self._left = left - size
            return data
        self.done = True
        self._left = 0
        if size > left:
            # Bytes that nobody asked for: never the answer to the next request.
            self.reusable = False
            return data[:left]
        return data

    @property
    def touched(self) -> bool:
        """Whether any byte of an answer came."""
        return bool(self._buffer) or self._interim > 0 or self.head is not None

    def ended(self) -> bool:
        """Whether the end of the connection completes the response: True only for a body that ends by closing."""
        return self.head is not None and self._left < 0
