"""Which web pages may read the gate's answers (the CORS protocol of the Fetch standard), and the fields that say so.

- An origin is compared byte by byte with the configured ones (RFC 6454 6.2: the ASCII serialisation). No patterns, no
  `*`, no `null`: PouchDB always sends credentials, and anybody can have the origin `null`. What is echoed is the
  configured origin. Two `Origin` fields are none.
- Every answer carries the fields, refusals too: without them PouchDB sees a network failure and retries for ever. The
  answer to an origin that is not allowed carries `Vary: Origin` alone, so no cache gives it to one that is.
- A preflight needs no token (browsers send none) and never reaches CouchDB. To an allowed origin it is answered 204
  with everything that the gate offers, whatever was asked: a fixed answer has nothing to inject into. To another
  origin it is 403 without CORS fields.
- Never offered: the fields in which CouchDB takes an identity, and `X-HTTP-Method-Override`.
- Private Network Access is granted only by setting and only to an allowed origin. Without the setting the field is
  missing and the browser decides: the page's origin was allowed by name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from couchgate.core.message import Fields, Pair

METHODS = b"GET, HEAD, POST, PUT, DELETE, COPY, OPTIONS"
OFFERED = (
    b"accept, accept-language, authorization, cache-control, content-type, destination, if-match, if-modified-since,"
    b" if-none-match, if-range, last-event-id, pragma, range, traceparent, tracestate, x-couch-full-commit,"
    b" x-couch-request-id, x-requested-with"
)
EXPOSED = (
    b"Accept-Ranges, Content-Disposition, Content-Encoding, Content-Length, Content-MD5, Content-Range, Date, ETag,"
    b" Last-Modified, Location, Retry-After, WWW-Authenticate, X-Couch-Request-ID, X-Couch-Update-NewRev,"
    b" X-CouchDB-Body-Time, X-Request-ID"
)

_ORIGIN = re.compile(
    r"(?P<scheme>[a-z][a-z0-9+.-]*)://(?:[a-z0-9_](?:[a-z0-9._-]*[a-z0-9_])?|\[[0-9a-f:.]+\])"
    r"(?::(?P<port>[1-9][0-9]{0,4}))?"
)
_DEFAULT_PORTS = {"http": "80", "https": "443"}
_MAX_PORT = 65535
_LONGEST = 86400  # seconds: no browser keeps a preflight longer

_VARY = (b"Vary", b"Origin")
_CREDENTIALS = (b"Access-Control-Allow-Credentials", b"true")
_PREFLIGHT_VARY = (
    b"Vary",
    b"Origin, Access-Control-Request-Method, Access-Control-Request-Headers, Access-Control-Request-Private-Network",
)


def _check_origin(origin: str) -> bytes:
    if origin == "*":
        raise ValueError("The origin '*' cannot be used with credentials: name every origin.")
    if origin == "null":
        raise ValueError("The origin 'null' cannot be allowed: any page can have it.")
    match = _ORIGIN.fullmatch(origin)
    if match is None:
        raise ValueError(
            f"{origin!r} is no origin as browsers send it: scheme://host or scheme://host:port in lower case, no path."
        )
    port = match["port"]
    if port is not None and int(port) > _MAX_PORT:
        raise ValueError(f"The port of the origin {origin!r} is above {_MAX_PORT}.")
    if port is not None and port == _DEFAULT_PORTS.get(match["scheme"]):
        raise ValueError(f"Browsers leave out the port of the origin {origin!r}, because it is the scheme's own.")
    return origin.encode()


class Cors:
    """The answer to every origin, made ready once. Raises ValueError with one sentence for what is no origin."""

    def __init__(self, origins: Iterable[str], private_network: bool = False, max_age: int = 7200) -> None:  # noqa: FBT001, FBT002  # the settings' own words, given by name
        if not 0 <= max_age <= _LONGEST:
            raise ValueError(f"A preflight can be kept for 0 to {_LONGEST} seconds.")
        self._private_network = private_network
        self._answers: dict[bytes, tuple[Pair, ...]] = {}
        self._preflights: dict[bytes, tuple[Pair, ...]] = {}
        for origin in map(_check_origin, origins):
            allowed = (b"Access-Control-Allow-Origin", origin)
            self._answers[origin] = (allowed, _CREDENTIALS, (b"Access-Control-Expose-Headers", EXPOSED), _VARY)
            self._preflights[origin] = (
                allowed,
                _CREDENTIALS,
                (b"Access-Control-Allow-Methods", METHODS),
                (b"Access-Control-Allow-Headers", OFFERED),
                (b"Access-Control-Max-Age", b"%d" % max_age),
                _PREFLIGHT_VARY,
            )
        # Without origins nothing varies with one.
        self._otherwise: tuple[Pair, ...] = (_VARY,) if self._answers else ()

    @property
    def origins(self) -> tuple[bytes, ...]:
        """The allowed origins."""
        return tuple(self._answers)

    def match(self, fields: Fields) -> bytes | None:
        """The allowed origin that the request comes from, or None: no `Origin`, two, or one that is not allowed."""
        values = fields.all(b"origin")
        return values[0] if len(values) == 1 and values[0] in self._answers else None

    def answer(self, origin: bytes | None) -> tuple[Pair, ...]:
        """The fields that every answer carries; `origin` is what `match` gave."""
        return self._otherwise if origin is None else self._answers[origin]

    def preflight(self, method: bytes, fields: Fields) -> bool:
        """Whether this is a preflight (Fetch, "CORS-preflight request"): the gate answers it, without a token."""
        return method == b"OPTIONS" and b"origin" in fields and b"access-control-request-method" in fields

    def preflight_status(self, fields: Fields) -> int:
        """The status of the answer to a preflight: 204 to an allowed origin, 403 to any other."""
        return 403 if self.match(fields) is None else 204

    def preflight_answer(self, fields: Fields) -> tuple[Pair, ...]:
        """All CORS fields of the answer to a preflight (none of `answer` besides); for a foreign origin only `Vary`."""
        origin = self.match(fields)
        if origin is None:
            return (_PREFLIGHT_VARY,)
        if self._private_network and fields.all(b"access-control-request-private-network") == (b"true",):
            return (*self._preflights[origin], (b"Access-Control-Allow-Private-Network", b"true"))
        return self._preflights[origin]
