"""One connection to CouchDB, serving one exchange at a time.

The exchange hears of the head, then of data until one is `done`; or once that it failed. After that nothing more is
said. A connection goes back to the pool only when both messages are complete, nothing surplus came,
and the answer allows it; otherwise it is closed, and aborted while something is still under way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from couchgate.core.errors import BadGateway, GateError, Unavailable
from couchgate.core.message import ResponseHead
from couchgate.http1.responses import ResponseReader
from couchgate.wire import Wire

if TYPE_CHECKING:
    from couchgate.upstream.pool import UpstreamPool

RETRY_AFTER = 5  # seconds: what PouchDB is told


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


class UpstreamConnection:
    """A connection of `pool`, the owner of a wire. `used` counts the exchanges that it has served."""

    _sent = True
    _sends = 0  # of the wire, before the present request
    _keep = True
    _paused = False
    used = 0
    idle_since = 0.0
    wire: Wire

    def __init__(self, pool: UpstreamPool) -> None:
        self._exchange: Exchange | None = None
        self._reader: ResponseReader | None = None
        self._pool = pool

    def begin(self, exchange: Exchange, method: bytes, data: bytes, *, complete: bool, keep: bool) -> bool:
        """Send `data`, the request's head and perhaps body. `complete`: that was all. False: wait for `drained`.

        Without `keep` the connection is closed afterwards, whatever the answer says of it.
        """
        self._keep = keep
        self._sends = self.wire.sends
        self._exchange = exchange
        self._reader = ResponseReader(method)
        self._sent = complete
        self.used += 1
        return self.wire.write(data)

    def send(self, data: bytes, *, complete: bool = False) -> bool:
        """Send more of the body. `complete`: that was the end of it. False: wait for `drained`."""
        self._sent = complete
        return not data or self.wire.write(data)

    def pause(self) -> None:
        """Read no more of the response until `resume`."""
        if not self._paused:
            self._paused = True
            self.wire.pause()

    def resume(self) -> None:
        """Read on."""
        if self._paused:
            self._paused = False
            self.wire.resume()

    def abandon(self) -> None:
        """The exchange has lost its interest: end it at once, so that CouchDB stops working on it."""
        self._exchange = None
        self._abort()

    def close_idle(self) -> None:
        """Close a connection that serves nobody."""
        self._close()

    def refused(self, error: GateError) -> None:
        """CouchDB wants nothing of this connection, which was new and has brought no byte of an answer."""
        if self._reader is not None and not self._reader.touched and self.used == 1:
            self._fail(error)

    def give_up(self) -> None:
        """It could not be made in time."""
        self._fail(Unavailable("CouchDB cannot be reached in time.", code="upstream_down", retry_after=RETRY_AFTER))

    def drained(self) -> None:
        """The wire can be written to again."""
        if self._exchange is not None:
            self._exchange.upstream_drained()

    def received(self, data: bytes) -> None:
        """Bytes from CouchDB."""
        exchange = self._exchange
        reader = self._reader
        if exchange is None or reader is None:
            # Nobody asked for this: whatever it is, it must not become the answer to the next request.
            self._abort()
            return
        if self.wire.sends == self._sends:
            # Nothing of the request has left, so this is no answer to it.
            self._fail(_closed(), stale=True)
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
        if not self._sent or self.wire.unsent:
            self._abort()  # an answer before the end of the request: the rest of it was never sent
        elif reader.reusable and self._keep:
            self.resume()  # a connection left paused by this exchange would hang the next
            self._pool.release(self)
        else:
            self._close()

    def _fail(self, error: GateError, *, stale: bool = False) -> None:
        exchange = self._exchange
        self._exchange = None
        self._abort()
        if exchange is not None:
            exchange.upstream_failed(error, stale=stale)

    def _abort(self) -> None:
        self._reader = None
        self._pool.discard(self)
        self.wire.abort()

    def ended(self) -> None:
        """CouchDB has closed its direction: that ends an answer without a length, and any other connection."""
        exchange, reader = self._exchange, self._reader
        if exchange is not None and self.wire.sends == self._sends:
            self._fail(_closed(), stale=self.used > 1)  # before anything of the request has left
        elif exchange is not None and reader is not None and reader.ended():
            self._exchange = self._reader = None
            self._hang_up()
            exchange.response_data(b"", done=True)
        else:
            self._hang_up()

    def _close(self) -> None:
        if self.wire.secure:
            self._pool.leaving(self)  # the goodbye of TLS waits for an answer
        self.wire.close()

    def _hang_up(self) -> None:
        if self.wire.unsent:
            self.wire.abort()  # what CouchDB does not take any more would hold a closing wire open for ever
        else:
            self._close()

    def lost(self, *, clean: bool) -> None:
        """The connection is gone. TLS ends so, with `clean` for its own goodbye, where others half-close first."""
        self._pool.lost(self)
        exchange, reader = self._exchange, self._reader
        self._exchange = self._reader = None
        if exchange is None or reader is None:
            return
        if clean and reader.ended():
            exchange.response_data(b"", done=True)
        elif reader.touched:
            error: GateError = BadGateway("CouchDB's answer broke off.", code="upstream_cut")
            exchange.upstream_failed(error, stale=False)
        elif not self.wire.stands:
            error = Unavailable("CouchDB cannot be reached.", code="upstream_down", retry_after=RETRY_AFTER)
            exchange.upstream_failed(error, stale=False)
        else:
            exchange.upstream_failed(_closed(), stale=self.used > 1)


def _closed() -> Unavailable:
    return Unavailable("CouchDB closed the connection without an answer.", code="upstream_closed")
