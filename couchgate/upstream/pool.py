"""The connections to CouchDB that wait for work.

The newest one is used first, so that those which nobody needs grow old and are closed. A kept connection may be
closed by CouchDB at the very moment in which it is used; the exchange then hears `stale` and may ask for a fresh one.
Idle connections are given up after a few seconds: sooner than common servers do, so that a request rarely meets one
that is just being closed.
"""

from __future__ import annotations

from twisted.internet import defer, protocol
from twisted.internet.interfaces import IReactorTime, IStreamClientEndpoint
from twisted.python.failure import Failure

from couchgate.core.errors import Unavailable
from couchgate.upstream.connection import Exchange, UpstreamConnection

IDLE_SECONDS = 4.0  # Node closes after 5, CouchDB's web server later
RETRY_AFTER = 5  # seconds: what PouchDB is told


class _Factory(protocol.Factory):
    noisy = False

    def __init__(self, pool: UpstreamPool) -> None:
        self._pool = pool

    def buildProtocol(self, addr: object) -> UpstreamConnection:  # noqa: ARG002  # Twisted's signature
        return UpstreamConnection(self._pool)


class UpstreamPool:
    """Connections to one CouchDB, by `endpoint`. At most `idle_most` of them wait for work."""

    def __init__(
        self, endpoint: IStreamClientEndpoint, clock: IReactorTime, *, connect_seconds: float = 5.0, idle_most: int = 128
    ) -> None:
        self._endpoint = endpoint
        self._clock = clock
        self._connect_seconds = connect_seconds
        self._idle_most = idle_most
        self._factory = _Factory(self)
        self._idle: list[UpstreamConnection] = []
        self._open: set[UpstreamConnection] = set()
        self._stopped = False

    def acquire(self, exchange: Exchange, *, fresh: bool = False) -> defer.Deferred[None] | None:
        """Give `exchange` a connection: at once (None), or later, until when the Deferred that is returned cancels it.

        `fresh`: not a kept one. A failure reaches the exchange as `upstream_failed(Unavailable)`, never by an errback.
        """
        if not fresh and self._idle:
            exchange.upstream_connected(self._idle.pop())
            return None
        waiting = self._endpoint.connect(self._factory)
        waiting.addTimeout(self._connect_seconds, self._clock)

        def connected(made: object) -> None:
            assert isinstance(made, UpstreamConnection)  # noqa: S101  # for the type checker: the factory built it
            self._open.add(made)
            exchange.upstream_connected(made)

        def failed(reason: Failure) -> None:
            if reason.check(defer.CancelledError):
                return
            exchange.upstream_failed(
                Unavailable("CouchDB cannot be reached.", code="upstream_down", retry_after=RETRY_AFTER), stale=False
            )

        answer: defer.Deferred[None] = waiting.addCallbacks(connected, failed)
        return answer

    def release(self, connection: UpstreamConnection) -> None:
        """Keep a connection whose exchange is complete."""
        if self._stopped or len(self._idle) >= self._idle_most:
            connection.close_idle()
            return
        connection.idle_since = self._clock.seconds()
        self._idle.append(connection)

    def discard(self, connection: UpstreamConnection) -> None:
        """This connection will never be used again."""
        if connection in self._idle:
            self._idle.remove(connection)

    def lost(self, connection: UpstreamConnection) -> None:
        """This connection is closed."""
        self.discard(connection)
        self._open.discard(connection)

    def sweep(self) -> None:
        """Close what has been idle too long; to be called about once a second."""
        before = self._clock.seconds() - IDLE_SECONDS
        while self._idle and self._idle[0].idle_since < before:
            self._idle.pop(0).close_idle()

    def stop(self) -> None:
        """Close the idle connections and keep no more."""
        self._stopped = True
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
