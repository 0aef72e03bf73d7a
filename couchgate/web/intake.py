"""The present request of a connection, and the body that it brings.

A body is read only once somebody wants it (`read_body`): until then what comes stays in the buffer, and once that is
longer than a head the connection is not read. `100 Continue` is said at that moment, which is after the decision.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from twisted.logger import Logger
from twisted.python.failure import Failure

from couchgate.core.errors import BodyTooLarge, GateError, InternalError
from couchgate.core.message import Peer
from couchgate.http1.requests import BodyReader
from couchgate.web.request import BodySink, ClientRequest
from couchgate.wire import Wire

if TYPE_CHECKING:
    from couchgate.web.site import Site

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Intake:
    """What `GateChannel` receives for the request that it serves."""

    log: ClassVar[Logger] = Logger()
    _buffer = b""
    _reading_body = False
    _paused = False
    _half_closed = False
    record = 0  # the connection's id in the flight recorder

    def __init__(self, site: Site, peer: Peer) -> None:
        self._request: ClientRequest | None = None
        self._body: BodyReader | None = None
        self.site = site
        self.peer = peer
        self._since = site.tick  # when the present wait began, by the site's coarse clock
        self.wire: Wire

    def serves(self, request: ClientRequest) -> bool:
        """Whether `request` is the present one."""
        return self._request is request

    def fault(self, request: ClientRequest, reason: Failure) -> None:
        """A fault of the gate itself: log it, answer 500."""
        self.log.failure("A request failed inside the gate", failure=reason)
        if self._request is request:
            sink, request.sink = request.sink, None
            if sink is not None:
                sink.client_gone()
            request.refuse(InternalError("The gate failed to handle this request; its log says why."))

    @property
    def body_complete(self) -> bool:
        """Whether the present request's body was read to its end."""
        return self._body is None or self._body.done

    def read_body(self, sink: BodySink) -> None:
        """Deliver the body of the present request to `sink`, which has been told to everybody as `request.sink`."""
        request = self._request
        if request is None:
            return
        if self._body is None:
            sink.body_done()
            return
        self._reading_body = True
        self.resume()  # it may have sent more than a head's worth before anybody wanted it
        if not self._buffer and self.site.keepalive and request.head.version == 11:
            expect = request.head.fields.first(b"expect")
            if expect is not None and expect.lower() == b"100-continue":
                self.wire.write(_CONTINUE)
        if self._buffer:
            self._feed_body()

    def _feed_body(self) -> None:
        request, body = self._request, self._body
        data, self._buffer = self._buffer, b""
        if request is None or body is None or request.sink is None:
            return
        self._since = self.site.tick
        sink = request.sink
        try:
            piece = body.feed(data)
            self._buffer = body.rest  # the next request's, also if this body is refused in a moment
            if body.size > self.site.limits.body_bytes:
                raise BodyTooLarge(f"The body is longer than {self.site.limits.body_bytes} bytes.")
        except GateError as error:
            self._reading_body = False
            sink.body_failed(error)
            return
        request.received = body.size
        try:
            if piece:
                sink.body_data(piece)
            if body.done and self._request is request and self._reading_body:
                self._reading_body = False
                sink.body_done()
        except Exception:  # noqa: BLE001  # fail closed, as in _start
            self.fault(request, Failure())

    def pause(self) -> None:
        """Read nothing more from the client for now."""
        if not self._paused:
            self._paused = True
            self.wire.pause()

    def resume(self) -> None:
        """Read on."""
        if self._paused:
            self._paused = False
            self._since = self.site.tick
            if not self._half_closed:
                self.wire.resume()
