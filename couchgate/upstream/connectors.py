"""The ways to CouchDB: a plain socket on the lane for an address, any Twisted endpoint for the rest (TLS, names)."""

from __future__ import annotations

import ipaddress
import socket
from typing import Any

from twisted.internet import defer, protocol
from twisted.internet.interfaces import IReactorTime, IStreamClientEndpoint

from couchgate.upstream.connection import UpstreamConnection
from couchgate.wire.lane import Lane, SocketWire
from couchgate.wire.transport import TransportWire


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
        connection.wire = SocketWire(self._lane, sock, connection)


class EndpointConnector:
    """By a Twisted endpoint, within `seconds`."""

    def __init__(self, endpoint: IStreamClientEndpoint, clock: IReactorTime, seconds: float) -> None:
        self._endpoint = endpoint
        self._clock = clock
        self._seconds = seconds

    def connect(self, connection: UpstreamConnection) -> defer.Deferred[None]:
        """Connect; fails with what the endpoint fails with."""

        def owner_of(wire: Any) -> UpstreamConnection:
            connection.wire = wire
            return connection

        factory = protocol.Factory.forProtocol(lambda: TransportWire(owner_of))
        factory.noisy = False
        waiting: defer.Deferred[Any] = self._endpoint.connect(factory)
        waiting.addTimeout(self._seconds, self._clock)
        return waiting.addCallback(lambda _: None)
