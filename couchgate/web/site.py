"""What all client connections of one listener share: the limits, the coarse clock, the tree, the open feeds.

Apart from the listener's factory because it is compiled, which a subclass of Twisted's classes cannot be: a request
looks here some twenty times.
"""

from __future__ import annotations

from collections.abc import Callable
from email.utils import formatdate
from typing import TYPE_CHECKING, Any

from couchgate.core.feed import FeedFollower
from couchgate.core.gate import Gate
from couchgate.core.limits import Limits
from couchgate.core.turns import Place, Places
from couchgate.web.request import ClientRequest
from couchgate.web.seams import Feed
from couchgate.web.stock import StockChannel, StockSite

if TYPE_CHECKING:  # a Protocol in its place makes the compiled code slower
    from couchgate.recorder.flight import Flight
    from couchgate.web.channel import GateChannel
    from couchgate.wire.lane import Lane

SWEEP_SECONDS = 0.5


class Site:
    """The connections of one listener, and by what they are served.

    `tick` is the coarse clock of waits, `date` the present `Date`, both as of the last `sweep`; `wall` gives seconds
    since the epoch. `count` is told of each request that is over, and so is `log`, if there is one. `stock` is where
    requests of stock Resources meet. `gone` is called when the last connection has ended.
    """

    def __init__(
        self,
        root: Any,
        stock: StockSite,
        wall: Callable[[], float],
        count: Callable[[ClientRequest], None],
        gone: Callable[[], None],
        tick: float,
    ) -> None:
        self.root = root
        self.stock = stock
        self.wall = wall
        self.count = count
        self._gone = gone
        self.tick = tick
        self.date = b""
        self.draining = False
        self.lane: Lane | None = None  # that serves its connections, if one does
        self.recorder: Flight | None = None  # what hears of everything, if there is one
        self.channels: set[GateChannel] = set()
        self.open_feeds: dict[Feed, ClientRequest] = {}
        self.places = Places()
        self._taken: dict[Feed, tuple[Place, float]] = {}  # and when it makes room

    def obey(
        self,
        gate: Gate,
        limits: Limits,
        *,
        keepalive: bool,
        first_byte_seconds: float,
        upstream_idle_seconds: float,
        log: Callable[[ClientRequest], None] | None,
        admin: bool,
    ) -> None:
        """Serve by these from now on: see `GateSite`."""
        self.gate = gate
        self.limits = limits
        self.keepalive = keepalive
        self.first_byte_seconds = first_byte_seconds + SWEEP_SECONDS  # `tick` is so old at most: never too early
        self.upstream_idle_seconds = upstream_idle_seconds + SWEEP_SECONDS
        self.log = log
        self.admin = admin

    # -- connections

    def opened(self, channel: GateChannel) -> bool:
        """Count a connection in; False if there are too many."""
        self.channels.add(channel)
        if self.recorder is not None:
            channel.record = self.recorder.accepted(keepalive=self.keepalive)
        return len(self.channels) <= self.limits.connections

    def closed(self, channel: GateChannel) -> None:
        """Count a connection out."""
        self.channels.discard(channel)
        if self.recorder is not None:
            self.recorder.closed(channel.record)
        if not self.channels:
            self._gone()

    def sweep(self, now: float) -> None:
        """Look at every wait."""
        self.tick = now
        wall = self.wall()
        self.date = formatdate(wall, usegmt=True).encode()
        for channel in list(self.channels):
            channel.sweep(now)
        for feed, (_, makes_room) in list(self._taken.items()):
            if wall >= feed.expires:
                feed.end()
            elif now >= makes_room:
                feed.make_room()
            feed.sweep(now)

    # -- feeds

    def add_feed(self, feed: Feed, request: ClientRequest, follower: FeedFollower) -> bool:
        """Count a feed in that answers `request`; False if its principal has too many."""
        address = request.channel.peer.address
        place = self.places.take(request.principal, address, request.head, follower, self.limits)
        if place is None:
            return False
        self.open_feeds[feed] = request
        self._taken[feed] = place, self.tick + place.seconds
        return True

    def remove_feed(self, feed: Feed) -> None:
        """Count a feed out."""
        if self.open_feeds.pop(feed, None) is not None:
            self.places.leave(self._taken.pop(feed)[0])

    def leaves_by_closing(self, request: ClientRequest) -> bool:
        """Whether a client that closes its sending side has left: an answer without an end would wait for ever."""
        sink: Any = request.sink
        return sink in self.open_feeds or isinstance(sink, StockChannel)
