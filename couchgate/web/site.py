"""What all client connections of one listener share: the limits, the coarse clock, the tree, the open feeds.

Timers: one sweep twice a second looks at every connection and every feed; nothing is armed per request.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from email.utils import formatdate
from typing import Any

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
from couchgate.web.seams import Feed, Recorder
from couchgate.web.stock import StockChannel, StockSite
from couchgate.wire import Wire
from couchgate.wire.acceptor import Acceptor
from couchgate.wire.lane import Lane, SocketWire
from couchgate.wire.transport import TransportWire

SWEEP_SECONDS = 0.5
_INTERNET = (socket.AF_INET, socket.AF_INET6)


@implementer(IProtocolNegotiationFactory)
class GateSite(protocol.Factory):
    """The listener's factory. `mode` is "keepalive" or "close"; `wall` gives seconds since the epoch.

    `first_byte_seconds`: how long an answer may take to begin once CouchDB has the request; `upstream_idle_seconds`:
    how long CouchDB may then stand still, or take nothing of a request. `count` is told of each request that is over,
    and so is `log`, if there is one. `admin`: pages for administrators need no token here.
    """

    noisy = False
    recorder: Recorder | None = None  # what hears of everything, if there is one

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
        self._channels: set[GateChannel] = set()
        self.obey(
            gate,
            limits,
            mode=mode,
            first_byte_seconds=first_byte_seconds,
            upstream_idle_seconds=upstream_idle_seconds,
            log=log,
            admin=admin,
        )
        self.root = root
        self.wall = wall
        self.tick = clock.seconds()
        self.date = b""
        self.draining = False
        self._clock = clock
        self.stock = StockSite(clock)  # where requests of stock Resources meet
        self.count = count
        self._feeds: dict[Feed, ClientRequest] = {}
        self._feed_counts: dict[str, int] = {}
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
        self.gate = gate
        self.limits = limits
        self.keepalive = mode == "keepalive"
        self.first_byte_seconds = first_byte_seconds + SWEEP_SECONDS  # `tick` is so old at most: never too early
        self.upstream_idle_seconds = upstream_idle_seconds + SWEEP_SECONDS
        self.log = log
        self.admin = admin
        if not self.keepalive:
            self._answer_and_close()  # answers that begin now are HTTP/1.0

    def _answer_and_close(self) -> None:
        for channel in self._channels:
            if channel.present is not None:
                channel.present.keep = False

    def wind_down(self) -> None:
        """Each connection may have one more answer; `drain` follows."""
        self.draining = True
        self._answer_and_close()

    def decide_feeds_again(self, facts: Facts, *, elsewhere: bool, same_people: bool) -> None:
        """End well the feeds that would not be relayed so any more; `elsewhere`: none, as CouchDB is another one.

        `same_people`: those with a password are who they were, until their feeds end as they would have.
        """
        for feed, request in list(self._feeds.items()):
            expires = None if elsewhere else self._stays_until(request, feed, facts, same_people=same_people)
            if expires is None:
                feed.end()
            else:
                feed.expires = expires

    def _stays_until(self, request: ClientRequest, feed: Feed, facts: Facts, *, same_people: bool) -> float | None:
        assert request.target is not None  # noqa: S101  # for the type checker: it was decided
        try:
            return stays_until(
                self.gate,
                facts,
                self.wall(),
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
            channel = GateChannel(self, Peer.of(address, secure=wire.secure))
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
        listener = socket.socket(fileno=os.dup(port.fileno()))
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # accepted sockets inherit it

        def accepted(sock: socket.socket, address: Any) -> None:
            channel = GateChannel(self, Peer.of(address[0], secure=False))
            channel.wire = SocketWire(lane, sock, channel)
            channel.opened()

        return Acceptor(lane, listener, accepted)

    def opened(self, channel: GateChannel) -> bool:
        """Count a connection in; False if there are too many."""
        self._channels.add(channel)
        if self.recorder is not None:
            channel.record = self.recorder.accepted(keepalive=self.keepalive)
        return len(self._channels) <= self.limits.connections

    def closed(self, channel: GateChannel) -> None:
        """Count a connection out."""
        self._channels.discard(channel)
        if self.recorder is not None:
            self.recorder.closed(channel.record)
        if not self._channels and self._empty is not None:
            empty, self._empty = self._empty, None
            empty.callback(None)

    @property
    def connections(self) -> int:
        """How many clients are connected."""
        return len(self._channels)

    @property
    def under_way(self) -> list[ClientRequest]:
        """The requests that are being served."""
        return [request for channel in self._channels if (request := channel.present) is not None]

    def drain(self, seconds: float) -> defer.Deferred[None]:
        """Serve what is under way, end feeds well, close; after `seconds` cut what is left."""
        self.draining = True
        for feed in list(self._feeds):
            feed.end()
        for channel in list(self._channels):
            channel.drain()
        empty: defer.Deferred[None] = defer.Deferred()
        if self._channels:
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
        for channel in list(self._channels):
            channel.abort()

    def _stop_sweeping(self, _: None) -> None:
        if self._sweeping.running:
            self._sweeping.stop()

    def sweep(self) -> None:
        """Look at every wait."""
        self.tick = now = self._clock.seconds()
        wall = self.wall()
        self.date = formatdate(wall, usegmt=True).encode()
        for channel in list(self._channels):
            channel.sweep(now)
        for feed in list(self._feeds):
            if wall >= feed.expires:
                feed.end()
            feed.sweep(now)

    # -- requests

    def add_feed(self, feed: Feed, request: ClientRequest) -> bool:
        """Count a feed in that answers `request`; False if its principal has too many."""
        principal = request.principal
        count = self._feed_counts.get(principal, 0)
        if count >= self.limits.feeds:
            return False
        self._feed_counts[principal] = count + 1
        self._feeds[feed] = request
        return True

    def remove_feed(self, feed: Feed) -> None:
        """Count a feed out."""
        request = self._feeds.pop(feed, None)
        if request is not None:
            principal = request.principal
            count = self._feed_counts[principal] - 1
            if count:
                self._feed_counts[principal] = count
            else:
                del self._feed_counts[principal]

    def leaves_by_closing(self, request: ClientRequest) -> bool:
        """Whether a client that closes its sending side has left: an answer without an end would wait for ever."""
        sink: Any = request.sink
        return sink in self._feeds or isinstance(sink, StockChannel)

    @property
    def feeds(self) -> list[tuple[str, str]]:
        """The principal and the database of each open feed."""
        return [
            (request.principal, request.target.database)
            for request in self._feeds.values()
            if request.target is not None and request.target.database is not None
        ]
