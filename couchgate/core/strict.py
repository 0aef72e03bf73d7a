"""base64url and JSON, each read in one way only.

Two readers that understand the same bytes differently are how a token is accepted as one thing and used as another.
So for tokens and key sets:

- base64url (RFC 4648 5, RFC 7515 2) has no padding, no white space, no foreign letter, and its unused last bits are
  zero: every string of bytes has exactly one spelling.
- base64 as Basic credentials have it (RFC 4648 4, RFC 7617) has its padding, and is canonical likewise.
- JSON is UTF-8 without a byte order mark. An object names each member once (RFC 7515 4, RFC 7517 4 allow a parser to
  refuse duplicates; taking the first or the last is a guess). `NaN` and `Infinity` are no JSON.

All raise `ValueError` and nothing else, whatever the bytes; neither it nor its context ever holds them: it is raised
where no other error is being handled (compiled code does not obey `raise … from None`).
"""

from __future__ import annotations

from binascii import a2b_base64, b2a_base64
from collections.abc import Callable
from json import JSONDecoder
from typing import Any, Final, NoReturn

from librt.base64 import urlsafe_b64decode

_WHITE_SPACE = " \t\n\r"

# As numbers: to look for one of these is to look for a byte, not for bytes.
_PLUS: Final = ord("+")
_SLASH: Final = ord("/")

# By length modulo 4: the padding to add, and the last letters whose unused bits are zero.
_ENDINGS: tuple[tuple[bytes, bytes] | None, ...] = ((b"", b""), None, (b"==", b"AQgw"), (b"=", b"AEIMQUYcgkosw048"))


def base64url(text: bytes) -> bytes:
    """The bytes that `text` spells; empty for empty. Raises `ValueError` for any but the canonical spelling."""
    size = len(text)
    ending = _ENDINGS[size & 3]
    if ending is None or (ending[1] and text[-1] not in ending[1]) or _PLUS in text or _SLASH in text:
        raise ValueError("not canonical base64url")
    data = _decoded(text + ending[0])
    # The decoder passes over what is no letter: then there are fewer bytes than so many letters spell.
    if data is None or len(data) != size * 3 // 4:
        raise ValueError("not base64url")
    return data


def _decoded(text: bytes) -> bytes | None:
    try:
        return urlsafe_b64decode(text)
    except ValueError:
        return None


def base64_text(text: bytes) -> str:
    """The UTF-8 that `text` spells in base64 with padding. Raises `ValueError` for any but the canonical spelling."""
    try:
        data = a2b_base64(text, strict_mode=True)
        if b2a_base64(data, newline=False) == text:
            return data.decode("utf-8")
    except ValueError:
        pass  # what is raised below has no context: a UnicodeDecodeError carries the bytes
    raise ValueError("not UTF-8 in canonical base64")


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members: dict[str, Any] = {}  # `dict(pairs)` takes each pair for any sequence
    for name, value in pairs:
        members[name] = value  # noqa: PERF403  # compiled, a comprehension is this with one call more
    if len(members) != len(pairs):
        raise ValueError("an object names a member twice")
    return members


def _no_number(_name: str) -> NoReturn:
    raise ValueError("a number that is not finite")


# One decoder for all: json.loads with these arguments would build one per call, which costs more than the parsing.
# Its scanner and not `raw_decode`, which says where a document ends too soon by an error that holds it.
_SCAN: Callable[[str, int], tuple[Any, int]] = JSONDecoder(  # type: ignore[attr-defined]  # typeshed lacks it
    object_pairs_hook=_members, parse_constant=_no_number
).scan_once


def json_object(data: bytes) -> dict[str, Any]:
    """The JSON object that `data` holds. Raises `ValueError` for anything else, or nested too deep to read."""
    value = _parsed(data)
    if type(value) is not dict:
        raise ValueError("not one JSON object in UTF-8 with unique names")
    return value


def _parsed(data: bytes) -> Any:
    """The one JSON value in `data`, or None: an error of the decoder's would carry the whole document."""
    try:
        text = data.decode("utf-8").strip(_WHITE_SPACE)
        value, end = _SCAN(text, 0)
    except (ValueError, RecursionError, StopIteration):
        return None
    return value if end == len(text) else None
