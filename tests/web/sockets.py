"""Both ends of HTTP/1 connections as plain sockets that a test drives by hand, one step after the other.

Every wait has a deadline; a parser here takes only what RFC 9112 gives one reading.
"""

import errno
import fcntl
import re
import select
import socket
import struct
import termios
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

PATIENCE = 10.0  # seconds until a test gives up
SOON = 4.0  # seconds: at once, on any machine; an idle connection is kept for five
_CHUNK = re.compile(rb"([0-9A-Fa-f]+)\r\n")
_FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*(.*?)[ \t]*")


def eventually(condition, seconds=PATIENCE):
    """Wait until `condition()` is true, and give what it gave."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not true within {seconds} s"
        time.sleep(0.005)
    return value


@contextmanager
def meanwhile(work):
    """Run `work()` in a thread beside the block; whatever it raises is raised here."""
    outcome = []

    def run():
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - told below
            outcome.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    yield
    thread.join(3 * PATIENCE)
    assert not thread.is_alive()
    if outcome:
        raise outcome[0]


class Message(NamedTuple):
    """A whole request or response; `fields` have names in lower case, `framing` is length, chunked, close or none."""

    start: bytes
    fields: tuple
    body: bytes
    framing: str

    @property
    def status(self):
        return int(self.start.split(b" ")[1])

    def all(self, name):
        return [value for key, value in self.fields if key == name]

    def first(self, name):
        return next(iter(self.all(name)), None)


class Stream:
    """One end of a connection."""

    def __init__(self, sock, other):
        sock.settimeout(PATIENCE)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock = sock
        self.buffer = b""
        self._ends = [b"0100007F:%04X" % name[1] for name in (other, sock.getsockname())]

    def send(self, *data):
        left = memoryview(b"".join(data))
        while left:  # the time limit of `sendall` is for all of it, however long that is
            left = left[self.sock.send(left) :]

    def send_until_stuck(self, data, at_most, seconds=1.0):
        """Send `data` again and again until the other side has taken nothing for so long; how many bytes it took."""
        sent, view = 0, memoryview(data)
        while sent < at_most and select.select([], [self.sock], [], seconds)[1]:
            sent += self.sock.send(view[sent % len(data) :], socket.MSG_DONTWAIT)
        return sent

    def send_until_answered(self, data, at_most):
        """Send `data` again and again until something comes from the other side; how many bytes it took."""
        sent, view = 0, memoryview(data)
        while sent < at_most:
            answered, ready, _ = select.select([self.sock], [self.sock], [], PATIENCE)
            assert answered or ready, f"neither takes nor answers within {PATIENCE} s"
            if answered:
                break
            sent += self.sock.send(view[sent % len(data) :], socket.MSG_DONTWAIT)
        return sent

    def _more(self):
        data = self.sock.recv(1 << 18)
        assert data, f"the connection ended; unread: {self.buffer[-300:]!r}"
        self.buffer += data

    def until(self, mark):
        """The bytes up to and with `mark`."""
        while (at := self.buffer.find(mark)) < 0:
            self._more()
        data, self.buffer = self.buffer[: at + len(mark)], self.buffer[at + len(mark) :]
        return data

    def take(self, size):
        """Exactly so many bytes."""
        pieces, left = [self.buffer], size - len(self.buffer)
        while left > 0:
            data = self.sock.recv(min(left, 1 << 18))
            assert data, f"the connection ended {left} bytes too early"
            pieces.append(data)
            left -= len(data)
        data = b"".join(pieces)
        self.buffer = data[size:]
        return data[:size]

    def head(self):
        """Start line and fields of the next message."""
        start, *lines = self.until(b"\r\n\r\n")[:-4].split(b"\r\n")
        matches = [_FIELD.fullmatch(line) for line in lines]
        assert all(matches), lines
        return start, tuple((match[1].lower(), match[2]) for match in matches)

    def chunk(self):
        """The data of the next chunk; empty at the end of the body, whose last line is taken too."""
        size = int(_CHUNK.fullmatch(self.until(b"\r\n"))[1], 16)
        data = self.take(size + 2)
        assert data.endswith(b"\r\n")
        return data[:-2]

    def message(self, *, bodiless=False, until_close=False):
        """The next whole message."""
        start, fields = self.head()
        lengths = [value for name, value in fields if name == b"content-length"]
        codings = [value for name, value in fields if name == b"transfer-encoding"]
        assert len(lengths) + len(codings) <= 1, fields
        if bodiless:
            return Message(start, fields, b"", "none")
        if lengths:
            return Message(start, fields, self.take(int(lengths[0])), "length")
        if codings:
            assert codings == [b"chunked"]
            pieces = []
            while piece := self.chunk():
                pieces.append(piece)
            return Message(start, fields, b"".join(pieces), "chunked")
        if until_close:
            how, rest = self.ending()
            assert how == "fin"
            return Message(start, fields, rest, "close")
        return Message(start, fields, b"", "none")

    def ending(self, seconds=PATIENCE):
        """How the other side ends the connection, "fin" or "reset", and what came before that."""
        self.sock.settimeout(seconds)
        data, self.buffer = [self.buffer], b""
        try:
            while piece := self.sock.recv(1 << 18):
                data.append(piece)
        except ConnectionResetError:
            return "reset", b"".join(data)
        return "fin", b"".join(data)

    def unacknowledged(self):
        """How many bytes the other side's kernel has not taken yet: a reset would destroy them."""
        return struct.unpack("i", fcntl.ioctl(self.sock, termios.TIOCOUTQ, b"\0" * 4))[0]

    def taken(self):
        """Whether the gate has read everything that was sent (Linux). Fails if it has let go of the connection."""
        row = self._gates_row()
        assert row is not None
        return not self.unacknowledged() and row[4].endswith(b":00000000")

    def gone(self):
        """Whether the gate has let go of the connection (Linux)."""
        row = self._gates_row()
        return row is None or row[9] == b"0"  # an inode of none: the kernel alone still looks after it

    def _gates_row(self):
        rows = [line.split() for line in Path("/proc/net/tcp").read_bytes().splitlines()]
        return next((row for row in rows if row[1:3] == self._ends), None)

    def quiet(self):
        """Whether nothing at all has come, now."""
        return not self.buffer and not select.select([self.sock], [], [], 0)[0]

    def half_close(self):
        """Close this direction, unless the other side was faster and has cut the connection."""
        try:
            self.sock.shutdown(socket.SHUT_WR)
        except OSError as error:
            if error.errno != errno.ENOTCONN:
                raise

    def reset(self):
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def close(self):
        self.sock.close()


