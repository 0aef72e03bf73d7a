"""The ways to CouchDB: a socket on the lane for an address or a path, a Twisted endpoint for TLS and names."""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
from typing import Any

from twisted.internet import defer, protocol, task
from twisted.internet.interfaces import IReactorTime, IStreamClientEndpoint
from twisted.python.failure import Failure

from couchgate.certified import Verify
from couchgate.core.errors import Unavailable
from couchgate.upstream.connection import UpstreamConnection
from couchgate.upstream.secure import SecureWire, unavailable
from couchgate.wire.lane import Lane
from couchgate.wire.plain import SocketWire
from couchgate.wire.transport import TransportWire

AGAIN_SECONDS = 0.02  # between two attempts at a Unix socket whose queue is full


class SocketConnector:
    """To an IP address by plain TCP. The kernel makes the connection while the request is already being written."""

    def __init__(self, lane: Lane, address: str, port: int) -> None:
        self._lane = lane
        self._to = (address, port)
        self._family = socket.AF_INET6 if ipaddress.ip_address(address).version == 6 else socket.AF_INET

    def connect(self, connection: UpstreamConnection) -> None:
        """Begin to connect. Raises OSError."""
        sock = socket.socket(self._family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.connect_ex(self._to)
        except OSError:
            sock.close()
            raise
        connection.wire = SocketWire(self._lane, sock, connection, first=True)


class UnixConnector:
    """To the Unix socket at `path`, within `seconds`. A full queue there is waited for: the kernel does not do it."""

    def __init__(self, lane: Lane, path: str, seconds: float) -> None:
        self._lane = lane
        self._path = path
        self._seconds = seconds

    def connect(self, connection: UpstreamConnection) -> defer.Deferred[None] | None:
        """Connect, at once if there is room. Raises OSError; what is returned fails with Unavailable."""
        if self._connected(connection):
            return None
        waiting = defer.ensureDeferred(self._wait(connection))
        return waiting.addTimeout(self._seconds, self._lane.reactor).addErrback(_why)

    async def _wait(self, connection: UpstreamConnection) -> None:
        while True:
            await task.deferLater(self._lane.reactor, AGAIN_SECONDS)
            if self._connected(connection):
                return

    def _connected(self, connection: UpstreamConnection) -> bool:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        problem = sock.connect_ex(self._path)
        if not problem:
            connection.wire = SocketWire(self._lane, sock, connection, first=True)
            return True
        sock.close()
        if problem == errno.EAGAIN:
            return False
        raise OSError(problem, os.strerror(problem))


class EndpointConnector:
    """By a Twisted endpoint, within `seconds`. `verify` judges the certificate, where there is TLS."""

    def __init__(
        self, endpoint: IStreamClientEndpoint, clock: IReactorTime, seconds: float, verify: Verify | None = None
    ) -> None:
        self._endpoint = endpoint
        self._clock = clock
        self._seconds = seconds
        self._verify = verify

    def connect(self, connection: UpstreamConnection) -> defer.Deferred[None]:
        """Connect, and verify; fails with Unavailable."""
        verify = self._verify

        def owner_of(wire: Any) -> UpstreamConnection:
            connection.wire = wire
            return connection

        def build() -> TransportWire:
            return TransportWire(owner_of) if verify is None else SecureWire(connection, verify)

        factory = protocol.Factory.forProtocol(build)
        factory.noisy = False
        waiting: defer.Deferred[Any] = self._endpoint.connect(factory)
        waiting.addCallback(lambda wire: wire.made if isinstance(wire, SecureWire) else None)
        return waiting.addTimeout(self._seconds, self._clock).addErrback(_why)


def _why(reason: Failure) -> Failure:
    """A failure to connect as Unavailable; a cancellation remains one."""
    return reason if reason.check(defer.CancelledError, Unavailable) else Failure(unavailable(reason))
