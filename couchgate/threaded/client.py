"""A client's socket, read and written by its own thread only."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from contextlib import suppress

from couchgate.http1.manners import DISCARD_BYTES, DISCARD_SECONDS
from couchgate.system import RESET
from couchgate.threaded.parts import Secure, Secured, Sock
from couchgate.threaded.waiting import TICK, wait

RECEIVE = 65536  # bytes taken at once


class ClientGone(Exception):
    """The client has left, takes nothing, or is cut: there is nobody to answer."""


class Client:
    """`sock` with what was read ahead (`buffer`) and what it has not taken yet (`unsent`).

    `cutting()` says whether the gate cuts its connections now. `secured` makes TLS of the socket, if it is to be.
    """

    def __init__(self, sock: socket.socket, cutting: Callable[[], bool], secured: Secured | None) -> None:
        sock.setblocking(False)  # noqa: FBT003  # the socket's own signature
        self._plain = sock
        self._secured = secured
        self._tls: Secure | None = None
        self.sock: Sock = sock
        self.buffer = b""
        self.unsent: bytes | memoryview = b""
        self.half_closed = False
        self._cutting = cutting

    @property
    def secure(self) -> bool:
        """Whether it comes by TLS."""
        return self._secured is not None

    def shake_hands(self, seconds: float, leaving: Callable[[], bool]) -> None:
        """Begin TLS, if it is to be. Raises ClientGone if that fails, takes longer, or is not waited for any more."""
        if self._secured is None:
            return
        self.sock = self._tls = tls = self._secured(self._plain)
        until = time.monotonic() + seconds
        try:
            while not tls.shake_hands():
                left = until - time.monotonic()
                if left < 0 or leaving():
                    raise ClientGone
                self.wait(not tls.writing, left)
        except OSError:
            raise ClientGone from None

    def wait(self, reading: bool, seconds: float) -> bool:  # noqa: FBT001  # read or write, no third way
        """Whether it can be read (or written), within `TICK`. Raises ClientGone when all connections are cut."""
        if self._cutting():
            raise ClientGone
        sockets = (self.sock,)
        ready = wait(sockets, (), min(seconds, TICK)) if reading else wait((), sockets, min(seconds, TICK))
        return any(ready)

    def receive(self) -> bytes | None:
        """What has come; empty: it has closed its side; None: nothing. Raises ClientGone."""
        try:
            data = self.sock.recv(RECEIVE)
        except (BlockingIOError, InterruptedError):
            return None
        except OSError:
            raise ClientGone from None
        if not data:
            self.half_closed = True
        return data

    def send(self, data: bytes) -> None:
        """Send what it takes at once; the rest is `unsent`. Raises ClientGone."""
        self.unsent = bytes(self.unsent) + data if self.unsent else data
        self.flush()

    def flush(self) -> None:
        """Send more of what is `unsent`, if it takes some now. Raises ClientGone."""
        while self.unsent:
            try:
                sent = self.sock.send(self.unsent)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                raise ClientGone from None
            self.unsent = memoryview(self.unsent)[sent:]

    def finish(self, idle_seconds: float) -> None:
        """Send all that is left; a client that takes nothing for `idle_seconds` is gone. Raises ClientGone."""
        since = time.monotonic()
        while self.unsent:
            left = len(self.unsent)
            self.wait(False, TICK)  # noqa: FBT003
            self.flush()
            now = time.monotonic()
            if len(self.unsent) < left:
                since = now
            elif now - since > idle_seconds:
                raise ClientGone

    def close(self, *, unread: bool) -> None:
        """Close politely. `unread`: more of its request may come. Raises ClientGone.

        With unread bytes the system would send RST, which destroys an answer that is on its way. So the sending side
        is closed first, and what still comes is thrown away, within bounds. TLS says goodbye first, and has no
        directions; the connection below it has.
        """
        discarded, until = len(self.buffer), time.monotonic() + DISCARD_SECONDS
        if self._tls is not None:
            self._say_goodbye(self._tls, until)
        with suppress(OSError):
            self.sock.shutdown(socket.SHUT_WR)
        if not unread and not self.half_closed:
            unread = bool(self.receive())
        while unread and not self.half_closed and (left := until - time.monotonic()) > 0:
            if not self.wait(True, left):  # noqa: FBT003
                continue
            discarded += len(self.receive() or b"")
            if discarded > DISCARD_BYTES:
                raise ClientGone
        self.sock.close()

    def _say_goodbye(self, tls: Secure, until: float) -> None:
        try:
            while not tls.goodbye() and time.monotonic() < until:
                self.wait(False, TICK)  # noqa: FBT003
        except OSError:
            raise ClientGone from None

    def hang_up(self) -> None:
        """Close without a wait."""
        with suppress(OSError):
            self.sock.shutdown(socket.SHUT_WR)
        self.sock.close()

    def cut(self) -> None:
        """Cut it (RST), so that nothing half-sent looks whole."""
        with suppress(OSError):
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self.sock.close()
