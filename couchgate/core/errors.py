"""Every way in which the gate says no.

One tree. Each error carries what three readers need: the HTTP status for the client's machine, the CouchDB error
word that PouchDB acts on, and a one-sentence reason for a person. `code` is for the log and never changes with
wording. A reason never holds a token, a secret or a key.

PouchDB ends a live sync for good when the word is `unauthorized` or `forbidden`; every other word makes it back off
and retry. So those two words are kept for identity and permission, and what will pass is a 503 with `Retry-After`.
"""

from __future__ import annotations

from typing import ClassVar


class GateError(Exception):
    """A refusal, as a value that can be raised.

    Attributes: `status` (HTTP status), `error` (CouchDB's error word), `reason` (one sentence for a person),
    `code` (a stable word for logs and metrics), `headers` (extra response fields as byte pairs).
    """

    status: ClassVar[int] = 500
    error: ClassVar[str] = "internal_server_error"
    default_code: ClassVar[str] = "internal"

    def __init__(self, reason: str, *, code: str | None = None, headers: tuple[tuple[bytes, bytes], ...] = ()) -> None:
        super().__init__(reason)
        self.reason = reason
        self.code = code or self.default_code
        self.headers = headers


class BadRequest(GateError):
    """400: the bytes cannot be read in one way only, or break a rule of the protocol."""

    status = 400
    error = "bad_request"
    default_code = "bad_request"


# Where a token was not what was wrong: RFC 6750 3.1 wants no error code then.
_BARE = frozenset(("token_missing", "basic_malformed", "password_wrong", "password_name"))


class Unauthorized(GateError):
    """401 (RFC 6750): no valid credential. Always carries `WWW-Authenticate: Bearer`, never `Basic`."""

    status = 401
    error = "unauthorized"
    default_code = "token_invalid"

    def __init__(self, reason: str, *, code: str | None = None, headers: tuple[tuple[bytes, bytes], ...] = ()) -> None:
        if not headers:
            headers = ((b"WWW-Authenticate", b"Bearer" if code in _BARE else b'Bearer error="invalid_token"'),)
        super().__init__(reason, code=code, headers=headers)


class UnknownKey(Unauthorized):
    """No key of the rules' set fits the token: fresh keys may know it, so a face may refresh once and ask again.

    `rules_id` and `kid` say which set lacks which key.
    """

    default_code = "key_unknown"
    rules_id: str = ""
    kid: str | None = None


class Forbidden(GateError):
    """403: the person is known and may not do this."""

    status = 403
    error = "forbidden"
    default_code = "policy"


class NotFound(GateError):
    """404: the gate itself answers here, and has nothing under this name."""

    status = 404
    error = "not_found"
    default_code = "not_found"


class MethodNotAllowed(GateError):
    """405: the gate itself answers here, but not to this method."""

    status = 405
    error = "method_not_allowed"
    default_code = "method"


class RequestTimeout(GateError):
    """408: the head or the body of the request did not come in time."""

    status = 408
    error = "request_timeout"
    default_code = "slow_client"


class BodyTooLarge(GateError):
    """413: the body is longer than `[limits] body_bytes`."""

    status = 413
    error = "too_large"
    default_code = "body_too_large"


class UnsupportedBody(GateError):
    """415: a body that must be judged came in a form that cannot be judged, such as gzip."""

    status = 415
    error = "bad_content_type"
    default_code = "body_encoding"


class Misdirected(GateError):
    """421 (RFC 9110 15.5.20): a `Host` that this gate does not serve."""

    status = 421
    error = "misdirected_request"
    default_code = "host"


class TooManyRequests(GateError):
    """429: a limit per principal is reached."""

    status = 429
    error = "too_many_requests"
    default_code = "limit"


class HeadTooLarge(GateError):
    """431: the request's head is longer, or has more fields, than the limits allow."""

    status = 431
    error = "request_header_fields_too_large"
    default_code = "head_too_large"


class NotImplementedByGate(GateError):
    """501: a method or transfer coding that the gate does not relay."""

    status = 501
    error = "not_implemented"
    default_code = "not_implemented"


class BadGateway(GateError):
    """502: CouchDB answered with bytes that are not one valid HTTP response."""

    status = 502
    error = "bad_gateway"
    default_code = "upstream_garbage"


class Unavailable(GateError):
    """503 with `Retry-After`: it will pass, and PouchDB tries again."""

    status = 503
    error = "service_unavailable"
    default_code = "upstream_down"

    def __init__(self, reason: str, *, code: str | None = None, retry_after: int = 5) -> None:
        super().__init__(reason, code=code, headers=((b"Retry-After", b"%d" % retry_after),))


class KeysMissing(Unavailable):
    """There are no keys of the rules' issuer: they may be on their way, so a face may wait once and ask again.

    `rules_id` and `kid` as in `UnknownKey`.
    """

    default_code = "keys_missing"
    rules_id: str = ""
    kid: str | None = None


class GatewayTimeout(GateError):
    """504: CouchDB took the request and did not answer in time."""

    status = 504
    error = "gateway_timeout"
    default_code = "upstream_timeout"


class VersionNotSupported(GateError):
    """505: a request in another HTTP version than 1.0 or 1.1."""

    status = 505
    error = "http_version_not_supported"
    default_code = "http_version"


class InternalError(GateError):
    """500: a fault in the gate itself. It fails closed: nothing was forwarded."""
