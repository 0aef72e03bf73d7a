"""What is recorded of connections is in the ring before anybody can have seen it."""

import contextlib
import socket
import time

import pytest

from couchgate.wire.plain import SMALL, SocketWire
from tests.web.sockets import PATIENCE
from tests.wire.conftest import Recorder


class Ledger:
    """Keeps what it is told back as the flight recorder does."""

    def __init__(self):
        self.held, self.written, self.holds = [], [], False

    def tell(self, what):
        (self.held if self.holds else self.written).append(what)

    def hold(self, now):
        assert abs(time.monotonic() - now) < PATIENCE
        self.holds = True

    def flush(self):
        self.written += self.held
        self.held.clear()

    def release(self):
        self.holds = False
        self.flush()


@pytest.mark.parametrize("size", [1, SMALL, SMALL + 1, 3 * SMALL])
@pytest.mark.parametrize("way", [None, "close", "close_write"])
def test_what_is_recorded_is_written_before_what_it_tells_of_leaves(loop, make_socket, size, way):
    """Whoever has received the first byte of something finds it recorded, however large it is and whatever follows."""
    owner, peer = make_socket()
    ledger, early = Ledger(), []

    def received(_data):
        for number in range(3):
            ledger.tell(number)
            owner.wire.write(b"x" * size)
            peer.sock.settimeout(0)
            with contextlib.suppress(BlockingIOError):
                if len(peer.sock.recv(1 << 20, socket.MSG_PEEK)) > number * size and number not in ledger.written:
                    early.append(number)
        if way is not None:
            getattr(owner.wire, way)()

    owner.on_received = received
    loop.lane.ledger = ledger
    try:
        peer.send(b"?")
        loop.until(lambda: owner.data)
    finally:
        loop.lane.ledger = None
    assert not early
    assert ledger.written == [0, 1, 2]
    peer.sock.settimeout(PATIENCE)
    assert peer.take(3 * size) == b"x" * 3 * size


class Watched(socket.socket):
    """A socket that notes what of `ledger` was written whenever the other side is about to see something."""

    ledger = None

    def __init__(self, sock, ledger):
        super().__init__(fileno=sock.detach())
        self.settimeout(0)
        self.ledger, self.left = ledger, []

    def note(self, what):
        self.left.append((what, list(self.ledger.written)))

    def send(self, data):
        size = super().send(data)
        self.note(bytes(data[:size]))
        return size

    def shutdown(self, how):
        self.note("shutdown")
        super().shutdown(how)

    def close(self):
        self.note("close")
        super().close()


@pytest.fixture
def pair(loop):
    """The owner of a wire on a watched socket, and its peer; what is told is kept back while the lane serves."""
    ledger = Ledger()
    ours, peer = socket.socketpair()
    peer.settimeout(0)
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
    owner = Recorder()
    owner.sock = Watched(ours, ledger)
    owner.wire = SocketWire(loop.lane, owner.sock, owner)
    loop.lane.ledger = ledger
    yield owner, peer
    loop.lane.ledger = None
    owner.wire.abort()
    peer.close()


def taken(peer):
    with contextlib.suppress(BlockingIOError):
        while peer.recv(1 << 20):
            pass


def test_what_was_blocked_leaves_behind_its_record(loop, pair, make_socket):
    """A client that has room again in the very batch of events in which its last piece is written."""
    owner, peer = pair
    couch, other = make_socket()
    while not owner.wire.blocked:
        owner.wire.write(b"x" * 3000)

    def received(_data):
        owner.wire.write(b"the last piece")
        owner.sock.ledger.tell("ended")

    couch.on_received = received
    other.send(b"?")
    taken(peer)
    loop.until(lambda: "drained" in owner.events)
    last = [written for what, written in owner.sock.left if what.endswith(b"the last piece")]
    assert last == [["ended"]]


@pytest.mark.parametrize(("way", "seen"), [("close", "close"), ("close_write", "shutdown"), ("abort", "close")])
def test_an_end_is_seen_behind_its_record(loop, pair, way, seen):
    """Also where nothing is left to send, so that it is the end which tells the other side."""
    owner, peer = pair

    def received(_data):
        owner.sock.ledger.tell("ended")
        getattr(owner.wire, way)()

    owner.on_received = received
    peer.send(b"?")
    loop.until(lambda: owner.sock.left)
    assert owner.sock.left[0] == (seen, ["ended"])
