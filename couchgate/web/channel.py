"""One connection of a client: bytes in, requests out, answers back in order.

A connection serves one request at a time. What a client sends ahead stays bytes until its turn, and is not even read
once it passes the size of a head. The head alone decides: `_start` walks the Resource tree before a byte of the body
is read or `100 Continue` is said. After an answer that leaves a body unread the connection is closed for writing and
the rest is thrown away for a moment, because closing with unread bytes would send RST and destroy the answer.
"""

from __future__ import annotations

from twisted.python.failure import Failure

from couchgate.core.errors import BodyTooLarge, GateError, GatewayTimeout, RequestTimeout, Unavailable
from couchgate.core.message import NO_BODY, UNTIL_CLOSE, Fields, RequestHead
from couchgate.http1.manners import DISCARD_BYTES, DISCARD_SECONDS, HALF_CLOSED_SECONDS, overdue
from couchgate.http1.requests import BodyReader, Habit, take_head
from couchgate.web.intake import Intake
from couchgate.web.request import ClientRequest
from couchgate.web.routing import route


class GateChannel(Intake):
    """The server's side of one client connection: the owner of its wire."""

    _habit: Habit | None = None
    _taking = False
    _closing = False
    _discarded = -1  # bytes thrown away since the connection began to close; -1: it does not

    # -- the wire's side

    def opened(self) -> None:
        """The wire is there."""
        if self.site.keepalive:
            self._habit = Habit()
        if not self.site.opened(self):
            self._refuse_unread(Unavailable("The gate has no connection to spare.", code="connections", retry_after=1))

    def received(self, data: bytes) -> None:
        """Bytes from the client."""
        if self._discarded >= 0:
            self._discarded += len(data)
            if self._discarded > DISCARD_BYTES:
                self.abort()
            return
        if self._buffer:
            data = self._buffer + data
        if self._request is None and not self.wire.blocked:
            self._take(data)
            return
        self._buffer = data  # who does not read answers gets no further ones
        if self._reading_body:
            self._feed_body()
        elif len(data) > self.site.limits.head_bytes:
            self.pause()

    def _take(self, data: bytes) -> None:
        """Serve the requests at the front of `data`, one after another, as long as they are answered at once."""
        self._taking = True
        limits = self.site.limits
        habit = self._habit
        while True:
            try:
                taken = take_head(data, limits.head_bytes, limits.header_count, habit)
            except GateError as error:
                self._buffer = b""
                self._refuse_unread(error)
                break
            if taken is None:
                if not self._buffer:
                    self._since = self.site.tick
                self._buffer = data
                break
            head, used = taken
            self._buffer = data = data[used:]
            self._start(head)
            data = self._buffer  # less the body, if that was read at once
            if self._request is not None or self._closing or self._discarded >= 0 or not data or self.wire.blocked:
                break
        self._taking = False
        if self._half_closed and self._request is None and self._discarded < 0 and not self.wire.blocked:
            self._close()

    def _start(self, head: RequestHead) -> None:
        """The head is complete: find the Resource and let it decide."""
        site = self.site
        keep = site.keepalive and head.version == 11 and not site.draining
        request = ClientRequest(self, head, site.wall(), keep=keep)
        self._request = request
        self._since = site.tick
        framing = head.framing
        try:
            if framing is not NO_BODY:
                self._body = BodyReader(framing)
                if framing.length > site.limits.body_bytes:
                    raise BodyTooLarge(f"The body is longer than {site.limits.body_bytes} bytes.")  # noqa: TRY301
            route(site, request)
        except GateError as error:
            request.lines = request.lines or site.gate.cors_lines(head.fields)
            request.refuse(error)
        except Exception:  # noqa: BLE001  # fail closed: nothing more is done for this request
            self.fault(request, Failure())

    @property
    def present(self) -> ClientRequest | None:
        """The request that is under way."""
        return self._request

    def drain(self) -> None:
        """The gate shuts down: close as soon as nothing is under way."""
        request = self._request
        if request is not None:
            request.keep = False
        elif self._discarded < 0:
            self._close()

    def _refuse_unread(self, error: GateError) -> None:
        """Answer what could not be read as a request, and close."""
        head = RequestHead(b"", b"", 11, Fields(), UNTIL_CLOSE)
        request = ClientRequest(self, head, self.site.wall(), keep=False)
        request.endpoint = "unread"
        self._request = request
        self._body = BodyReader(UNTIL_CLOSE)
        request.refuse(error)

    # -- the answer

    def write(self, data: bytes) -> bool:
        """Send part of an answer. False: wait for `client_drained`."""
        if self.wire.write(data):
            return True
        self._since = self.site.tick
        return False

    def answered(self, request: ClientRequest) -> None:
        """The answer to `request` is complete, or broken off for good."""
        if self._request is not request:
            return
        self._request = None
        request.sink = None
        self._reading_body = False
        self._since = self.site.tick
        site = self.site
        if site.log is not None:
            site.log(request)
        site.count(request)
        self._record_end(request)
        body = self._body
        if not request.keep or (body is not None and not body.done):
            self._close_politely()
            return
        self._body = None
        if not self._taking and not self.wire.blocked:
            self._go_on()

    def _record_end(self, request: ClientRequest) -> None:
        recorder = self.site.recorder
        if recorder is not None:
            recorder.ended(
                request.record,
                request.subject or recorder.subject(request.head.method, request.endpoint, feed=False),
                request.code,
                request.status,
                request.sent,
                request.received,
                request.upstream_seconds,
            )

    def _go_on(self) -> None:
        """Turn to what the client has sent ahead, now that its last answer is out."""
        if self._paused:
            self.resume()
        if self._buffer:
            self._take(self._buffer)
        elif self._half_closed:
            self._close()

    def _close_politely(self) -> None:
        unread = bool(self._buffer) or not self.body_complete
        self._buffer = b""
        if self._half_closed or not unread:
            self._close()
            return
        self._discarded = 0
        self.resume()
        if not self.wire.blocked:
            self.wire.close_write()

    def drained(self) -> None:
        """The client takes data again."""
        request = self._request
        self._since = self.site.tick
        if request is not None:
            if request.sink is not None:
                request.sink.client_drained()
        elif self._discarded >= 0:
            self.wire.close_write()
        else:
            self._go_on()

    def abort(self) -> None:
        """Cut the connection (RST), so that nothing half-sent looks whole."""
        self._closing = True
        self.wire.abort()
        self._leave()

    # -- the end

    def _leave(self) -> None:
        """Nobody listens any more: end what is done for the present request."""
        request, self._request = self._request, None
        if request is None:
            return
        sink, request.sink = request.sink, None
        if request.code == "forwarded":
            request.code = "client_gone"
        if self.site.log is not None:
            self.site.log(request)
        self.site.count(request)
        self._record_end(request)
        if sink is not None:
            sink.client_gone()
        elif request.finding_out is not None:
            request.finding_out.cancel()

    def ended(self) -> None:
        """The client has closed its side: a shell that pipes, or one that has left."""
        self._half_closed = True
        request = self._request
        if request is None:
            self._close()
        elif not self.body_complete or self.site.leaves_by_closing(request):
            # A cut body will never be whole, and a feed has no end to wait for.
            self.abort()

    def lost(self, *, clean: bool) -> None:  # noqa: ARG002  # the client has left, one way or the other
        """The connection is gone."""
        self._closing = True
        self.site.closed(self)
        self._leave()
        self._buffer = b""

    def _close(self) -> None:
        self._closing = True
        self.wire.close()

    def _end(self) -> None:
        """Close; or cut, if the client does not take what is left."""
        if self._closing or self.wire.blocked:
            self.abort()
        else:
            self._close()

    def sweep(self, now: float) -> None:
        """End waits that take too long; called about twice a second with the site's coarse clock."""
        request, limits = self._request, self.site.limits
        if request is not None and request.status and request.sent != request.seen:
            request.seen = request.sent
            self._since = now
        waited = now - self._since
        if self._discarded >= 0:
            if waited > DISCARD_SECONDS:
                self._end()
        elif request is None:
            if self._buffer and not self.wire.blocked:
                if waited > limits.head_seconds:
                    self._buffer = b""
                    self._refuse_unread(RequestTimeout("The head of the request did not come in time."))
            elif waited > limits.idle_seconds:
                self._end()
        elif self.wire.blocked or (self._half_closed and waited > HALF_CLOSED_SECONDS):
            if waited > limits.idle_seconds:
                self.abort()
        elif self._reading_body and not self._paused and waited > limits.idle_seconds:
            sink = request.sink
            self._reading_body = False
            if sink is not None:
                sink.body_failed(RequestTimeout("The body of the request did not come in time."))
        elif request.sink is not None and (error := self._overdue(request, waited)) is not None:
            request.sink.time_out(error)

    def _overdue(self, request: ClientRequest, waited: float) -> GatewayTimeout | None:
        site = self.site
        return overdue(
            waited,
            site.first_byte_seconds,
            site.upstream_idle_seconds,
            begun=request.status != 0,
            asked=self.body_complete,
            stuck=self._paused,
        )
