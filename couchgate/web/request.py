"""One request of a client, from its complete head to its last byte out.

It is what a Resource of the tree renders. Nothing of the body has been read when that happens: a Resource that wants
it names a `BodySink`. Either `respond` and `refuse` answer as a whole, or `begin`, `send` and `finish` stream.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from twisted.python.failure import Failure

from couchgate.core.errors import GateError
from couchgate.core.message import NO_BODY, Framing, RequestHead
from couchgate.core.rewrite import lines_of, refusal_body
from couchgate.core.target import Target
from couchgate.http1.chunked import LAST_CHUNK, encode_chunk
from couchgate.http1.manners import JSON, REASONS, new_trace

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

    from couchgate.web.channel import GateChannel

_UNTRUSTED = frozenset((400, 421, 431, 501, 505))  # after these nobody knows what the next bytes mean


class BodySink(Protocol):
    """Who reads the body of a request, and hears of its client."""

    def body_data(self, data: bytes) -> None:
        """Body bytes, not empty."""

    def body_done(self) -> None:
        """The body is complete."""

    def body_failed(self, error: GateError) -> None:
        """The body is malformed, too long or too slow: answer with `error`."""

    def client_gone(self) -> None:
        """The client has left: end everything that is done for it."""

    def client_drained(self) -> None:
        """The client takes data again."""

    def time_out(self, error: GateError) -> None:
        """What answers stands still for too long, and it is not the client's doing; `error` says how."""


class ClientRequest:
    """A request and how far its answer is. `lines` are the header lines that every answer carries.

    `code` is the word for what became of it, and `reason` the sentence that a refused client was told.
    """

    lines = b""
    status = 0
    code = "forwarded"
    reason = ""
    endpoint = ""
    principal = ""
    received = 0
    sent = 0
    seen = -1  # what `sent` was when the channel last looked
    upstream_seconds = -1.0
    finding_out: Deferred[None] | None = None  # what its decision needs; cancelled when its client leaves
    record = 0  # its id in the flight recorder, from the decision on
    subject = 0  # and what that says of it, from then on
    _chunked = False

    def __init__(self, channel: GateChannel, head: RequestHead, started: float, *, keep: bool) -> None:
        self.channel = channel
        self.sink: BodySink | None = None
        self.target: Target | None = None
        self.head = head
        self.started = started  # seconds since the epoch
        self.keep = keep  # whether the connection serves another request after this one
        self.trace = channel.site.gate.trace(head.fields) or new_trace()

    @property
    def id(self) -> str:
        """The request's id in logs and answers: 32 hex digits, the trace id of W3C Trace Context."""
        return self.trace.decode("ascii")

    @property
    def waits(self) -> bool:
        """Whether the client still waits for this answer."""
        return self.channel.serves(self)

    def fault(self, reason: Failure) -> None:
        """A fault of the gate itself: answer 500."""
        self.channel.fault(self, reason)

    @property
    def address(self) -> str:
        """The client's address."""
        return self.channel.peer.address

    @property
    def method(self) -> bytes:
        """The method as sent."""
        return self.head.method

    def respond(self, status: int, lines: bytes, body: bytes = b"") -> None:
        """Answer with a whole body; `lines` are further header lines."""
        if self.head.framing is not NO_BODY and not self.channel.body_complete:
            self.keep = False
        length = b"Content-Length: %d\r\n" % len(body) if status != 204 else b""
        date = b"Date: %b\r\n" % self.channel.site.date
        out = self._head(status, REASONS.get(status, b""), b"\r\n" + date + lines + length)
        if self.head.method != b"HEAD":
            out += body
            self.sent += len(body)
        self.channel.write(out)
        self.channel.answered(self)

    def refuse(self, error: GateError) -> None:
        """Answer with a refusal, or cut the connection if an answer was begun already."""
        self.code = error.code
        self.reason = error.reason
        if self.status:
            self.channel.abort()
            return
        if error.status in _UNTRUSTED:
            self.keep = False
        self.respond(error.status, lines_of(error.headers) + JSON, refusal_body(error))

    def begin(self, status: int, reason: bytes, lines: bytes, framing: Framing, data: bytes, *, done: bool) -> bool:
        """Begin a streamed answer with the first `data`; `lines` are header lines, each behind its CRLF.

        False: wait for `client_drained`.
        """
        kind = framing.kind
        if kind == "length":
            lines += b"\r\nContent-Length: %d" % framing.length
        elif kind != "none" and self.channel.site.keepalive and self.head.version == 11:
            # Also what CouchDB ends by closing: of a Unix socket's end nobody can tell whether it was cut.
            lines += b"\r\nTransfer-Encoding: chunked"
            self._chunked = True
        elif kind != "none":
            self.keep = False  # the end of the connection is the end of the body
        return self._write(self._head(status, reason, lines + b"\r\n"), data, done=done)

    def send(self, data: bytes, *, done: bool) -> bool:
        """Send more of a streamed answer. False: wait for `client_drained`."""
        return self._write(b"", data, done=done)

    def _write(self, out: bytes, data: bytes, *, done: bool) -> bool:
        if data:
            self.sent += len(data)
            out += encode_chunk(data) if self._chunked else data
        if done and self._chunked:
            out += LAST_CHUNK
        going = not out or self.channel.write(out)
        if done:
            self.channel.answered(self)
        return going

    def _head(self, status: int, reason: bytes, lines: bytes) -> bytes:
        """`lines` begin and end with CRLF."""
        self.status = status
        version = b"1.1" if self.channel.site.keepalive else b"1.0"
        more = b"" if self.keep else b"Connection: close\r\n"
        if self.channel.site.gate.traces:
            more = b"X-Request-ID: %b\r\n%b" % (self.trace, more)
        return b"HTTP/%b %d %b%b%b%b\r\n" % (version, status, reason, lines, self.lines, more)
