"""Writing to a transport: at once where the kernel takes it, and never more than one piece behind.

Twisted's `transport.write` waits for the next turn of the loop and arms the poller for it. For an answer that fits
the socket's buffer that is two system calls and a turn too many, so a plain TCP socket is sent to directly; what the
kernel does not take goes to the transport, and from then until the transport has drained the outlet is `blocked`.
A caller that stops producing while blocked holds at most the piece it was writing: that is the whole back-pressure.

Over TLS the transport itself tells when it is full.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from twisted.internet import tcp
from twisted.internet.interfaces import IPullProducer, IPushProducer
from zope.interface import implementer


class Owner(Protocol):
    """Whom an outlet tells that it can be written to again."""

    def drained(self) -> None:
        """The outlet is no longer blocked."""


@implementer(IPullProducer, IPushProducer)
class Outlet:
    """The way out to one transport. `blocked` is True while it should not be written to."""

    __slots__ = ("_arming", "_owner", "_send", "_transport", "blocked")

    def __init__(self, transport: Any, owner: Owner) -> None:
        self._transport = transport
        self._owner = owner
        self._arming = False
        self.blocked = False
        self._send: Callable[[bytes], int] | None = None
        if isinstance(transport, tcp.Connection) and not transport.TLS:
            self._send = transport.socket.send
        else:
            transport.registerProducer(self, True)

    def write(self, data: bytes) -> bool:
        """Send `data`, which is not empty; False if the caller should now wait for `drained`."""
        if self._send is None:
            self._transport.write(data)
            return not self.blocked
        if not self.blocked:
            try:
                sent = self._send(data)
            except OSError:
                sent = 0  # full, or broken: the transport finds out which, and tells by connectionLost
            if sent == len(data):
                return True
            data = data[sent:]
            self._transport.write(data)
            self._arm()
            return False
        self._transport.write(data)
        return False

    def _arm(self) -> None:
        self.blocked = True
        self._arming = True
        # A pull producer is asked for more exactly when the transport has nothing left.
        self._transport.registerProducer(self, False)
        self._arming = False

    def close(self) -> None:
        """End the connection once everything was sent."""
        if self._send is None:
            self._transport.unregisterProducer()
        self._transport.loseConnection()

    def close_write(self) -> None:
        """Close our direction only, where the transport can; to be called while not blocked."""
        if self._send is not None:
            self._transport.loseWriteConnection()

    def resumeProducing(self) -> None:
        """The transport has drained (IPullProducer, IPushProducer)."""
        if self._arming:
            return
        if self._send is not None:
            self._transport.unregisterProducer()
        self.blocked = False
        self._owner.drained()

    def pauseProducing(self) -> None:
        """The TLS transport is full (IPushProducer)."""
        self.blocked = True

    def stopProducing(self) -> None:
        """The connection is gone; its protocol hears of it by connectionLost."""
