"""Heads: toward CouchDB and toward the client.

Toward CouchDB goes what the client sent, less what CouchDB would obey or what belongs to one connection only, in the
order and spelling in which it came; what the gate itself says is added behind. Names are compared with `_` read as
`-`, because some servers do so too. Names that the client lists in `Connection` are dropped as hop-by-hop; they
cannot touch what the gate adds, since that is added afterwards.

Toward the client goes what CouchDB sent, less what tells about CouchDB or contradicts the gate's CORS answer.
Heads are made as bytes: a list of fields that is serialised later costs a third of the whole relay.
"""

from __future__ import annotations

import json
import re

from couchgate.core.errors import GateError
from couchgate.core.lines import Splitter
from couchgate.core.message import Fields, Pair, ResponseHead
from couchgate.core.trace import passed_on, trace_id

_ORDINARY_OPTIONS = frozenset((b"keep-alive", b"close", b"te", b"upgrade"))

# The fields of a response that the gate looks at; all others are passed on unread.
_NAMES = re.compile(
    rb"connection|keep-alive|proxy-.*|te|trailer|transfer-encoding|upgrade|http2-settings|content-length"
    rb"|content-encoding|server|x-couch-stack-hash|www-authenticate|set-cookie|access-control-.*|x-request-id"
)
RESPONSE_LINES = Splitter(lambda lower: _NAMES.fullmatch(lower) is not None)
_KEPT_SPECIAL = frozenset((b"set-cookie", b"content-encoding"))

SANDBOX = b"\r\nX-Content-Type-Options: nosniff\r\nContent-Security-Policy: sandbox"


def named_hop_by_hop(values: tuple[bytes, ...]) -> frozenset[bytes]:
    """The lower-case names listed in `Connection` fields (RFC 9110 7.6.1)."""
    parts = (part.strip(b" \t").lower() for value in values for part in value.split(b","))
    return frozenset(name for name in parts if name)  # RFC 9110 5.6.1: a list may have empty elements


def toward_couchdb(fields: Fields) -> bytes:
    """The lines of the client's fields that CouchDB may see, each behind its CRLF.

    Of the special ones (`Fields.special`) those are `Destination` and the client's trace, if it can be read.
    """
    lines = fields.lines
    options = fields.special.get(b"connection")
    if options is not None:
        named = named_hop_by_hop(options) - _ORDINARY_OPTIONS
        if named:
            lines = _without(lines, named)
    for value in fields.special.get(b"destination", ()):
        lines += b"\r\nDestination: %b" % value
    return lines + passed_on(fields) if trace_id(fields) else lines


def toward_client(head: ResponseHead) -> bytes:
    """The lines of CouchDB's fields that the client may see, each behind its CRLF; framing is the face's to add."""
    lines = head.lines
    for name, value in head.special:
        if name in _KEPT_SPECIAL:
            if name == b"content-encoding" or not value.lower().startswith(b"authsession"):
                lines += b"\r\n%b: %b" % (name, value)
        elif name == b"connection" and value.lower() not in (b"close", b"keep-alive"):
            lines = _without(lines, named_hop_by_hop((value,)))
    return lines


def _without(lines: bytes, named: frozenset[bytes]) -> bytes:
    """`lines` less the fields that a `Connection` field names."""
    kept = [line for line in lines.split(b"\r\n") if line.partition(b":")[0].lower() not in named]
    return b"\r\n".join(kept)


def lines_of(pairs: tuple[Pair, ...]) -> bytes:
    """Header lines of `(name, value)` pairs."""
    return b"".join(b"%b: %b\r\n" % pair for pair in pairs)


def refusal_body(error: GateError) -> bytes:
    """A refusal in CouchDB's JSON form."""
    return json.dumps({"error": error.error, "reason": error.reason}).encode() + b"\n"
