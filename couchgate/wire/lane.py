"""Plain TCP sockets, served from an epoll of their own.

The reactor spends more time on handing over one socket's event than the gate on a whole request's fields (a log
context, four calls and several look-ups for each). So the sockets of clients and of CouchDB sit in one `epoll`, and
that epoll is a single reader of the reactor: an epoll's descriptor can itself be waited for. When it wakes, the lane
serves events until there are none for a millisecond, and comes back to the reactor at least every `STAY` seconds, so
timers, signals and everything else on the reactor go on. This uses the reactor's public interface only
(IReactorFDSet); where there is no epoll, Twisted's transports do the same work (`TransportWire`).

To sleep and to be woken costs more than a small answer takes to come. So where the last event came within `SPIN`, the
lane looks again for as long before it sleeps. It stops doing that at the first event that takes longer: who waits for a
disk, or for a CouchDB on the same core, never pays for it.

And to wake who is on the other side costs more than to send. So what handlers write while events are served, if it is
small, is gathered, and sent when all events are served or `TOGETHER` connections have something to send: the first of
them wakes the other side, which is awake for the rest.

What takes long and can wait for that is postponed until all that is ready was read, and done in two steps, each for
all in a row: a token's verification uses as much code as all the rest of a request.

Of what is ready, CouchDB's answers are served before what clients ask: each leaves a connection for who asks next, and
the processor finds the code of one kind of work in its cache, which holds not much more.
"""

from __future__ import annotations

import select
from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING, Any, Protocol

from twisted.internet.interfaces import IReactorFDSet, IReadDescriptor
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

if TYPE_CHECKING:
    from couchgate.wire.plain import SocketWire

STAY = 0.005  # seconds away from the reactor at most, besides the last handler and one wait
WAIT = 0.001  # seconds to wait for the next event before going back
SPIN = 0.00005  # seconds to look for an event before sleeping, while events come that fast
BATCH = 256  # events taken at once
TOGETHER = 16  # connections whose small writes are sent together
IN = 1  # EPOLLIN and EPOLLOUT, which select has on Linux only
OUT = 4


class Ledger(Protocol):
    """Who keeps records of what the handlers do (`couchgate.recorder.flight`), and writes them some at a time."""

    def hold(self, now: float) -> None:
        """Events are served: records may be kept back until `flush`. `now`: by the monotonic clock."""

    def flush(self) -> None:
        """Write what was kept back: something of it leaves the process next."""

    def release(self) -> None:
        """No events are served: keep nothing back."""


class Postponed(Protocol):
    """What is done when all that is ready was read."""

    def prepare(self) -> None:
        """The first step: for all, before the second of any."""

    def act(self) -> None:
        """The second step."""

    def abort(self) -> None:
        """A step failed by the present exception: tell of it, and give up."""


class Watched(Protocol):
    """What a lane serves."""

    def readable(self) -> None:
        """There is something to read, or an error to find by reading."""

    def writable(self) -> None:
        """There is room to write."""

    def abort(self) -> None:
        """A handler failed: give up."""


def lane_of(reactor: Any) -> Lane | None:
    """A lane on `reactor`, or None where there is no epoll or the reactor takes no descriptors."""
    if hasattr(select, "epoll") and IReactorFDSet.providedBy(reactor):
        return Lane(reactor)
    return None


