"""A wire over any Twisted transport: TLS, Unix sockets, and platforms without epoll."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from twisted.internet import protocol
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IHalfCloseableProtocol, IPushProducer, ISSLTransport, ITCPTransport
from twisted.internet.main import CONNECTION_LOST
from twisted.python.failure import Failure
from zope.interface import implementer

from couchgate.wire import Owner, Wire


@implementer(IHalfCloseableProtocol, IPushProducer)
class TransportWire(protocol.Protocol):
    """The protocol on the transport. `owner_of(wire)` is asked once, when the connection is made."""

    def __init__(self, owner_of: Callable[[Wire], Owner]) -> None:
        self._owner_of = owner_of
        self._owner: Any = None
        self._carrier: Any = None
        self._closing = False
        self.blocked = False
        self.sends = 0
        self.secure = False
        self.stands = True  # Twisted hands out connections that have been made

    def connectionMade(self) -> None:
        """The transport is there."""
        carrier: Any = self.transport
        self._carrier = carrier
        self.secure = bool(ISSLTransport.providedBy(carrier))
        if ITCPTransport.providedBy(carrier):
            with suppress(OSError):  # a Unix socket calls itself TCP
                carrier.setTcpNoDelay(True)
        carrier.registerProducer(self, True)  # noqa: FBT003  # Twisted's signature: streaming
        self._owner = self._owner_of(self)

    @property
    def unsent(self) -> bool:
        """Whether something that was written is still here; a transport tells only when it is full."""
        return self.blocked

    def dataReceived(self, data: bytes) -> None:
        """Bytes came."""
        if not self._closing:
            self._owner.received(data)

    def write(self, data: bytes) -> bool:
        """Send `data`. False: wait for `drained`."""
        self.sends += 1
        self._carrier.write(data)
        return not self.blocked

    def pauseProducing(self) -> None:
        """The transport is full (IPushProducer)."""
        self.blocked = True

    def resumeProducing(self) -> None:
        """The transport has drained (IPushProducer)."""
        if self.blocked:
            self.blocked = False
            if not self._closing:
                self._owner.drained()

    def stopProducing(self) -> None:
        """The connection is gone; connectionLost follows."""

    def pause(self) -> None:
        """Receive nothing until `resume`."""
        self._carrier.pauseProducing()

    def resume(self) -> None:
        """Receive again."""
        self._carrier.resumeProducing()

    def close(self) -> None:
        """Close once everything written has gone out."""
        self._closing = True
        self._carrier.unregisterProducer()
        self._carrier.loseConnection()

    def close_write(self) -> None:
        """Close our direction only, where the transport can: TLS cannot."""
        if not self.secure and hasattr(self._carrier, "loseWriteConnection"):
            self._carrier.loseWriteConnection()

    def abort(self) -> None:
        """Cut at once."""
        self._closing = True
        self._carrier.abortConnection()

    def readConnectionLost(self) -> None:
        """The other side has closed its direction (IHalfCloseableProtocol)."""
        if not self._closing:
            self._owner.ended()

    def writeConnectionLost(self) -> None:
        """Our direction is closed (IHalfCloseableProtocol)."""

    def connectionLost(self, reason: Failure = Failure(CONNECTION_LOST)) -> None:  # noqa: B008  # Twisted's signature
        """The connection is gone."""
        owner, self._owner = self._owner, None
        if owner is not None:
            owner.lost(clean=reason.check(ConnectionDone) is not None)
