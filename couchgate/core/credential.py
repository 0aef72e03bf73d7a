"""The one place where a token may sit: one `Authorization: Bearer` field (RFC 6750 2.1).

Never in a query, where it would be logged, nor in a body, which nobody has read yet. Two such fields are 400, because
the gate and CouchDB might each pick another. The scheme's case does not matter (RFC 9110 11.1). What an error says
never holds a byte of what was sent.
"""

from __future__ import annotations

import re

from couchgate.core.errors import BadRequest, Unauthorized
from couchgate.core.message import Fields

_SCHEME = b"bearer"
_PADDED = re.compile(rb"[^=]+=*")
_TOKEN68 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/="


def bearer(fields: Fields) -> bytes | None:
    """The token, or None when no `Authorization` was sent.

    Raises BadRequest (`credential_duplicate`), and Unauthorized: `token_scheme` for another scheme than Bearer,
    `token_malformed` for what is no token68.
    """
    values = fields.all(b"authorization")
    if not values:
        return None
    if len(values) > 1:
        raise BadRequest("A request may have one Authorization field.", code="credential_duplicate")
    scheme, _, rest = values[0].partition(b" ")
    if scheme.lower() != _SCHEME:
        raise Unauthorized("The Authorization field must use the scheme Bearer.", code="token_scheme")
    token = rest.lstrip(b" ")
    if token and not token.translate(None, _TOKEN68) and (b"=" not in token or _PADDED.fullmatch(token)):
        return token
    raise Unauthorized("The Authorization field holds no well-formed token.", code="token_malformed")