@implementer(IReadDescriptor)
class Lane:
    """The sockets and their epoll. Lives as long as it watches something."""

    log = Logger()

    def __init__(self, reactor: Any) -> None:
        self.reactor = reactor
        self._epoll = select.epoll()
        self._watched: dict[int, Watched] = {}
        self._first: set[int] = set()  # the descriptors of those that are served first
        self.serving = False  # whether events are being served: then what is small is gathered
        self.gathered: list[SocketWire] = []  # who has something to send
        self.ledger: Ledger | None = None
        self.postponed: list[Postponed] = []
        self._quick = False  # whether the last event that was waited for came within `SPIN`

    # -- the reactor's side (IReadDescriptor)

    def fileno(self) -> int:
        """The epoll's descriptor."""
        return self._epoll.fileno()

    def logPrefix(self) -> str:
        """For the reactor's log context."""
        return "lane"

    def connectionLost(self, reason: Failure) -> None:
        """The reactor lets go of the lane."""

    def doRead(self) -> None:
        """Serve what is ready, and what becomes ready meanwhile."""
        self.serving = True
        try:
            self._serve()
        finally:
            try:
                self._do_postponed()  # nothing, unless something broke; and so below
            finally:
                self.serving = False
                self._send_gathered()
                if self.ledger is not None:
                    self.ledger.release()

    def _serve(self) -> None:
        watched = self._watched
        poll = self._epoll.poll
        events = poll(0, BATCH)
        now = monotonic()
        until = now + STAY
        while events:
            if self.ledger is not None:
                self.ledger.hold(now)
            if len(events) > 2 and self._first:
                events = self._in_order(events)
            for fd, mask in events:
                one = watched.get(fd)
                if one is None:
                    continue
                try:
                    if mask != OUT:
                        one.readable()  # an error is found by reading
                    if mask & OUT and watched.get(fd) is one:
                        one.writable()
                except Exception:  # noqa: BLE001  # one connection's fault must not stop the others
                    self.log.failure("A connection failed inside the gate")
                    self._abort(one)
                if len(self.gathered) >= TOGETHER:
                    self._send_gathered()
            self._send_gathered()
            if self.postponed:
                self._do_postponed()
            now = monotonic()
            if now > until:
                return
            events = poll(0, BATCH)
            if not events:
                if self._quick:
                    awake = now + SPIN
                    while not events and monotonic() < awake:
                        events = poll(0, BATCH)
                if not events:
                    events = poll(WAIT, BATCH)
                    self._quick = monotonic() - now < SPIN

    def _do_postponed(self) -> None:
        while self.postponed:  # what is done may postpone more
            several, self.postponed = self.postponed[:TOGETHER], self.postponed[TOGETHER:]
            failed = [each for each in several if not self._done(each, each.prepare)]
            for each in several:
                if each not in failed:
                    self._done(each, each.act)
            self._send_gathered()

    def _done(self, one: Postponed, step: Callable[[], None]) -> bool:
        try:
            step()
        except Exception:  # noqa: BLE001  # as in _serve; who gives up tells why
            self._abort(one)
            return False
        return True

    def _in_order(self, events: list[tuple[int, int]]) -> list[tuple[int, int]]:
        first = self._first
        return [each for each in events if each[0] in first] + [each for each in events if each[0] not in first]

    def record(self) -> None:
        """Something leaves the process now: what the ledger has kept back is written first."""
        if self.ledger is not None:
            self.ledger.flush()

    def _send_gathered(self) -> None:
        self.record()
        while self.gathered:  # who is told of an end may write to somebody
            gathered, self.gathered = self.gathered, []
            for one in gathered:
                try:
                    one.flush()
                except Exception:  # noqa: BLE001  # as in _serve
                    self.log.failure("A connection failed inside the gate")
                    self._abort(one)
            self.record()

    def _abort(self, one: Watched | Postponed) -> None:
        """An owner that fails as it hears of the end, too, must not end the lane, and with it everybody."""
        try:
            one.abort()
        except Exception:  # noqa: BLE001  # as in doRead
            self.log.failure("A connection failed to end inside the gate")

    # -- the wires' side

    def add(self, fd: int, one: Watched, mask: int = IN, *, first: bool = False) -> None:
        """Watch `fd`. `first`: of what is ready, serve this before others."""
        if not self._watched:
            self.reactor.addReader(self)
        self._watched[fd] = one
        if first:
            self._first.add(fd)
        self._epoll.register(fd, mask)

    def change(self, fd: int, mask: int) -> None:
        """Watch `fd` for other events."""
        self._epoll.modify(fd, mask)

    def remove(self, fd: int) -> None:
        """Watch `fd` no more, which is closed right after: that takes it out of the epoll."""
        del self._watched[fd]
        self._first.discard(fd)
        if not self._watched:
            self.reactor.removeReader(self)
