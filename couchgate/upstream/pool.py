"""The connections to CouchDB that wait for work.

The newest one is used first, so that those which nobody needs grow old and are closed. A kept connection may be
closed by CouchDB at the very moment in which it is used; the exchange then hears `stale` and may ask for a fresh one.
Idle connections are given up after a few seconds: sooner than common servers do, so that a request rarely meets one
that is just being closed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from twisted.internet import defer
from twisted.python.failure import Failure

from couchgate.core.errors import GateError, Unavailable
from couchgate.upstream.connection import RETRY_AFTER, Exchange, UpstreamConnection

IDLE_SECONDS = 4.0  # Node closes after 5, CouchDB's web server later


class Connector(Protocol):
    """Makes connections to CouchDB (`couchgate.upstream.connectors`)."""

    def connect(self, connection: UpstreamConnection) -> defer.Deferred[None] | None:
        """Give `connection` its wire: at once (None; it may still turn out that nobody is there), or later.

        Raises OSError; what is returned fails with GateError, or is cancelled by who waits for it.
        """


class UpstreamPool:
    """Connections to one CouchDB. At most `idle_most` of them wait for work. `seconds` is a monotonic clock.

    `opened` counts the connections that were begun since the start.
    """

    def __init__(
        self,
        connector: Connector,
        seconds: Callable[[], float],
        *,
        connect_seconds: float = 5.0,
        idle_most: int = 128,
    ) -> None:
        self._connector = connector
        self._seconds = seconds
        self._connect_seconds = connect_seconds
        self._idle_most = idle_most
        self._idle: list[UpstreamConnection] = []
        self._open: set[UpstreamConnection] = set()
        self._pending: dict[UpstreamConnection, float] = {}  # when they began to be made
        self._leaving: dict[UpstreamConnection, float] = {}  # since when they close
        self._tick = seconds()
        self._stopped = False
        self._used: Callable[[UpstreamPool], None] | None = None
        self._reused = 0  # by connections that are closed
        self.opened = 0

    def acquire(self, exchange: Exchange, *, fresh: bool = False) -> defer.Deferred[None] | None:
        """Give `exchange` a connection: at once (None), or later, until when the Deferred that is returned cancels it.

        `fresh`: not a kept one. A failure reaches the exchange as `upstream_failed(Unavailable)`, never by an errback.
        """
        if self._idle and not fresh:
            exchange.upstream_connected(self._idle.pop())
            return None
        connection = UpstreamConnection(self)
        try:
            waiting = self._connector.connect(connection)
        except OSError:
            error = Unavailable("CouchDB cannot be reached.", code="upstream_down", retry_after=RETRY_AFTER)
            exchange.upstream_failed(error, stale=False)
            return None
        if waiting is None:
            self._pending[connection] = self._seconds()
            self._add(connection)
            exchange.upstream_connected(connection)
            return None

        def connected(_: None) -> None:
            self._add(connection)
            exchange.upstream_connected(connection)

        def failed(reason: Failure) -> None:
            error = reason.value
            if isinstance(error, GateError):
                exchange.upstream_failed(error, stale=False)

        return waiting.addCallbacks(connected, failed)

    def _add(self, connection: UpstreamConnection) -> None:
        self._open.add(connection)
        self.opened += 1
        if self._used is not None:
            self._used(self)

    def release(self, connection: UpstreamConnection) -> None:
        """Keep a connection whose exchange is complete."""
        if self._stopped or len(self._idle) >= self._idle_most:
            connection.close_idle()
            return
        connection.idle_since = self._tick
        self._idle.append(connection)

    def discard(self, connection: UpstreamConnection) -> None:
        """This connection will never be used again."""
        if connection in self._idle:
            self._idle.remove(connection)

    def leaving(self, connection: UpstreamConnection) -> None:
        """This connection is being closed, which may take its time."""
        self._leaving[connection] = self._tick

    def lost(self, connection: UpstreamConnection) -> None:
        """This connection is closed."""
        self.discard(connection)
        self._leaving.pop(connection, None)
        self._pending.pop(connection, None)
        if connection in self._open:
            self._open.remove(connection)
            self._reused += _repeats(connection)

    def sweep(self) -> None:
        """Close what has been idle, in the making or in closing for too long; to be called about once a second."""
        self._tick = now = self._seconds()
        for connection, since in list(self._pending.items()):
            if connection.wire.stands:
                del self._pending[connection]
            elif since < now - self._connect_seconds:
                connection.give_up()
        before = now - IDLE_SECONDS
        for connection, since in list(self._leaving.items()):
            if since < before:
                connection.wire.abort()
        while self._idle and self._idle[0].idle_since < before:
            self._idle.pop(0).close_idle()

    def stop(self, used: Callable[[UpstreamPool], None] | None = None) -> None:
        """Close the idle connections and keep no more.

        `used(pool)` hears of each connection that a request still asks it for: until that is gone it must be swept.
        """
        self._stopped = True
        self._used = used
        while self._idle:
            self._idle.pop().close_idle()

    @property
    def idle(self) -> int:
        """How many connections wait for work."""
        return len(self._idle)

    @property
    def open(self) -> int:
        """How many connections there are."""
        return len(self._open)

    @property
    def reused(self) -> int:
        """How many exchanges were served by a connection that had served one before, since the start."""
        return self._reused + sum(map(_repeats, self._open))


def _repeats(connection: UpstreamConnection) -> int:
    return max(connection.used - 1, 0)
