"""CouchDB by name: who answered last is asked first.

A name often has several addresses, and the first of them may be one at which nobody listens: `localhost` is `::1` to
many systems and CouchDB listens on 127.0.0.1. Twisted's HostnameEndpoint waits a fixed time before it tries the next
one, for each connection anew. So what answered is remembered for a while, and the name is asked again when that is
over or the address fails.
"""

from __future__ import annotations

from typing import Any

from twisted.internet import defer, endpoints
from twisted.internet.address import IPv6Address
from twisted.internet.error import ConnectError
from twisted.internet.interfaces import IStreamClientEndpoint
from zope.interface import implementer

REMEMBERED = 30.0  # seconds until the name is looked up again
NEXT_ADDRESS = 0.1  # seconds until the next address is tried, too (RFC 8305 8: the least that is recommended)


@implementer(IStreamClientEndpoint)
class NameEndpoint:
    """TCP to `host` and `port`."""

    def __init__(self, reactor: Any, host: str, port: int) -> None:
        self._reactor = reactor
        self._by_name = endpoints.HostnameEndpoint(reactor, host, port, attemptDelay=NEXT_ADDRESS)
        self._known: Any = None  # the endpoint of the address that answered last
        self._until = 0.0

    def connect(self, factory: Any) -> defer.Deferred[Any]:
        """Connect; fails as the endpoints of `twisted.internet` do."""
        return defer.ensureDeferred(self._connect(factory))

    async def _connect(self, factory: Any) -> Any:
        known = self._known if self._reactor.seconds() < self._until else None
        if known is not None:
            try:
                return await known.connect(factory)
            except ConnectError:
                self._forget(known)
            except BaseException:  # nobody waits any longer: too long, or the client has left
                self._forget(known)
                raise
        protocol: Any = await self._by_name.connect(factory)
        peer = protocol.transport.getPeer()
        kind = endpoints.TCP6ClientEndpoint if isinstance(peer, IPv6Address) else endpoints.TCP4ClientEndpoint
        self._known = kind(self._reactor, peer.host, peer.port)
        self._until = self._reactor.seconds() + REMEMBERED
        return protocol

    def _forget(self, known: Any) -> None:
        if self._known is known:
            self._known = None
