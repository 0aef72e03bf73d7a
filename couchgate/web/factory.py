"""A listener of the reactor's face, as Twisted and the service see it: what it makes of who connects, and its life.

Timers: one sweep twice a second looks at every connection and every feed; nothing is armed per request.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.internet import defer, protocol, task, tcp
from twisted.internet.interfaces import IAddress, IProtocolNegotiationFactory, IReactorTime
from twisted.web.resource import IResource
from zope.interface import implementer

from couchgate.core.again import stays_until
from couchgate.core.gate import Gate
from couchgate.core.limits import Limits
from couchgate.core.message import Peer
from couchgate.core.verdict import Facts
from couchgate.web.channel import GateChannel
from couchgate.web.request import ClientRequest
from couchgate.web.seams import Feed
from couchgate.web.site import SWEEP_SECONDS, Site
from couchgate.web.stock import StockSite
from couchgate.wire import Wire
from couchgate.wire.acceptor import Acceptor
from couchgate.wire.lane import Lane
from couchgate.wire.plain import SocketWire
from couchgate.wire.transport import TransportWire

if TYPE_CHECKING:
    from couchgate.recorder.flight import Flight

_INTERNET = (socket.AF_INET, socket.AF_INET6)


@implementer(IProtocolNegotiationFactory)
class GateSite(protocol.Factory):
    """The listener's factory. `mode` is "keepalive" or "close"; `wall` gives seconds since the epoch.

    `first_byte_seconds`: how long an answer may take to begin once CouchDB has the request; `upstream_idle_seconds`:
    how long CouchDB may then stand still, or take nothing of a request. `count` is told of each request that is over,
    and so is `log`, if there is one. `admin`: pages for administrators need no token here.
    """

    noisy = False

    def __init__(
        self,
        gate: Gate,
        root: IResource,
        limits: Limits,
        *,
        mode: str,
        first_byte_seconds: float,
        upstream_idle_seconds: float,
        clock: IReactorTime,
        wall: Callable[[], float],
        count: Callable[[ClientRequest], None],
        log: Callable[[ClientRequest], None] | None = None,
        admin: bool = False,
    ) -> None:
        self.site = Site(root, StockSite(clock), wall, count, self._gone, clock.seconds())
        self.obey(
            gate,
            limits,
            mode=mode,
            first_byte_seconds=first_byte_seconds,
            upstream_idle_seconds=upstream_idle_seconds,
            log=log,
            admin=admin,
        )
        self._clock = clock
        self._sweeping = task.LoopingCall(self.sweep)
        self._sweeping.clock = clock
        self._empty: defer.Deferred[None] | None = None

    def obey(
        self,
        gate: Gate,
        limits: Limits,
        *,
        mode: str,
        first_byte_seconds: float,
        upstream_idle_seconds: float,
        log: Callable[[ClientRequest], None] | None,
        admin: bool,
    ) -> None:
        """Serve by these from now on. A mode holds for the requests that begin then."""
        keepalive = mode == "keepalive"
        self.site.obey(
            gate,
            limits,
            keepalive=keepalive,
            first_byte_seconds=first_byte_seconds,
            upstream_idle_seconds=upstream_idle_seconds,
            log=log,
            admin=admin,
        )
        if not keepalive:
            self._answer_and_close()  # answers that begin now are HTTP/1.0

    @property
    def recorder(self) -> Flight | None:
        """What hears of everything, if there is one."""
        return self.site.recorder

    @recorder.setter
    def recorder(self, recorder: Flight | None) -> None:
        self.site.recorder = recorder

    def _answer_and_close(self) -> None:
        for channel in self.site.channels:
            if channel.present is not None:
                channel.present.keep = False

    def wind_down(self) -> None:
        """Each connection may have one more answer; `drain` follows."""
        self.site.draining = True
        self._answer_and_close()

    def decide_feeds_again(self, facts: Facts, *, elsewhere: bool, same_people: bool) -> None:
        """End well the feeds that would not be relayed so any more; `elsewhere`: none, as CouchDB is another one.

        `same_people`: those with a password are who they were, until their feeds end as they would have.
        """
        for feed, request in list(self.site.open_feeds.items()):
            expires = None if elsewhere else self._stays_until(request, feed, facts, same_people=same_people)
            if expires is None:
                feed.end()
            else:
                feed.expires = expires

    def _stays_until(self, request: ClientRequest, feed: Feed, facts: Facts, *, same_people: bool) -> float | None:
        assert request.target is not None  # noqa: S101  # for the type checker: it was decided
        try:
            return stays_until(
                self.site.gate,
                facts,
                self.site.wall(),
                head=request.head,
                target=request.target,
                peer=request.channel.peer,
                lines=request.lines,
                principal=feed.principal,
                expires=feed.expires,
                same_people=same_people,
            )
        except Exception:  # noqa: BLE001  # fail closed, as a request does
            GateChannel.log.failure("A feed could not be decided again")
            return None

    # -- the listener's life

    def doStart(self) -> None:
        """The first port listens."""
        if not self.numPorts:
            self._sweeping.start(SWEEP_SECONDS).addErrback(self._sweep_failed)
        super().doStart()

    @staticmethod
    def _sweep_failed(reason: Any) -> None:
        GateChannel.log.failure("The sweep failed: time limits are no longer kept", failure=reason)

    def acceptableProtocols(self) -> list[bytes]:
        """What TLS may agree on (ALPN): without an answer Twisted ends the handshake of every client that asks."""
        return [b"http/1.1"]

    def buildProtocol(self, addr: IAddress | None) -> TransportWire:
        """A client has connected from `addr`, by a Twisted transport."""
        address = getattr(addr, "host", "") or ""

        def owner_of(wire: Wire) -> GateChannel:
            channel = GateChannel(self.site, Peer.of(address, secure=wire.secure))
            channel.wire = wire
            channel.opened()
            return channel

        return TransportWire(owner_of)

    def take_over(self, port: Any, lane: Lane | None) -> Acceptor | None:
        """Serve the plain TCP connections of `port` on `lane`; None if it has others, which stay with Twisted."""
        if (
            not isinstance(port, tcp.Port)
            or port.factory is not self
            or port.addressFamily not in _INTERNET
            or not lane
        ):
            return None
        port.stopReading()
        self.site.lane = lane
        listener = socket.socket(fileno=os.dup(port.fileno()))
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # accepted sockets inherit it

        def accepted(sock: socket.socket, address: Any) -> None:
            channel = GateChannel(self.site, Peer.of(address[0], secure=False))
            channel.wire = SocketWire(lane, sock, channel)
            channel.opened()

        return Acceptor(lane, listener, accepted)

    def _gone(self) -> None:
        if self._empty is not None:
            empty, self._empty = self._empty, None
            empty.callback(None)

    @property
    def connections(self) -> int:
        """How many clients are connected."""
        return len(self.site.channels)

    @property
    def under_way(self) -> list[ClientRequest]:
        """The requests that are being served."""
        return [request for channel in self.site.channels if (request := channel.present) is not None]

    def drain(self, seconds: float) -> defer.Deferred[None]:
        """Serve what is under way, end feeds well, close; after `seconds` cut what is left."""
        self.site.draining = True
        for feed in list(self.site.open_feeds):
            feed.end()
        for channel in list(self.site.channels):
            channel.drain()
        empty: defer.Deferred[None] = defer.Deferred()
        if self.site.channels:
            self._empty = empty
            late = self._clock.callLater(seconds, self.cut)

            def in_time(_: None) -> None:
                if late.active():
                    late.cancel()

            empty.addCallback(in_time)
        else:
            empty.callback(None)
        return empty.addCallback(self._stop_sweeping)

    def cut(self) -> None:
        """Cut every connection."""
        for channel in list(self.site.channels):
            channel.abort()

    def _stop_sweeping(self, _: None) -> None:
        if self._sweeping.running:
            self._sweeping.stop()

    def sweep(self) -> None:
        """Look at every wait."""
        self.site.sweep(self._clock.seconds())

    @property
    def feeds(self) -> list[tuple[str, str]]:
        """The principal and the database of each open feed."""
        return [
            (request.principal, request.target.database)
            for request in self.site.open_feeds.values()
            if request.target is not None and request.target.database is not None
        ]
