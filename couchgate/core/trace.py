"""The id that one request has everywhere: in the client's trace, in the gate's log, in CouchDB's log, in the answer.

W3C Trace Context (level 1): a client that traces sends `traceparent: 00-<trace id>-<parent id>-<flags>`. A readable one
is passed on as it came, and its trace id is the request's id. Anything else is dropped, `tracestate` with it (3.3), and
the gate starts a trace of its own. CouchDB logs `X-Couch-Request-ID` and takes up to 36 characters: a trace id fits.
"""

from __future__ import annotations

import re

from couchgate.core.message import Fields

# Later versions may be longer (2.2.4 there); ff is no version, and ids of zeros only are none.
_PARENT = re.compile(rb"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-[!-~]{1,64})?")
_STATE_BYTES = 512  # what 3.3.1.5 asks a party to pass on at least


def trace_id(fields: Fields) -> bytes:
    """The trace id that the client sent, 32 lower-case hex digits; empty if it sent none that can be read."""
    values = fields.special.get(b"traceparent")
    if values is None or len(values) != 1:
        return b""
    match = _PARENT.fullmatch(values[0])
    if match is None or (values[0].startswith(b"00-") and len(values[0]) != 55):
        return b""
    return match[1]


def passed_on(fields: Fields) -> bytes:
    """The header lines of the client's trace, each behind its CRLF; the trace id can be read."""
    lines = b"\r\ntraceparent: %b" % fields.special[b"traceparent"][0]
    state = b",".join(fields.special.get(b"tracestate", ()))
    return lines + b"\r\ntracestate: %b" % state if 0 < len(state) <= _STATE_BYTES else lines


def started(trace: bytes) -> bytes:
    """The header lines, each with its CRLF, by which CouchDB hears of `trace`, which the gate has begun itself."""
    return b"traceparent: 00-%b-%b-01\r\nX-Couch-Request-ID: %b\r\n" % (trace, trace[16:], trace)


def continued(trace: bytes) -> bytes:
    """The same for a trace of the client's, whose own lines are passed on."""
    return b"X-Couch-Request-ID: %b\r\n" % trace
