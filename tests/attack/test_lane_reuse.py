"""Events of a descriptor that was closed, and is another connection's by the time they are served."""

import select
import socket

from couchgate.wire.lane import Lane
from couchgate.wire.plain import SocketWire


class Reactor:
    """Only what a lane asks of one."""

    def addReader(self, reader):
        """The test calls doRead."""

    def removeReader(self, reader):
        """Nothing is left."""


class Listening:
    """An owner that notes what it hears; `act` is called with what is received."""

    def __init__(self, act=lambda _: None):
        self.heard = []
        self.received = act

    def drained(self):
        self.heard.append("drained")

    def ended(self):
        self.heard.append("ended")

    def lost(self, *, clean):
        self.heard.append("lost")


def pair():
    here, there = socket.socketpair()
    here.setblocking(False)
    return here, there


def test_a_new_connection_hears_nothing_of_the_one_that_had_its_descriptor():
    """In one batch of events the first handler aborts a blocked wire and connects anew; the kernel gives the new
    socket the old number, and the old one's event "writable" is still in the batch: the new owner hears no `drained`.
    """
    lane = Lane(Reactor())
    (first, first_peer), (second, second_peer) = pair(), pair()
    newcomer, kept = Listening(), []

    def replace(_):
        number = second.fileno()
        blocked.abort()
        while not kept or kept[-1].fileno() != number:
            kept.append(socket.socket())
        kept[-1].setblocking(False)
        kept.append(SocketWire(lane, kept[-1], newcomer))

    SocketWire(lane, first, Listening(replace))
    blocked = SocketWire(lane, second, Listening())
    while blocked.write(bytes(500_000)):
        pass
    first_peer.send(b"go")
    second_peer.setblocking(False)
    try:
        while second_peer.recv(1 << 20):
            pass
    except BlockingIOError:
        pass
    assert select.select([], [second], [], 2)[1]
    lane.doRead()
    assert "drained" not in newcomer.heard
