"""What all connections of one threaded listener share: by what they serve, the bounds, the open feeds, the end.

Each connection has a thread, and each thread waits for its own sockets only. What belongs to all is behind one lock
and held for a few instructions; what a reload replaces is one immutable value (`present`).
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from couchgate.core.errors import Unavailable
from couchgate.core.feed import FeedFollower
from couchgate.core.turns import Place, Places
from couchgate.threaded.accepting import Accepting
from couchgate.threaded.parts import Page, Present, Secured
from couchgate.threaded.relay import Relay
from couchgate.threaded.request import ThreadedRequest
from couchgate.threaded.serving import Serving

if TYPE_CHECKING:
    from couchgate.recorder.flight import Flight

REFUSING = 16  # threads beyond the bound that only say so


class ThreadedFace:
    """The blocking face of one listener.

    `pages` are the gate's own, by the segments of their paths; `elsewhere(segment)` says whether other faces serve
    something else of the deployment's under this first segment. `call(f, *args)` waits for the Deferred of `f(*args)`
    in the reactor's thread, and gives or raises its result. `wall` gives seconds since the epoch. `finished` is told
    of each request that is over, `fault` of each error in the gate itself, `warn` of trouble, as a sentence, and
    `changed` is called whenever a connection or an accepting thread has ended: all four by any thread.
    """

    def __init__(
        self,
        present: Present,
        pages: Mapping[tuple[bytes, ...], Page],
        elsewhere: Callable[[bytes], bool],
        *,
        call: Callable[..., Any],
        wall: Callable[[], float],
        finished: Callable[[ThreadedRequest], None],
        fault: Callable[[BaseException], None],
        warn: Callable[[str], None],
        changed: Callable[[], None],
    ) -> None:
        self.present = present
        self.pages = pages
        self.elsewhere = elsewhere
        self.call = call
        self.wall = wall
        self.finished = finished
        self.fault = fault
        self._warn = warn
        self.recorder: Flight | None = None  # what hears of everything, if there is one
        self.draining = False  # whether connections that wait for a request are closed
        self.cutting = False  # whether every connection is cut
        self._changed = changed
        self._lock = threading.Lock()
        self._serving: set[Serving] = set()
        self._accepting = 0
        self._waiting = 0
        self._feeds: set[Relay] = set()
        self._places = Places()

    # -- connections

    def accept(self, listener: socket.socket, secured: Secured | None = None) -> Accepting:
        """Serve the connections of this listening socket, which is the face's own from now on, until it is stopped.

        `secured` makes TLS of each of them, in its own thread.
        """
        with self._lock:
            self._accepting += 1
        return Accepting(listener, partial(self._accepted, secured), self._no_more, self._warn)

    def _no_more(self) -> None:
        with self._lock:
            self._accepting -= 1
        self._changed()

    def _accepted(self, secured: Secured | None, sock: socket.socket, address: Any) -> None:
        internet = sock.family in (socket.AF_INET, socket.AF_INET6)
        if internet:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        limits = self.present.limits
        most = min(limits.threads, limits.connections)
        present = len(self._serving)  # only this thread adds
        serving = Serving(self, sock, address[0] if internet else "", secured, refused=present >= most)
        if present >= most + REFUSING:
            serving.turn_away()
            return
        with self._lock:
            self._serving.add(serving)
        try:
            threading.Thread(target=serving.run, name="couchgate serves", daemon=True).start()
        except RuntimeError:  # the system has no thread to spare either
            serving.turn_away()
            self.closed(serving)

    def closed(self, serving: Serving) -> None:
        """Count a connection out."""
        with self._lock:
            self._serving.discard(serving)
        self._changed()

    @property
    def connections(self) -> int:
        """How many clients are connected."""
        return len(self._serving)

    @property
    def under_way(self) -> list[ThreadedRequest]:
        """The requests that are being served."""
        with self._lock:
            return [request for serving in self._serving if (request := serving.request) is not None]

    @property
    def idle(self) -> bool:
        """Whether nobody is connected, and nobody will be."""
        with self._lock:
            return not self._serving and not self._accepting

    def drain(self) -> None:
        """Serve what is under way, end feeds well, close."""
        self.draining = True
        for relay in self.open_feeds():
            relay.ending = True

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """One more thread waits for what only the reactor finds out. Raises Unavailable.

        Anybody can make it wait, by inventing a key id: so it is half of the threads at most, and the others serve.
        """
        limits = self.present.limits
        with self._lock:
            if self._waiting >= max(1, min(limits.threads, limits.connections) // 2):
                raise Unavailable("The gate has no thread to spare for waiting.", code="threads", retry_after=1)
            self._waiting += 1
        try:
            yield
        finally:
            with self._lock:
                self._waiting -= 1

    # -- feeds

    def add_feed(self, relay: Relay, follower: FeedFollower) -> Place | None:
        """Count a feed in: its place; None if its principal has too many."""
        request = relay.request
        with self._lock:
            place = self._places.take(
                request.principal, request.peer.address, request.head, follower, self.present.limits
            )
            if place is not None:
                if self.draining:
                    relay.ending = True
                self._feeds.add(relay)
        return place

    def remove_feed(self, relay: Relay, place: Place) -> None:
        """Count a feed out."""
        with self._lock:
            self._feeds.remove(relay)
            self._places.leave(place)

    def open_feeds(self) -> list[Relay]:
        """The feeds that are open now."""
        with self._lock:
            return list(self._feeds)
