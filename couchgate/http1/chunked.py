"""The chunked coding (RFC 9112 7.1), decoded strictly.

Sizes are 1 to 15 hexadecimal digits. Extensions and trailer fields are checked for form and dropped: what goes on is
framed anew by the gate, so nothing hidden in them travels. All lines end in CRLF.
"""

from __future__ import annotations

import re

from couchgate.core.errors import BadRequest
from couchgate.http1.fields import check_line

_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[\t\x20-\x7e\x80-\xff]*)?")
MAX_LINE = 1024  # bytes of a size line or a trailer line
MAX_TRAILERS = 8192  # bytes of all trailer lines

LAST_CHUNK = b"0\r\n\r\n"


def encode_chunk(data: bytes) -> bytes:
    """One chunk that holds `data`, which is not empty."""
    return b"%x\r\n%b\r\n" % (len(data), data)


class ChunkedReader:
    """Decodes one chunked body. `done` once its end was read; `rest` then holds the bytes after it."""

    __slots__ = ("_left", "_line", "_trailing", "done", "rest")

    def __init__(self) -> None:
        self._left = -1  # bytes of the present chunk still to come with its CRLF; -1: a size line comes; -2: trailers
        self._line = b""
        self._trailing = 0
        self.done = False
        self.rest = b""

    def feed(self, data: bytes) -> bytes:
        """The body bytes in `data`. Raises BadRequest; what it returned before then was sound."""
        if self._left > 2 and len(data) <= self._left - 2 and not self._line:
            self._left -= len(data)  # inside a large chunk: nothing to cut
            return data
        if self._line:
            data = self._line + data
            self._line = b""
        out = []
        at = 0
        end = len(data)
        while at < end:
            left = self._left
            if left >= 0:
                if left > 2:
                    piece = data[at : at + left - 2]
                    out.append(piece)
                    at += len(piece)
                    left -= len(piece)
                    self._left = left
                    if left > 2 or at == end:
                        break
                if data[at : at + left] != b"\r\n"[2 - left :][: end - at]:
                    raise BadRequest("A chunk does not end where its size says.", code="chunk_malformed")
                took = min(left, end - at)
                at += took
                self._left = left - took or -1
                continue
            stop = data.find(b"\r\n", at)
            if stop < 0 or stop - at > MAX_LINE:
                if end - at > MAX_LINE + 1 or stop >= 0 or b"\n" in data[at:]:
                    raise BadRequest("A line between chunks is too long or malformed.", code="chunk_malformed")
                self._line = data[at:]
                break
            line = data[at:stop]
            at = stop + 2
            if left == -1:
                match = _SIZE.fullmatch(line)
                if match is None:
                    raise BadRequest("A chunk size is malformed.", code="chunk_malformed")
                size = int(match[1], 16)
                self._left = size + 2 if size else -2
            elif line:
                check_line(line)
                self._trailing += len(line)
                if self._trailing > MAX_TRAILERS:
                    raise BadRequest("The trailer fields are too long.", code="trailers_too_long")
            else:
                self.done = True
                self.rest = data[at:]
                break
        return out[0] if len(out) == 1 else b"".join(out)
