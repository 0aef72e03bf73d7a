"""One connection to CouchDB, serving one exchange at a time.

The exchange hears of the head, then of data until one is `done`; or once that it failed. After that nothing more is
said. A connection goes back to the pool only when both messages are complete, nothing surplus came,
and the answer allows it; otherwise it is closed, and aborted while something is still under way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from twisted.internet import protocol
from twisted.internet.error import ConnectionDone
from twisted.internet.main import CONNECTION_LOST
from twisted.python.failure import Failure

from couchgate.core.errors import BadGateway, GateError, Unavailable
from couchgate.core.message import ResponseHead
from couchgate.http1.responses import ResponseReader
from couchgate.outlet import Outlet

if TYPE_CHECKING:
    from couchgate.upstream.pool import UpstreamPool

RECEIVE = 65536  # bytes taken from the socket at once: what a slow client can make the gate hold


class Exchange(Protocol):
    """Who asked, and hears of the answer."""

    def upstream_connected(self, connection: UpstreamConnection) -> None:
        """A connection is there: write the request to it."""

    def response_begun(self, head: ResponseHead, data: bytes, *, done: bool) -> None:
        """The final head has come, and with it `data` of the body, perhaps nothing. `done`: that was all of it."""

    def response_data(self, data: bytes, *, done: bool) -> None:
        """More of the body, without chunk framing. `done`: that was the end, and the connection is free again."""

    def upstream_failed(self, error: GateError, *, stale: bool) -> None:
        """It ended too early. `stale`: a kept connection was closed before any byte of an answer came."""

    def upstream_drained(self) -> None:
        """What was written has gone out; more may be written."""


class UpstreamConnection(protocol.Protocol):
    """A connection of `pool`. `used` counts the exchanges that it has served."""

    def __init__(self, pool: UpstreamPool) -> None:
        self._pool = pool
        self._exchange: Exchange | None = None
        self._reader: ResponseReader | None = None
        self._outlet: Any = None
        self._sent = True
        self._paused = False
        self.used = 0
        self.idle_since = 0.0

    def connectionMade(self) -> None:
        """The transport is there."""
        transport: Any = self.transport
        transport.setTcpNoDelay(True)
        self._outlet = Outlet(transport, self)

    def begin(self, exchange: Exchange, method: bytes, data: bytes, *, complete: bool) -> bool:
        """Send `data`, the request's head and perhaps body. `complete`: that was all. False: wait for `drained`."""
        self._exchange = exchange
        self._reader = ResponseReader(method)
        self._sent = complete
        self.used += 1
        return bool(self._outlet.write(data))

    def send(self, data: bytes, *, complete: bool = False) -> bool:
        """Send more of the body. `complete`: that was the end of it. False: wait for `drained`."""
        self._sent = complete
        return not data or bool(self._outlet.write(data))

    @property
    def blocked(self) -> bool:
        """Whether the way up is full."""
        return bool(self._outlet.blocked)

    def pause(self) -> None:
        """Read no more of the response until `resume`."""
        if not self._paused:
            self._paused = True
            transport: Any = self.transport
            transport.pauseProducing()

    def resume(self) -> None:
        """Read on."""
        if self._paused:
            self._paused = False
            transport: Any = self.transport
            transport.resumeProducing()

    def abandon(self) -> None:
        """The exchange has lost its interest: end it at once, so that CouchDB stops working on it."""
        self._exchange = None
        self._abort()

    def close_idle(self) -> None:
        """Close a connection that serves nobody."""
        self._outlet.close()

    def drained(self) -> None:
        """The outlet can be written to again."""
        if self._exchange is not None:
            self._exchange.upstream_drained()

    def dataReceived(self, data: bytes) -> None:
        """Bytes from CouchDB."""
        exchange = self._exchange
        reader = self._reader
        if exchange is None or reader is None:
            # Nobody asked for this: whatever it is, it must not become the answer to the next request.
            self._abort()
            return
        began = reader.head is None
        try:
            body = reader.feed(data)
        except BadGateway as error:
            self._fail(error)
            return
        done = reader.done
        if done:
            self._release(reader)
        if not began:
            if body or done:
                exchange.response_data(body, done=done)
        elif reader.head is not None:
            exchange.response_begun(reader.head, body, done=done)

    def _release(self, reader: ResponseReader) -> None:
        """The exchange is complete: keep the connection if it is fit for another."""
        self._exchange = self._reader = None
        if not self._sent:
            self._abort()  # an answer before the end of the request: the rest of it was never sent
        elif reader.reusable:
            self.resume()  # a connection left paused by this exchange would hang the next
            self._pool.release(self)
        else:
            self._outlet.close()

    def _fail(self, error: GateError, *, stale: bool = False) -> None:
        exchange = self._exchange
        self._exchange = None
        self._abort()
        if exchange is not None:
            exchange.upstream_failed(error, stale=stale)

    def _abort(self) -> None:
        self._reader = None
        self._pool.discard(self)
        transport: Any = self.transport
        transport.abortConnection()

    def connectionLost(self, reason: Failure = Failure(CONNECTION_LOST)) -> None:  # noqa: B008  # Twisted's signature
        """The connection is gone."""
        self._pool.lost(self)
        exchange, reader = self._exchange, self._reader
        self._exchange = self._reader = None
        if exchange is None or reader is None:
            return
        if reader.ended() and reason.check(ConnectionDone):
            exchange.response_data(b"", done=True)
            return
        if reader.head is not None:
            exchange.upstream_failed(BadGateway("CouchDB's answer broke off.", code="upstream_cut"), stale=False)
            return
        stale = self.used > 1 and not reader.touched
        if reader.touched:
            error: GateError = BadGateway("CouchDB's answer broke off in its head.", code="upstream_cut")
        else:
            error = Unavailable("CouchDB closed the connection without an answer.", code="upstream_closed")
        exchange.upstream_failed(error, stale=stale)

