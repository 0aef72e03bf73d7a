"""Header blocks: bytes between a start line and the empty line.

The grammar is RFC 9112 5 in its strict form: a line is a token, a colon at once, and a value of visible bytes, spaces
and tabs. No folding, no bare CR or LF, no NUL, no white space before the colon: whatever two recipients could read in
two ways is refused here, so nobody behind this room has to ask.

The same lines come again and again (a browser repeats its block on every request, a server most of its lines), so
single lines and whole blocks are remembered by their exact bytes.
"""

from __future__ import annotations

import re

from couchgate.core.errors import BadRequest, HeadTooLarge
from couchgate.core.memo import Memo
from couchgate.core.message import Field, Fields

TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"  # RFC 9110 5.6.2; behind it a further `+` makes it possessive
_LINE = re.compile(rb"(" + TOKEN + rb"):[ \t]*([^\x00-\x08\x0a-\x1f\x7f]*)")

# Bounds in entries and in bytes of the key: what a hostile client can make these hold is a few megabytes.
_LINES: Memo[bytes, Field] = Memo(1024)
_LINE_KEPT = 160
_BLOCKS: Memo[bytes, Fields] = Memo(2048)
_BLOCK_KEPT = 2560


def parse_field(line: bytes) -> Field:
    """One field line without its CRLF. Raises BadRequest."""
    match = _LINE.fullmatch(line)
    if match is None:
        raise BadRequest("A header field is malformed.", code="field_malformed")
    name, value = match.groups()
    return Field.of(name, value.rstrip(b" \t"))


def parse_block(block: bytes, max_count: int) -> Fields:
    """The fields of a block without its last CRLF; `max_count` fields at most. Raises BadRequest, HeadTooLarge."""
    if not block:
        return Fields()
    lines = block.split(b"\r\n")
    if len(lines) > max_count:
        raise HeadTooLarge(f"The head has more than {max_count} fields.", code="head_count")
    items = []
    for line in lines:
        field = _LINES.get(line)
        if field is None:
            field = parse_field(line)
            if len(line) <= _LINE_KEPT:
                _LINES.put(line, field)
        items.append(field)
    return Fields(items)


def request_block(block: bytes, max_count: int) -> Fields:
    """`parse_block`, remembering whole blocks: for requests, whose blocks repeat."""
    fields = _BLOCKS.get(block)
    if fields is None or len(fields.items) > max_count:
        fields = parse_block(block, max_count)
        # A block with a body's length hardly ever comes twice.
        if len(block) <= _BLOCK_KEPT and b"content-length" not in fields:
            _BLOCKS.put(block, fields)
    return fields
