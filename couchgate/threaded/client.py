"""A client's socket, read and written by its own thread only."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from contextlib import suppress

from couchgate.http1.manners import DISCARD_BYTES, DISCARD_SECONDS
from couchgate.system import RESET
from couchgate.threaded.waiting import TICK, wait

RECEIVE = 65536  # bytes taken at once


class ClientGone(Exception):
    """The client has left, takes nothing, or is cut: there is nobody to answer."""


class Client:
    """`sock` with what was read ahead (`buffer`) and what it has not taken yet (`unsent`).

    `cutting()` says whether the gate cuts its connections now.
    """

    def __init__(self, sock: socket.socket, cutting: Callable[[], bool]) -> None:
        sock.setblocking(False)  # noqa: FBT003  # the socket's own signature
        self.sock = sock
        self.buffer = b""
        self.unsent: bytes | memoryview = b""
        self.half_closed = False
        self._cutting = cutting

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
        is closed first, and what still comes is thrown away, within bounds.
        """
        with suppress(OSError):
            self.sock.shutdown(socket.SHUT_WR)
        discarded, until = len(self.buffer), time.monotonic() + DISCARD_SECONDS
        if not unread and not self.half_closed:
            unread = bool(self.receive())
        while unread and not self.half_closed and (left := until - time.monotonic()) > 0:
            if not self.wait(True, left):  # noqa: FBT003
                continue
            discarded += len(self.receive() or b"")
            if discarded > DISCARD_BYTES:
                raise ClientGone
        self.sock.close()

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