class Client(Stream):
    """A client of the gate."""

    def __init__(self, port, receive_buffer=None):
        sock = socket.socket()
        if receive_buffer is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        sock.settimeout(PATIENCE)
        sock.connect(("127.0.0.1", port))
        super().__init__(sock, sock.getpeername())

    def answer(self, method="GET"):
        """The next response to a request with `method`."""
        start, _, _ = self.peek()
        status = int(start.split(b" ")[1])
        return self.message(bodiless=method == "HEAD" or status in {204, 304}, until_close=True)

    def peek(self):
        while b"\r\n\r\n" not in self.buffer:
            self._more()
        return self.buffer.partition(b"\r\n")


class Upstream:
    """CouchDB's place: a listening socket. The test takes each connection and answers on it itself."""

    def __init__(self, backlog=64, port=0):
        self._listener = socket.create_server(("127.0.0.1", port), backlog=backlog)
        self.port = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._peers = []

    def accept(self):
        """The gate's next connection."""
        self._listener.settimeout(PATIENCE)
        peer = Stream(*self._listener.accept())
        self._peers.append(peer)
        return peer

    def exchange(self, answer):
        """On the gate's next connection, answer one request; the connection and the request."""
        peer = self.accept()
        request = peer.message()
        peer.send(answer)
        return peer, request

    @property
    def untouched(self):
        """Whether the gate has asked for no connection that was not taken yet."""
        return not select.select([self._listener], [], [], 0)[0]

    def looked_at(self):
        """The gate's first look at CouchDB: it connects, asks nothing and goes."""
        peer = self.accept()
        assert peer.ending()[1] == b""
        peer.close()

    def settle(self):
        """Close all connections, and wait until the gate has seen it, so that its pool is empty."""
        while not self.untouched:
            self.accept()
        for peer in self._peers:
            if peer.sock.fileno() >= 0:
                try:
                    peer.half_close()
                    peer.ending()
                except OSError:
                    pass  # it was reset
                peer.close()
        self._peers.clear()

    def close(self):
        self._listener.close()
        for peer in self._peers:
            peer.close()
