"""The way of a thread to CouchDB: from a name to a connected socket, the twin of `names`.

Nothing here blocks: who waits, waits for all of it with `poll`, so that a client that leaves, a gate that stops and the
end of the time to connect are seen at once. A look-up cannot be given a time limit, so a thread of its own does it for
all who want it, at most once for each time that what answered last is remembered.
"""

from __future__ import annotations

import errno
import ipaddress
import socket
import threading
import time
from collections.abc import Collection
from typing import Any

from couchgate.core.errors import Unavailable
from couchgate.upstream.connection import RETRY_AFTER
from couchgate.upstream.names import NEXT_ADDRESS, REMEMBERED

AGAIN_SECONDS = 0.02  # between two attempts at a Unix socket whose queue is full
_BEGUN = frozenset((0, errno.EINPROGRESS, errno.EWOULDBLOCK))

Place = tuple[socket.AddressFamily, "tuple[str, int] | str"]


def unreachable(reason: str = "CouchDB cannot be reached.") -> Unavailable:
    """CouchDB's place says no, or nothing."""
    return Unavailable(reason, code="upstream_down", retry_after=RETRY_AFTER)


def too_late() -> Unavailable:
    """The time to connect is over."""
    return unreachable("CouchDB cannot be reached in time.")


class Lookup:
    """One look-up of `host`, under way, in a thread of its own, for all who wait. Raises RuntimeError without one."""

    def __init__(self, host: str, port: int) -> None:
        self.found: list[Place] | None = None  # None: not yet
        self._asked = host, port
        self._lock = threading.Lock()
        self._bells: list[socket.socket] = []
        threading.Thread(target=self._run, name="couchgate looks up", daemon=True).start()

    def join(self) -> socket.socket:
        """A socket, the caller's own, that can be read once `found` is there."""
        bell, rope = socket.socketpair()
        with self._lock:
            if self.found is None:
                self._bells.append(rope)
            else:
                rope.close()
        return bell

    def _run(self) -> None:
        try:
            answers = socket.getaddrinfo(*self._asked, type=socket.SOCK_STREAM)
            found = [(family, (str(address[0]), int(address[1]))) for family, _, _, _, address in answers]
        except (OSError, UnicodeError):
            found = []
        with self._lock:
            self.found = [*found]
            for rope in self._bells:
                rope.close()


class Places:
    """Where CouchDB is: at `host` and `port`, or at the Unix socket `path`. The address that answered last comes first.

    Threads may share it.
    """

    def __init__(self, host: str, port: int, path: str | None = None) -> None:
        self._asked = host, port
        self._fixed: Place | None = None
        if path is not None:
            self._fixed = socket.AF_UNIX, path
        else:
            try:
                version = ipaddress.ip_address(host).version
            except ValueError:
                pass  # a name
            else:
                self._fixed = socket.AF_INET6 if version == 6 else socket.AF_INET, (host, port)
        self._known: tuple[Place, float] | None = None  # and until when
        self._lookup: Lookup | None = None
        self._lock = threading.Lock()

    def known(self) -> Place | None:
        """The one to try, if it needs no look-up."""
        if self._fixed is not None:
            return self._fixed
        known = self._known
        return known[0] if known is not None and time.monotonic() < known[1] else None

    def look_up(self) -> Lookup | None:
        """The look-up that is under way, or a new one; None where none can help. Raises Unavailable."""
        if self._fixed is not None:
            return None
        with self._lock:
            if self._lookup is None or self._lookup.found is not None:
                try:
                    self._lookup = Lookup(*self._asked)
                except RuntimeError:  # the system has no thread to spare
                    raise unreachable() from None
            return self._lookup

    def answered(self, place: Place) -> None:
        """This one of those looked up did."""
        self._known = place, time.monotonic() + REMEMBERED

    def failed(self) -> None:
        """The one that answered last did not."""
        self._known = None


class Dialling:
    """One connection to one of `places`, within `seconds`, on its way. Raises Unavailable wherever that fails.

    The next address is tried as soon as one fails, and else, beside those tried before, at each look that comes
    NEXT_ADDRESS seconds after the last one.
    """

    def __init__(self, places: Places, seconds: float) -> None:
        self._places = places
        self._deadline = time.monotonic() + seconds
        self._left: list[Place] = []
        self._trying: dict[socket.socket, Place] = {}
        self._tried_at = 0.0
        self._lookup: Lookup | None = None
        self._bell: socket.socket | None = None
        self._looked_up = False
        known = places.known()
        if known is None:
            self._look_up()
        else:
            self._left = [known]
            self._next()

    def awaited(self) -> tuple[list[Any], list[Any]]:
        """The sockets to be waited for: to be read, to be written."""
        return ([] if self._bell is None else [self._bell]), list(self._trying)

    def go_on(self, ready: Collection[Any]) -> socket.socket | None:
        """Go on; `ready` are those that are, perhaps none: time has passed. The socket, once it is connected."""
        if self._bell is not None and self._bell in ready:
            assert self._lookup is not None  # noqa: S101  # for the type checker: the bell is its own
            self._bell.close()
            self._bell = None
            self._left = list(self._lookup.found or ())
            self._next()
        for sock in [sock for sock in self._trying if sock in ready]:
            if not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                place = self._trying.pop(sock)
                if self._looked_up:
                    self._places.answered(place)
                self.close()
                return sock
            del self._trying[sock]
            sock.close()
            self._next()
        now = time.monotonic()
        if now > self._deadline:
            self._places.failed()
            raise too_late()
        if self._left and self._trying and now - self._tried_at >= NEXT_ADDRESS:
            self._next()
        return None

    def close(self) -> None:
        """Give up what is under way."""
        for sock in self._trying:
            sock.close()
        self._trying = {}
        if self._bell is not None:
            self._bell.close()
            self._bell = None

    def _look_up(self) -> None:
        if self._looked_up or (lookup := self._places.look_up()) is None:
            raise unreachable()
        self._looked_up = True
        try:
            self._lookup, self._bell = lookup, lookup.join()
        except OSError:  # no descriptors to spare
            raise unreachable() from None

    def _next(self) -> None:
        """Try the next address; when none is left, and none is being tried, look the name up, once."""
        while self._left:
            place = self._left.pop(0)
            sock = self._begin(*place)
            if sock is not None:
                self._trying[sock] = place
                self._tried_at = time.monotonic()
                return
        if not self._trying:
            self._places.failed()
            self._look_up()

    def _begin(self, family: socket.AddressFamily, address: tuple[str, int] | str) -> socket.socket | None:
        """A socket that connects; None if that fails at once."""
        try:
            sock = socket.socket(family, socket.SOCK_STREAM)
        except OSError:  # no descriptor to spare, or a family that the system lacks
            return None
        sock.setblocking(False)  # noqa: FBT003  # the socket's own signature
        if isinstance(address, str):
            while (problem := sock.connect_ex(address)) == errno.EAGAIN and time.monotonic() < self._deadline:
                time.sleep(AGAIN_SECONDS)  # the kernel does not wait for room there
            begun = not problem
        else:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            begun = sock.connect_ex(address) in _BEGUN
        if begun:
            return sock
        sock.close()
        return None
