"""One request of a client and how far its answer is; what the access log and the metrics are told at its end."""

from __future__ import annotations

from email.utils import formatdate

from couchgate.core.errors import GateError
from couchgate.core.message import Framing, Peer, RequestHead
from couchgate.core.rewrite import lines_of, refusal_body
from couchgate.core.target import Target
from couchgate.http1.manners import JSON, REASONS


class ThreadedRequest:
    """`lines` are the header lines that every answer carries; `traces` says whether its id (`trace`) is one of them.

    `code` is the word for what became of it, and `reason` the sentence that a refused client was told. `started` is in
    seconds since the epoch; `upstream_seconds` is how long CouchDB took to answer, -1 if it did not.
    """

    def __init__(self, head: RequestHead, peer: Peer, started: float, trace: bytes, *, traces: bool) -> None:
        self.head = head
        self.peer = peer
        self.started = started
        self.trace = trace
        self._traces = traces
        self.target: Target | None = None
        self.lines = b""
        self.status = 0
        self.code = "forwarded"
        self.reason = ""
        self.endpoint = ""
        self.principal = ""
        self.received = 0
        self.sent = 0
        self.upstream_seconds = -1.0
        self.record = 0  # its id in the flight recorder, from the decision on
        self.subject = 0  # and what that says of it, from then on

    def begin(self, status: int, reason: bytes, lines: bytes, framing: Framing) -> bytes:
        """The head of a streamed answer, whose body ends by its length or by closing. `lines` are CouchDB's."""
        if framing.kind == "length":
            lines += b"\r\nContent-Length: %d" % framing.length
        return self._head(status, reason, lines + b"\r\n")

    def whole(self, status: int, lines: bytes, body: bytes = b"") -> bytes:
        """A whole answer of the gate's own; each of `lines` has its CRLF behind it."""
        length = b"Content-Length: %d\r\n" % len(body) if status != 204 else b""
        date = b"\r\nDate: %b\r\n" % formatdate(usegmt=True).encode()
        out = self._head(status, REASONS.get(status, b""), date + lines + length)
        if self.head.method == b"HEAD":
            return out
        self.sent += len(body)
        return out + body

    def refusal(self, error: GateError) -> bytes:
        """The answer that says no."""
        self.refused(error)
        return self.whole(error.status, lines_of(error.headers) + JSON, refusal_body(error))

    def refused(self, error: GateError) -> None:
        """This ended it."""
        self.code = error.code
        self.reason = error.reason

    def _head(self, status: int, reason: bytes, lines: bytes) -> bytes:
        """`lines` begin and end with CRLF."""
        self.status = status
        traced = b"X-Request-ID: %b\r\n" % self.trace if self._traces else b""
        return b"HTTP/1.0 %d %b%b%b%bConnection: close\r\n\r\n" % (status, reason, lines, self.lines, traced)
