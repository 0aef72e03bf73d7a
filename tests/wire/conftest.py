"""A reactor that a test turns by hand, and wires on it whose other end is a plain socket."""

import socket
import time
from functools import partial

import pytest
from twisted.internet.epollreactor import EPollReactor
from twisted.internet.protocol import Factory

from couchgate.wire.lane import lane_of
from couchgate.wire.plain import SocketWire
from couchgate.wire.transport import TransportWire
from tests.web.sockets import PATIENCE, Stream


class Loop:
    """A private reactor; `lane` is a Lane on it."""

    def __init__(self):
        self.reactor = EPollReactor()
        self.lane = lane_of(self.reactor)

    def turn(self):
        self.reactor.iterate(0.005)

    def until(self, condition, seconds=PATIENCE):
        """Turn until `condition()` is true, and give what it gave."""
        deadline = time.monotonic() + seconds
        while not (value := condition()):
            assert time.monotonic() < deadline, f"not true within {seconds} s"
            self.turn()
        return value

    def turns(self, count=20):
        """So many turns, for what must not happen."""
        for _ in range(count):
            self.turn()


class Recorder:
    """An owner that writes down what it hears."""

    def __init__(self):
        self.data = b""
        self.events = []
        self.wire = None
        self.on_received = None

    def received(self, data):
        assert data
        assert "lost" not in self.events
        self.data += data
        if self.on_received is not None:
            self.on_received(data)

    def drained(self):
        assert not self.wire.blocked
        self.events.append("drained")

    def ended(self):
        self.events.append("ended")

    def lost(self, *, clean):
        self.events.append("lost cleanly" if clean else "lost")

    @property
    def over(self):
        return "lost" in self.events or "lost cleanly" in self.events


@pytest.fixture(scope="module")
def loop():
    return Loop()


def bounded(client, sock):
    """Fix the room between the two, which the system would widen: a connection that is full stays so."""
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 16)


def accepted_socket(loop):
    """A SocketWire on a connection that a client has made."""
    owner = Recorder()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        sock, _ = listener.accept()
    sock.settimeout(0)
    bounded(client, sock)
    owner.number = sock.fileno()
    owner.wire = SocketWire(loop.lane, sock, owner)
    return owner, Stream(client, client.getpeername())


def connecting_socket(loop):
    """A SocketWire on a connection that the wire's side makes, while it is used already."""
    owner = Recorder()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        sock = socket.socket()
        sock.settimeout(0)
        sock.connect_ex(listener.getsockname())
        owner.wire = SocketWire(loop.lane, sock, owner)
        client, address = listener.accept()
        bounded(client, sock)
        return owner, Stream(client, address)


def transport(loop):
    """A TransportWire on a connection that Twisted has accepted."""
    owner = Recorder()

    def owner_of(wire):
        owner.wire = wire
        return owner

    port = loop.reactor.listenTCP(0, Factory.forProtocol(lambda: TransportWire(owner_of)), interface="127.0.0.1")
    client = socket.create_connection(("127.0.0.1", port.getHost().port))
    loop.until(lambda: owner.wire)
    port.stopListening()
    bounded(client, owner.wire.transport.getHandle())
    return owner, Stream(client, client.getpeername())


class Served:
    """A wire that is told everything while its lane serves an event, so that what is small is gathered."""

    def __init__(self, loop, wire):
        self._lane = loop.lane
        self._wire = wire
        self._call = None
        self._bell, self._rope = socket.socketpair()
        self._lane.add(self._bell.fileno(), self)

    def readable(self):
        self._bell.recv(1)
        self._said = self._call()

    def __getattr__(self, name):
        asked = getattr(self._wire, name)
        return partial(self._during, asked) if callable(asked) else asked

    def _during(self, call, *args):
        if self._lane.serving:  # within `received`
            return call(*args)
        self._call = partial(call, *args)
        self._rope.send(b"!")
        self._lane.doRead()
        return self._said

    def put_away(self):
        self._lane.remove(self._bell.fileno())
        self._bell.close()
        self._rope.close()


def served_socket(loop):
    """A SocketWire that is spoken to while its lane serves."""
    owner, peer = accepted_socket(loop)
    owner.wire = Served(loop, owner.wire)
    return owner, peer


@pytest.fixture(params=[accepted_socket, connecting_socket, served_socket, transport], ids=lambda make: make.__name__)
def ends(request, loop):
    """An owner with its wire, and the other end."""
    owner, peer = request.param(loop)
    yield owner, peer
    if not owner.over:
        owner.wire.abort()
        loop.until(lambda: owner.over)
    if isinstance(owner.wire, Served):
        owner.wire.put_away()
    peer.close()


@pytest.fixture
def make_socket(loop):
    """Makes owners with SocketWires and their other ends."""
    made = []

    def make():
        made.append(accepted_socket(loop))
        return made[-1]

    yield make
    for owner, peer in made:
        owner.wire.abort()
        peer.close()
