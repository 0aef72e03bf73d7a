"""Header blocks: bytes between a start line and the empty line.

The grammar is RFC 9112 5 in its strict form: a line is a token, a colon at once, and a value of visible bytes, spaces
and tabs. No folding, no bare CR or LF, no NUL, no white space before the colon: whatever two recipients could read in
two ways is refused here, so nobody behind this room has to ask.

Blocks come again and again (a browser repeats its own on every request), so they are remembered by their exact bytes,
less the token: that is what people differ by, while their browsers are much alike. So a field in the usual spelling,
`Authorization: Bearer <token>`, is cut out first; in any other it stays in the block and means the same.
"""

from __future__ import annotations

import re
from typing import Final

from couchgate.core.errors import BadRequest, HeadTooLarge
from couchgate.core.memo import Memo
from couchgate.core.message import Fields

TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"  # RFC 9110 5.6.2
_LINE = re.compile(TOKEN + rb":[^\x00-\x08\x0a-\x1f\x7f]*")

# Bounds in entries and in bytes of the key: what hostile clients can make this hold is some 20 megabytes.
_BLOCKS: Memo[bytes, Fields] = Memo(1280)
_BLOCK_KEPT = 2560
_BEARER = b"\r\nAuthorization: Bearer "
_LOWER_BEARER = b"\r\nauthorization: Bearer "
# The letters of a compact JWS (RFC 7515 7.1): with these a value has nothing that a grammar or a scheme could mind. All
# other bytes become a space, which is none of them: to replace bytes is quicker than to leave them out.
_COMPACT = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_."
_SPACE: Final = 0x20  # as numbers: a byte is found sooner than bytes
_RETURN: Final = 0x0D
_ELSE_SPACE = bytes(byte if byte in _COMPACT else _SPACE for byte in range(256))


def forget_blocks() -> None:
    """Another gate decides from now on: what the last one derived from blocks would keep it alive."""
    _BLOCKS.forget()


def check_line(line: bytes) -> None:
    """Raises BadRequest unless `line` is one field line, without its CRLF."""
    if _LINE.fullmatch(line) is None:
        raise BadRequest("A header field is malformed.", code="field_malformed")


def bearer_begins(block: bytes) -> int:
    """Where in a block of lines the value of `Authorization: Bearer`, in that spelling, begins; -1 if nowhere."""
    at = block.find(_BEARER)
    if at < 0:
        at = block.find(_LOWER_BEARER)
    return at if at < 0 else at + len(_BEARER)


def is_compact(value: bytes) -> bool:
    """Whether `value` is cut out of a block as a token: it is not empty, and has the letters of one only."""
    return value != b"" and _SPACE not in value.translate(_ELSE_SPACE)


def request_block(block: bytes, max_count: int) -> tuple[Fields, bytes]:
    """The fields of a block of lines, each behind its CRLF, and the token that was cut out of it, else empty.

    Raises BadRequest, HeadTooLarge.
    """
    bearer = b""
    lines = 0
    begin = bearer_begins(block)
    if begin >= 0:
        end = block.find(_RETURN, begin)
        if end < 0:
            end = len(block)
        value = block[begin:end]
        if is_compact(value):  # a CR without its LF is left to the grammar
            bearer = value
            block = block[: begin - len(_BEARER)] + block[end:]
            lines = 1
    lines += block.count(b"\r\n")
    if lines > max_count:
        raise HeadTooLarge(f"The head has more than {max_count} fields.", code="head_count")
    return _fields(block), bearer


def _fields(block: bytes) -> Fields:
    fields = _BLOCKS[block]
    if fields is not None:
        return fields
    fields = Fields(block)
    # A block with a body's length hardly ever comes twice.
    if len(block) <= _BLOCK_KEPT and b"content-length" not in fields.special:
        _BLOCKS.put(block, fields)
    return fields
