"""Waiting for a connection's own sockets: the client's, and CouchDB's for its request; never two clients' at once.

A socket by TLS may hold what it has read ahead (`pending`), which no poll can see: that is not waited for.
"""

from __future__ import annotations

import select
from collections.abc import Sequence

from couchgate.threaded.parts import Sock

TICK = 0.25  # seconds after which a waiting thread looks whether it was told something

Sockets = Sequence[Sock]
Ready = tuple[set[Sock], set[Sock]]


def wait(reading: Sockets, writing: Sockets, seconds: float) -> Ready:
    """Those that can be read and written now, after `seconds` at most. A broken or hung up one can be both."""
    ahead = {sock for sock in reading if getattr(sock, "pending", False)}  # a plain one holds nothing
    readable, writable = _wait(reading, writing, 0.0 if ahead else max(0.0, seconds))
    return readable | ahead, writable


if hasattr(select, "poll"):

    def _wait(reading: Sockets, writing: Sockets, seconds: float) -> Ready:
        wanted: dict[int, int] = {}
        by_number: dict[int, Sock] = {}
        for sockets, event in ((reading, select.POLLIN), (writing, select.POLLOUT)):
            for sock in sockets:
                number = sock.fileno()
                by_number[number] = sock
                wanted[number] = wanted.get(number, 0) | event
        poll = select.poll()
        for number, events in wanted.items():
            poll.register(number, events)
        readable, writable = set(), set()
        for number, event in poll.poll(seconds * 1000):
            if event & ~select.POLLOUT:
                readable.add(by_number[number])
            if event & ~select.POLLIN:
                writable.add(by_number[number])
        return readable, writable

else:  # Windows

    def _wait(reading: Sockets, writing: Sockets, seconds: float) -> Ready:
        # Windows tells of one that could not connect as of an exception. So it does of urgent data, with which a client
        # could keep a thread awake: nobody asks for exceptions of a socket that is connected.
        connecting = [sock for sock in writing if not _connected(sock)]
        readable, writable, broken = select.select(reading, writing, connecting, seconds)
        return set(readable), {*writable, *broken}

    def _connected(sock: Sock) -> bool:
        try:
            sock.getpeername()
        except OSError:
            return False
        return True
