"""The one place where a credential may sit: one `Authorization` field.

`Bearer` (RFC 6750 2.1) holds a token. Never in a query, where it would be logged, nor in a body, which nobody has read
yet. `Basic` (RFC 7617) is read only if the settings ask for it: as a name and a password, or with a token in the
password's place, for clients that can send nothing else. Two such fields are 400, because the gate and CouchDB might
each pick another. The scheme's case does not matter (RFC 9110 11.1).

A Basic credential is canonical base64 with its padding, and UTF-8 inside; the first colon parts name and password;
both are there, without control characters, and of bounded length. What an error says never holds a byte of what was
sent.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from couchgate.core.errors import BadRequest, Unauthorized
from couchgate.core.message import RequestHead
from couchgate.core.strict import base64_text

TOKEN_USER = "_jwt"  # whose password is a token

_BEARER = b"bearer"
_BASIC = b"basic"
_PADDED = re.compile(rb"[^=]+=*")
_TOKEN68 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/="
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_MOST_ENCODED = 12288  # bytes of base64: as much as the longest token needs, and some
_MOST_NAME = 256  # bytes, as CouchDB's user names
_MOST_PASSWORD = 1024  # bytes


class BasicRules(NamedTuple):
    """What `Authorization: Basic` may hold: `passwords`, and `tokens` as the password of the user `_jwt`.

    `feed_seconds`: how long a feed of somebody with a password lives; a password has no end of its own.
    """

    passwords: bool = False
    tokens: bool = False
    feed_seconds: float = 3600.0


NO_BASIC = BasicRules()


class BasicCredential:
    """A name and a password that somebody showed. Neither is in its repr."""

    __slots__ = ("name", "password")

    def __init__(self, name: str, password: str) -> None:
        self.name = name
        self.password = password

    def __repr__(self) -> str:
        return "<BasicCredential>"


def read(head: RequestHead, basic: BasicRules = NO_BASIC) -> bytes | BasicCredential | None:
    """The token, the name and password, or None when no `Authorization` was sent.

    Raises BadRequest (`credential_duplicate`), and Unauthorized: `token_scheme` for a scheme that is not taken,
    `token_malformed` for what is no token68, `basic_malformed` for what is no name and password.
    """
    values = head.fields.special.get(b"authorization", ())
    if not values:
        return head.bearer or None
    if len(values) > 1 or head.bearer:
        raise BadRequest("A request may have one Authorization field.", code="credential_duplicate")
    scheme, _, rest = values[0].partition(b" ")
    kind = scheme.lower()
    if kind == _BEARER:
        return _token(rest.lstrip(b" "))
    if kind == _BASIC and (basic.passwords or basic.tokens):
        return _basic(rest.lstrip(b" "), basic)
    raise _other_scheme()


def _other_scheme() -> Unauthorized:
    return Unauthorized("The Authorization field must use the scheme Bearer.", code="token_scheme")


def _token(token: bytes) -> bytes:
    if token and not token.translate(None, _TOKEN68) and (b"=" not in token or _PADDED.fullmatch(token)):
        return token
    raise Unauthorized("The Authorization field holds no well-formed token.", code="token_malformed")


def _basic(encoded: bytes, basic: BasicRules) -> bytes | BasicCredential:
    try:
        text = base64_text(encoded) if len(encoded) <= _MOST_ENCODED else ""
    except ValueError:
        text = ""
    name, _, password = text.partition(":")
    if basic.tokens and name == TOKEN_USER:
        return _token(password.encode())
    if not basic.passwords:
        raise _other_scheme()
    if (
        not name
        or not password
        or _CONTROL.search(text)
        or len(name.encode()) > _MOST_NAME
        or len(password.encode()) > _MOST_PASSWORD
    ):
        raise Unauthorized("The Authorization field holds no well-formed name and password.", code="basic_malformed")
    return BasicCredential(name, password)
