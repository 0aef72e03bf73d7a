"""Waiting for a connection's own sockets: the client's, and CouchDB's for its request; never two clients' at once."""

from __future__ import annotations

import select
import socket
from collections.abc import Sequence

TICK = 0.25  # seconds after which a waiting thread looks whether it was told something

Sockets = Sequence[socket.socket]

if hasattr(select, "poll"):

    def wait(reading: Sockets, writing: Sockets, seconds: float) -> tuple[set[socket.socket], set[socket.socket]]:
        """Those that can be read and written now, after `seconds` at most. A broken or hung up one can be both."""
        wanted: dict[int, int] = {}
        by_number: dict[int, socket.socket] = {}
        for sockets, event in ((reading, select.POLLIN), (writing, select.POLLOUT)):
            for sock in sockets:
                number = sock.fileno()
                by_number[number] = sock
                wanted[number] = wanted.get(number, 0) | event
        poll = select.poll()
        for number, events in wanted.items():
            poll.register(number, events)
        readable, writable = set(), set()
        for number, event in poll.poll(max(0.0, seconds) * 1000):
            if event & ~select.POLLOUT:
                readable.add(by_number[number])
            if event & ~select.POLLIN:
                writable.add(by_number[number])
        return readable, writable

else:  # Windows

    def wait(reading: Sockets, writing: Sockets, seconds: float) -> tuple[set[socket.socket], set[socket.socket]]:
        """Those that can be read and written now, after `seconds` at most. One that could not connect can be written.

        Windows tells of that as of an exception. So it does of urgent data, with which a client could keep a thread
        awake: nobody asks for exceptions of a socket that is connected.
        """
        connecting = [sock for sock in writing if not _connected(sock)]
        readable, writable, broken = select.select(reading, writing, connecting, max(0.0, seconds))
        return set(readable), {*writable, *broken}

    def _connected(sock: socket.socket) -> bool:
        try:
            sock.getpeername()
        except OSError:
            return False
        return True
