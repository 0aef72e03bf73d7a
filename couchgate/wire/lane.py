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
"""

from __future__ import annotations

import select
import socket
import struct
from contextlib import suppress
from time import monotonic
from typing import Any, Protocol

from twisted.internet.interfaces import IReactorFDSet, IReadDescriptor
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from couchgate.wire import RECEIVE, Owner

STAY = 0.005  # seconds away from the reactor at most, besides the last handler and one wait
WAIT = 0.001  # seconds to wait for the next event before going back
SPIN = 0.00005  # seconds to look for an event before sleeping, while events come that fast
BATCH = 256  # events taken at once
IN = 1  # EPOLLIN and EPOLLOUT, which select has on Linux only
_OUT = 4
_RST = struct.pack("ii", 1, 0)


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
        watched = self._watched
        poll = self._epoll.poll
        events = poll(0, BATCH)
        until = monotonic() + STAY
        while events:
            for fd, mask in events:
                one = watched.get(fd)
                if one is None:
                    continue
                try:
                    if mask != _OUT:
                        one.readable()  # an error is found by reading
                    if mask & _OUT and watched.get(fd) is one:
                        one.writable()
                except Exception:  # noqa: BLE001  # one connection's fault must not stop the others
                    self.log.failure("A connection failed inside the gate")
                    self._abort(one)
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

    def _abort(self, one: Watched) -> None:
        """An owner that fails as it hears of the end, too, must not end the lane, and with it everybody."""
        try:
            one.abort()
        except Exception:  # noqa: BLE001  # as in doRead
            self.log.failure("A connection failed to end inside the gate")

    # -- the wires' side

    def add(self, fd: int, one: Watched, mask: int = IN) -> None:
        """Watch `fd`."""
        if not self._watched:
            self.reactor.addReader(self)
        self._watched[fd] = one
        self._epoll.register(fd, mask)

    def change(self, fd: int, mask: int) -> None:
        """Watch `fd` for other events."""
        self._epoll.modify(fd, mask)

    def remove(self, fd: int) -> None:
        """Watch `fd` no more, which is closed right after: that takes it out of the epoll."""
        del self._watched[fd]
        if not self._watched:
            self.reactor.removeReader(self)


class SocketWire:
    """A connected or connecting non-blocking TCP socket on `lane`.

    A connection that is still being made is written to like any other: the kernel says when it can be. If it cannot
    be made, `lost` says so.
    """

    __slots__ = (
        "_closing",
        "_fd",
        "_lane",
        "_mask",
        "_out",
        "_owner",
        "_recv",
        "_send",
        "_socket",
        "blocked",
        "stands",
    )

    secure = False

    def __init__(self, lane: Lane, sock: socket.socket, owner: Owner) -> None:
        self._lane = lane
        self._socket: socket.socket | None = sock
        self._fd = sock.fileno()
        self._recv = sock.recv
        self._send = sock.send
        self._owner = owner
        self._out: list[bytes] = []
        self._mask = IN
        self._closing = False
        self.blocked = False
        self.stands = False  # whether anything went out or came in: then the connection has been made
        lane.add(self._fd, self)

    def readable(self) -> None:
        """Receive once."""
        try:
            data = self._recv(RECEIVE)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self._lose(clean=False)
            return
        if data:
            if not self._closing:
                self._owner.received(data)
            return
        self._watch(self._mask & ~IN)
        if self._closing and not self._out:
            self._lose(clean=True)
        elif not self._closing:
            self._owner.ended()

    def write(self, data: bytes) -> bool:
        """Send `data`, which is not empty. False: wait for `drained`."""
        if self.blocked:
            self._out.append(data)
            return False
        try:
            sent = self._send(data)
        except OSError:
            sent = 0  # full, not connected yet, or broken: the next event tells
        if sent:
            self.stands = True
        if sent == len(data):
            return True
        if self._socket is not None:
            self._out.append(data[sent:])
            self.blocked = True
            self._watch(self._mask | _OUT)
        return False

    def writable(self) -> None:
        """Send what is left."""
        if not self.blocked:
            return  # meant for the one that had this descriptor before
        data = self._out[0] if len(self._out) == 1 else b"".join(self._out)
        try:
            sent = self._send(data) if data else 0
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self._lose(clean=False)
            return
        self.stands = True
        if sent < len(data):
            self._out = [data[sent:]]
            return
        self._out = []
        self.blocked = False
        self._watch(self._mask & ~_OUT)
        if self._closing:
            self._lose(clean=True)
        else:
            self._owner.drained()

    def _watch(self, mask: int) -> None:
        if mask != self._mask and self._socket is not None:
            self._mask = mask
            self._lane.change(self._fd, mask)

    def pause(self) -> None:
        """Receive nothing until `resume`."""
        self._watch(self._mask & ~IN)

    def resume(self) -> None:
        """Receive again."""
        self._watch(self._mask | IN)

    def close(self) -> None:
        """Close once everything written has gone out."""
        if not self._out:
            self._lose(clean=True)
        else:
            self._closing = True

    def close_write(self) -> None:
        """Close our direction only (FIN)."""
        if self._socket is not None:
            try:
                self._socket.shutdown(socket.SHUT_WR)
            except OSError:
                self._lose(clean=False)

    def abort(self) -> None:
        """Cut at once (RST)."""
        if self._socket is not None:
            with suppress(OSError):  # it is broken already
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RST)
            self._lose(clean=False)

    def _lose(self, *, clean: bool) -> None:
        sock, self._socket = self._socket, None
        if sock is None:
            return
        self._out = []
        self._lane.remove(self._fd)
        sock.close()
        self._owner.lost(clean=clean)
