"""A plain TCP socket on a lane, read and written without a transport of Twisted's in between."""

from __future__ import annotations

import socket
from contextlib import suppress

from couchgate.system import RESET
from couchgate.wire import RECEIVE, Owner
from couchgate.wire.lane import IN, OUT, Lane

SMALL = 16384  # bytes: more than that is sent at once


class SocketWire:
    """A connected or connecting non-blocking TCP socket on `lane`.

    A connection that is still being made is written to like any other: the kernel says when it can be. If it cannot
    be made, `lost` says so.

    `_out` is what was not sent: what the kernel did not take (`blocked`), or what is gathered (the lane then knows).
    """

    __slots__ = (
        "_closing",
        "_fd",
        "_gathered",
        "_lane",
        "_mask",
        "_out",
        "_owner",
        "_recv",
        "_send",
        "_socket",
        "blocked",
        "sends",
        "stands",
    )

    secure = False

    def __init__(self, lane: Lane, sock: socket.socket, owner: Owner, *, first: bool = False) -> None:
        self._lane = lane
        self._socket: socket.socket | None = sock
        self._fd = sock.fileno()
        self._recv = sock.recv
        self._send = sock.send
        self._owner = owner
        self._out: list[bytes] = []
        self._mask = IN
        self._closing = False
        self._gathered = 0  # bytes
        self.blocked = False
        self.sends = 0
        self.stands = False  # whether anything went out or came in: then the connection has been made
        lane.add(self._fd, self, first=first)

    @property
    def unsent(self) -> bool:
        """Whether something that was written is still here."""
        return bool(self._out)

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
        size = len(data)
        if self._out:
            self._out.append(data)
            self._gathered += size
            if self._gathered > SMALL:
                self._lane.record()
                self.flush()
            return not self.blocked
        if size <= SMALL and self._lane.serving and self._socket is not None:
            self._out.append(data)
            self._gathered = size
            self._lane.gathered.append(self)
            return True
        self._lane.record()
        return self._push(data)

    def flush(self) -> None:
        """Send what was gathered."""
        if self.blocked or not self._out:
            return
        data = self._out[0] if len(self._out) == 1 else b"".join(self._out)
        self._out = []
        if self._push(data) and self._closing:
            self._lose(clean=True)

    def _push(self, data: bytes) -> bool:
        self.sends += 1
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
            self._watch(self._mask | OUT)
        return False

    def writable(self) -> None:
        """Send what is left."""
        if not self.blocked:
            return  # meant for the one that had this descriptor before
        self._lane.record()
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
        self._watch(self._mask & ~OUT)
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
            self._lane.record()  # the other side sees this end, too
            self._lose(clean=True)
        else:
            self._closing = True

    def close_write(self) -> None:
        """Close our direction only (FIN)."""
        self._lane.record()
        self.flush()
        if self._socket is not None and not self.blocked:  # else `drained` will be heard, and it asked for again
            try:
                self._socket.shutdown(socket.SHUT_WR)
            except OSError:
                self._lose(clean=False)

    def abort(self) -> None:
        """Cut at once (RST)."""
        if self._socket is not None:
            self._lane.record()
            with suppress(OSError):  # it is broken already
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            self._lose(clean=False)

    def _lose(self, *, clean: bool) -> None:
        sock, self._socket = self._socket, None
        if sock is None:
            return
        self._out = []
        self._lane.remove(self._fd)
        sock.close()
        self._owner.lost(clean=clean)
