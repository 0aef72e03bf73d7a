"""CouchDB on blocking sockets, the twin of `connection` and `connectors`: a fresh connection for each request.

Sockets here do not block by themselves: who waits does so with `select`, for CouchDB and its own client together, so
that either side's end is seen at once. Nothing is shared between two requests but the addresses of a name.
"""

from __future__ import annotations

import errno
import socket
import time
from contextlib import suppress

from couchgate.core.errors import BadGateway, Unavailable
from couchgate.core.message import ResponseHead
from couchgate.http1.responses import ResponseReader
from couchgate.system import RESET

RECEIVE = 65536  # bytes taken at once
REMEMBERED = 30.0  # seconds until a name is looked up again
AGAIN_SECONDS = 0.02  # between two attempts at a Unix socket whose queue is full
_BEGUN = frozenset((0, errno.EINPROGRESS, errno.EWOULDBLOCK))
_DOWN = "CouchDB cannot be reached."

Place = tuple[socket.AddressFamily, "tuple[str, int] | str"]


def _unreachable(reason: str = _DOWN) -> Unavailable:
    return Unavailable(reason, code="upstream_down")


class Places:
    """Where CouchDB is: at `host` and `port`, or at the Unix socket `path`. The address that answered last comes first.

    Threads may share it.
    """

    def __init__(self, host: str, port: int, path: str | None = None) -> None:
        self._host = host
        self._port = port
        self._path = path
        self._known: tuple[Place, float] | None = None  # and until when

    def all(self) -> list[Place]:
        """Every address to try, in this order. Raises Unavailable."""
        if self._path is not None:
            return [(socket.AF_UNIX, self._path)]
        known = self._known
        if known is not None and time.monotonic() < known[1]:
            return [known[0]]
        try:
            found = socket.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
        except OSError:
            raise _unreachable() from None
        return [(family, (str(address[0]), int(address[1]))) for family, _, _, _, address in found]

    def answered(self, place: Place) -> None:
        """This one did."""
        if self._path is None:
            self._known = place, time.monotonic() + REMEMBERED

    def failed(self) -> None:
        """The one that answered last did not."""
        self._known = None


class BlockingUpstream:
    """One exchange with CouchDB. It connects to `places`, within `seconds` in all.

    `sock` is to be waited for: for writing until `connected` and while there is `unsent`, else for reading.
    """

    def __init__(self, places: Places, seconds: float, method: bytes) -> None:
        self._places = places
        self._deadline = time.monotonic() + seconds
        self._left = places.all()
        self._reader = ResponseReader(method)
        self._deaf = False  # it takes nothing more of the request
        self.connected = False
        self.unsent: bytes | memoryview = b""
        self.sock = self._next()

    @property
    def head(self) -> ResponseHead | None:
        """The answer's head, once it is there."""
        return self._reader.head

    @property
    def done(self) -> bool:
        """Whether the answer is complete."""
        return self._reader.done

    def _next(self) -> socket.socket:
        """Begin to connect to the next address. Raises Unavailable."""
        while self._left:
            family, address = self._left[0]
            sock = socket.socket(family, socket.SOCK_STREAM)
            sock.setblocking(False)  # noqa: FBT003  # the socket's own signature
            if isinstance(address, str):
                while (problem := sock.connect_ex(address)) == errno.EAGAIN and time.monotonic() < self._deadline:
                    time.sleep(AGAIN_SECONDS)  # the kernel does not wait for room there
                begun = not problem
            else:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                begun = sock.connect_ex(address) in _BEGUN
            if begun:
                now = time.monotonic()
                self._give_up = now + (self._deadline - now) / len(self._left)
                return sock
            sock.close()
            self._left.pop(0)
        self._places.failed()
        raise _unreachable()

    def look(self) -> None:
        """Time has passed while it connects. Raises Unavailable."""
        now = time.monotonic()
        if now > self._deadline:
            self._places.failed()
            raise _unreachable("CouchDB cannot be reached in time.")
        if now > self._give_up:
            self._try_next()

    def writable(self) -> None:
        """The socket can be written to, or has failed to connect. Raises Unavailable."""
        if self.connected:
            self._flush()
            return
        if self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self._try_next()
            return
        self.connected = True
        self._places.answered(self._left[0])
        self._flush()

    def _try_next(self) -> None:
        self.sock.close()
        self._left.pop(0)
        self.sock = self._next()

    def send(self, data: bytes) -> None:
        """Send `data` of the request, now or when the socket can be written to."""
        self.unsent = bytes(self.unsent) + data if self.unsent else data
        if self.connected:
            self._flush()

    def _flush(self) -> None:
        if self._deaf:
            self.unsent = b""
        while self.unsent:
            try:
                sent = self.sock.send(self.unsent)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                self._deaf = True  # what it has answered before can be read all the same
                self.unsent = b""
                return
            self.unsent = memoryview(self.unsent)[sent:]

    def receive(self) -> bytes | None:
        """Body bytes of the answer, perhaps none; None: nothing has come. Look at `head` and `done` afterwards.

        Raises BadGateway, Unavailable.
        """
        reader = self._reader
        try:
            data = self.sock.recv(RECEIVE)
        except (BlockingIOError, InterruptedError):
            return None
        except OSError:
            self._lost()
        if data:
            return reader.feed(data)
        if not reader.ended():
            self._lost()
        reader.done = True
        return b""

    def _lost(self) -> None:
        if self._reader.touched:
            raise BadGateway("CouchDB's answer broke off.", code="upstream_cut")
        raise Unavailable("CouchDB closed the connection without an answer.", code="upstream_closed")

    def close(self) -> None:
        """End it; CouchDB stops working on what is unfinished."""
        if not self.done:
            with suppress(OSError):  # RST: an end of ours must not look like the end of a request
                self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self.sock.close()
