r"""Design documents in the body of `POST /{db}` and `POST /{db}/_bulk_docs`, found while it streams.

The rules:

- Refused is a body in which any object, at any depth, has a key that decodes to `_id` with a string value that decodes
  to `_design/…`. Duplicate keys all count (CVE-2017-12635: CouchDB takes the last one, other parsers the first).
- CouchDB refuses `_id` values of any other type, and `_design` without a slash; `_local/…` is allowed. So nothing
  else can name a design document.
- Depth is not looked at. CouchDB would store `{"copy": {"_id": "_design/x"}}` as plain data, and here it is refused:
  telling the two apart means following every bracket of every body, where an error would open the door.

No JSON is parsed, and none has to be. CouchDB's parser (jiffy) is strict, so only a body that is valid JSON can do
anything, and in valid JSON:

1. a quote that opens a string has no backslash before it, since a backslash stands only inside strings;
2. a quote that closes a string is never followed by `_` or a backslash, and one inside a string has a backslash before;
3. each character of `_id` and `_design` can be written in two ways only, as itself or as `\u00XX`; `/` also as `\/`.
   Surrogates and overlong UTF-8 never decode to ASCII.

So one regular expression meets a design id exactly where a parser would, and needs neither the bytes before nor the
bytes after it. On bytes that are not valid JSON it may say either, which is safe: jiffy refuses them. Most pieces
need no regular expression: whatever it can match holds `_design` or `\u00`.

Between two pieces only the beginning of a possible match is kept, without its white space: at most 75 bytes.
"""

from __future__ import annotations

import re
from typing import Final

from couchgate.core.errors import BadRequest, Forbidden, UnsupportedBody
from couchgate.core.message import Fields

_SPACE: Final = b" \t\r\n"


def _spellings(text: str) -> bytes:
    r"""A pattern for every way to write `text` (ASCII, no letter A-F) inside a JSON string (RFC 8259 7)."""
    ways = []
    for character in text:
        digits = "".join(f"[{d}{d.upper()}]" if d.isalpha() else d for d in f"{ord(character):02x}")
        itself = r"\\?/" if character == "/" else character
        ways.append(rf"(?:{itself}|\\u00{digits})")
    return "".join(ways).encode("ascii")


_DESIGN_ID: Final = re.compile(
    # The quote comes before its lookbehind so that the search can jump from quote to quote.
    rb'"(?<!\\")' + _spellings("_id") + rb'"[ \t\r\n]*+:[ \t\r\n]*+"' + _spellings("_design/")
)
_BEGUN: Final = re.compile(
    # What may become a _DESIGN_ID when more bytes follow, and more: 18 bytes of key, less than 48 of value.
    rb'("(?:[_\\][^" \t\r\n]{0,17}+)?)(?:(")[ \t\r\n]*+(?:(:)[ \t\r\n]*+("[^"]{0,47}+)?)?)?'
)
_CHARSET: Final = re.compile(rb';[ \t]*charset[ \t]*=[ \t]*(?:"?(?:utf-?8|us-ascii|iso-8859-1)"?)[ \t]*(?=;|\Z)')


class BodyJudge:
    """Judges one body. Feed it every byte of it, in order, in pieces of any size; then `finish`."""

    __slots__ = ("_begun", "_closed", "_found")

    def __init__(self) -> None:
        self._begun = b""  # the beginning of a possible match, or a lone backslash
        self._closed = False  # whether the last byte that is no white space is a closing brace
        self._found = False

    def feed(self, data: bytes) -> None:
        """Take the next piece. Raises Forbidden ("design_in_body") as soon as a design document is named, and again
        for whatever follows.
        """
        window = self._begun + data if self._begun else data
        if not self._found and _suspicious(window):
            self._found = _DESIGN_ID.search(window) is not None
        self._refuse_found()
        significant = window.rstrip(_SPACE)
        if significant:
            self._closed = significant.endswith(b"}")
        self._begun = _beginning(window)

    def finish(self) -> None:
        """The body is complete. Raises BadRequest ("body_unreadable") when it does not end as a JSON object does: it
        was cut short, and CouchDB would refuse it too.
        """
        self._refuse_found()
        if not self._closed:
            raise BadRequest("The body is not a JSON object, or it ends too early.", code="body_unreadable")

    def _refuse_found(self) -> None:
        if self._found:
            raise Forbidden("You may not write design documents in this database.", code="design_in_body")


def _suspicious(window: bytes) -> bool:
    """Whether a match is possible. One byte is looked for before several: that is 25 times faster on base64."""
    return (b"_" in window and b"_design" in window) or (b"\\" in window and b"\\u00" in window)


def _beginning(window: bytes) -> bytes:
    """What of the end of `window` the next piece must be read with: a match begun there, less its white space."""
    third = window.rfind(b'"')
    second = window.rfind(b'"', 0, max(third, 0))
    first = window.rfind(b'"', 0, max(second, 0))
    for start in (first, second, third):  # a match spans at most three quotes before its value
        if start < 0 or window.endswith(b"\\", 0, start):
            continue
        begun = _BEGUN.fullmatch(window, start)
        if begun is not None:
            return b"".join(begun.groups(b""))
    return b"\\" if window.endswith(b"\\") else b""


def check_encoding(fields: Fields) -> None:
    """Raises UnsupportedBody (415) for a body that could be read otherwise than the judge reads it.

    CouchDB gunzips a request whose `Content-Encoding` is `gzip` and refuses every other one but `identity`. It wants
    `Content-Type: application/json` for the endpoints that are judged and ignores its `charset`; a charset that is not
    a superset of ASCII is refused here, since a server that obeyed it would read other characters.
    """
    if fields.all(b"content-encoding") not in ((), (b"identity",)):
        raise UnsupportedBody("The body of this request must not be compressed or otherwise encoded.")
    types = fields.all(b"content-type")
    if len(types) != 1 or types[0].partition(b";")[0].strip().lower() != b"application/json":
        raise UnsupportedBody("Content-Type must be application/json", code="body_type")
    parameters = types[0].lower()
    if parameters.count(b"charset") != len(_CHARSET.findall(parameters)):
        raise UnsupportedBody("The body of this request must be UTF-8.", code="body_type")
