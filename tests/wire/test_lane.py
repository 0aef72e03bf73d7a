"""The lane: fair to the reactor that it runs on, and no connection's fault is another's."""

import errno
import os
import select
import socket
import sys
import threading
import time

import pytest

from couchgate.wire.acceptor import Acceptor
from couchgate.wire.lane import TOGETHER, lane_of
from couchgate.wire.plain import SMALL, SocketWire
from tests.web.sockets import PATIENCE, SOON
from tests.wire.conftest import Recorder


def echo(owner):
    owner.on_received = owner.wire.write


def test_timers_run_while_traffic_never_ends(loop, make_socket):
    """With several connections that are always ready, a timer is late by a few hundredths of a second at most."""
    pairs = [make_socket() for _ in range(8)]
    done = threading.Event()

    def chatter(peer):
        while not done.is_set():
            peer.send(b"x" * 512)
            peer.take(512)

    for owner, _ in pairs:
        echo(owner)
    threads = [threading.Thread(target=chatter, args=(peer,), daemon=True) for _, peer in pairs]
    for thread in threads:
        thread.start()
    lateness = []

    def tick(due):
        lateness.append(time.monotonic() - due)
        if len(lateness) < 30:
            loop.reactor.callLater(0.01, tick, time.monotonic() + 0.01)

    try:
        tick(time.monotonic())
        loop.until(lambda: len(lateness) == 30)
    finally:
        done.set()
        loop.until(lambda: not any(thread.is_alive() for thread in threads))
    assert min(len(owner.data) for owner, _ in pairs) > 512 * 10  # there was traffic, for each of them
    lateness.sort()
    assert lateness[len(lateness) // 2] < 0.05
    assert lateness[-1] < 0.25


def test_the_reactors_own_sockets_are_served_beside_a_busy_lane(loop, make_socket):
    """A connection that ping-pongs on the lane for ever does not keep a Twisted port from accepting."""
    from twisted.internet.protocol import Factory, Protocol

    owner, peer = make_socket()
    echo(owner)
    done = threading.Event()

    def chatter():
        while not done.is_set():
            peer.send(b"x")
            peer.take(1)

    thread = threading.Thread(target=chatter, daemon=True)
    thread.start()
    made = []

    class Greeter(Protocol):
        def connectionMade(self):
            made.append(self)
            self.transport.loseConnection()

    port = loop.reactor.listenTCP(0, Factory.forProtocol(Greeter), interface="127.0.0.1")
    try:
        with socket.create_connection(("127.0.0.1", port.getHost().port)):
            loop.until(lambda: made, 1)
    finally:
        done.set()
        loop.until(lambda: not thread.is_alive())
        port.stopListening()
        loop.turns(3)


def forget_failures(log_events, text):
    """Take the failures that a test provoked out of what the guard looks at."""
    failures = [event for event in log_events if event.get("log_failure") is not None]
    assert failures
    assert all(text in str(event["log_failure"].value) for event in failures)
    for event in failures:
        log_events.remove(event)


@pytest.mark.parametrize("hard", [False, True])
def test_a_fault_ends_its_own_connection_only(loop, make_socket, log_events, hard):
    """A handler that raises, even one that raises again as it hears of the end, loses its connection and is logged."""
    (bad, bad_peer), (good, good_peer) = make_socket(), make_socket()
    echo(good)

    def fail(_):
        raise RuntimeError("provoked")

    bad.on_received = fail
    if hard:
        bad.lost = lambda *, clean: fail(clean)
    bad_peer.send(b"x")
    loop.turns(5)
    assert bad_peer.ending(SOON)[0] == "reset"
    good_peer.send(b"still here")
    loop.until(lambda: good.data == b"still here")
    assert good_peer.take(10) == b"still here"
    forget_failures(log_events, "provoked")


def test_a_fault_in_drained_ends_its_own_connection_only(loop, make_socket, log_events):
    """The same for an owner that fails when it is told that it may write."""
    (bad, bad_peer), (good, good_peer) = make_socket(), make_socket()
    echo(good)

    def fail():
        raise RuntimeError("provoked")

    bad.drained = fail
    while bad.wire.write(bytes(1 << 20)):
        pass
    bad_peer.sock.settimeout(0)

    def reset():
        try:
            bad_peer.sock.recv(1 << 20)
        except BlockingIOError:
            return False
        except ConnectionResetError:
            return True

    loop.until(reset)
    good_peer.send(b"still here")
    loop.until(lambda: good.data == b"still here")
    forget_failures(log_events, "provoked")


def test_a_connection_may_end_another_one_that_is_ready_too(loop, make_socket):
    """Two connections are ready in one turn and the first aborts the second: that one hears `lost` and no more."""
    (first, first_peer), (second, second_peer) = make_socket(), make_socket()
    first.on_received = lambda _: second.wire.abort()
    first_peer.send(b"x")
    second_peer.send(b"y")
    loop.until(lambda: second.over)
    loop.turns(5)
    assert second.data == b""
    assert second.events == ["lost"]


def test_a_paused_socket_hears_a_reset_at_once(loop, make_socket):
    """A client that resets while its upload is held back is noticed without resuming."""
    owner, peer = make_socket()
    owner.wire.pause()
    peer.reset()
    loop.until(lambda: owner.events == ["lost"], 1)


def test_a_connection_that_cannot_be_made_is_lost(loop):
    """Connecting to a port where nobody listens ends in `lost`, not clean, and what was written is forgotten."""
    with socket.create_server(("127.0.0.1", 0)) as gone:
        address = gone.getsockname()
    sock = socket.socket()
    sock.settimeout(0)
    owner = Recorder()
    sock.connect_ex(address)
    owner.wire = SocketWire(loop.lane, sock, owner)
    owner.wire.write(b"GET / HTTP/1.1\r\n")
    loop.until(lambda: owner.over)
    assert owner.events[-1] == "lost"


class Listener:
    """A real listening socket that at first has no descriptor to give, as when the process has none left."""

    def __init__(self, errors):
        self._sock = socket.create_server(("127.0.0.1", 0))
        self.address = self._sock.getsockname()
        self._errors = errors

    def accept(self):
        if self._errors:
            raise OSError(self._errors.pop(), "provoked")
        return self._sock.accept()

    def __getattr__(self, name):
        return getattr(self._sock, name)


@pytest.mark.parametrize(
    ("errors", "rests"), [([errno.EMFILE], True), ([errno.ENFILE], True), ([errno.ECONNABORTED], False)]
)
def test_accepting_goes_on_after_an_error(loop, errors, rests):
    """Without descriptors the acceptor rests for a second instead of spinning; an aborted connection it passes over."""
    taken = []
    listener = Listener(errors)
    acceptor = Acceptor(loop.lane, listener, lambda sock, address: taken.append((sock, address)))
    began = time.monotonic()
    with socket.create_connection(listener.address) as client:
        loop.until(lambda: taken, 3)
        assert (time.monotonic() - began > 0.9) is rests
        assert taken[0][1] == client.getsockname()
        taken[0][0].close()
    acceptor.stop()
    loop.turns(3)


def test_an_acceptor_that_stopped_accepts_nobody(loop):
    """After `stop`, during a rest too, connections are refused and no timer is left."""
    listener = Listener([errno.EMFILE])
    taken = []
    acceptor = Acceptor(loop.lane, listener, lambda sock, address: taken.append(sock))
    with socket.create_connection(listener.address):
        loop.turns(5)
        acceptor.stop()
        assert loop.reactor.getDelayedCalls() == []
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(listener.address)
    loop.turns(3)
    assert taken == []


def test_a_port_that_was_closed_before_is_no_trouble(loop, log_events):
    """Twisted shuts a listening socket down when its port closes: the acceptor stops without a word."""
    listener = Listener([])
    acceptor = Acceptor(loop.lane, listener, lambda sock, address: sock.close())
    listener.shutdown(socket.SHUT_RDWR)
    acceptor.stop()
    loop.turns(3)
    assert [event for event in log_events if "accepted" in event.get("log_format", "")] == []


def test_a_fault_in_taking_a_connection_on_does_not_stop_the_next(loop, log_events):
    """If a new connection cannot be served, the next one is."""
    taken = []
    listener = Listener([])

    def accepted(sock, address):
        taken.append(sock)
        if len(taken) == 1:
            raise RuntimeError("provoked")

    acceptor = Acceptor(loop.lane, listener, accepted)
    with socket.create_connection(listener.address), socket.create_connection(listener.address):
        loop.until(lambda: len(taken) == 2)
    acceptor.stop()
    for sock in taken:
        sock.close()
    forget_failures(log_events, "provoked")


def test_a_lane_needs_epoll_and_a_reactor_with_descriptors(loop, monkeypatch):
    """Where either is missing there is no lane, and Twisted's transports do the work."""
    from twisted.internet.task import Clock

    assert lane_of(loop.reactor) is not None
    assert lane_of(Clock()) is None
    monkeypatch.delattr(select, "epoll")
    assert lane_of(loop.reactor) is None


def test_a_descriptor_that_comes_back_belongs_to_its_new_owner(loop, make_socket):
    """A connection ends and another takes its number in the same turn: events of the old one reach nobody."""
    (first, first_peer), (second, second_peer) = make_socket(), make_socket()
    born = []
    number = second.number

    def replace(_):
        left, right = socket.socketpair()
        right.settimeout(PATIENCE)
        second.wire.abort()
        os.dup2(left.fileno(), number)
        left.close()
        left = socket.socket(fileno=number)
        left.settimeout(0)
        owner = Recorder()
        owner.wire = SocketWire(loop.lane, left, owner)
        born.append((owner, right))

    first.on_received = replace
    first_peer.send(b"x")
    second_peer.send(b"y")
    loop.until(lambda: born)
    loop.turns(5)
    owner, right = born[0]
    assert owner.data == b""
    assert "lost" not in owner.events
    right.send(b"mine")
    loop.until(lambda: owner.data == b"mine")
    owner.wire.abort()
    right.close()


def in_one_go(loop, make_socket, count):
    """Connections with something to receive, all of them before the lane looks."""
    pairs = [make_socket() for _ in range(count)]
    for _, peer in pairs:
        peer.send(b"?")
    return pairs


def test_what_is_written_while_events_are_served_is_sent_together(loop, make_socket):
    """Small writes of one connection leave as one, in order, once the others were served; nothing stays behind."""
    pairs = in_one_go(loop, make_socket, 3)
    pieces, early = (b"a", b"b" * 100, b"c"), []

    def arrived(peer):
        peer.sock.settimeout(0)
        try:
            return peer.sock.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return b""

    for owner, _ in pairs:
        owner.on_received = lambda _data, owner=owner: (
            early.extend(arrived(peer) for _, peer in pairs),
            [owner.wire.write(piece) for piece in pieces],
        )
    loop.until(lambda: all(owner.data for owner, _ in pairs))
    assert not any(early)
    for _, peer in pairs:
        peer.sock.settimeout(PATIENCE)
        assert peer.sock.recv(4096) == b"".join(pieces)
    assert loop.lane.gathered == []


def test_more_than_a_few_connections_do_not_wait_for_all_others(loop, make_socket):
    """Once `TOGETHER` connections have something to send it goes out, before the rest is served."""
    pairs = in_one_go(loop, make_socket, TOGETHER + 1)
    most = []
    for owner, _ in pairs:
        owner.on_received = lambda data, owner=owner: (owner.wire.write(data), most.append(len(loop.lane.gathered)))
    loop.until(lambda: all(owner.data for owner, _ in pairs))
    assert max(most) == TOGETHER
    assert [peer.take(1) for _, peer in pairs] == [b"?"] * len(pairs)


def test_much_is_sent_at_once_behind_what_was_gathered(loop, make_socket):
    """A large write takes the small ones before it along."""
    owner, peer = make_socket()
    seen = []

    def received(_data):
        owner.wire.write(b"head")
        owner.wire.write(b"x" * SMALL)
        peer.sock.settimeout(PATIENCE)
        seen.append(peer.take(4 + SMALL))

    owner.on_received = received
    peer.send(b"?")
    loop.until(lambda: seen)
    assert seen == [b"head" + b"x" * SMALL]


def test_gathered_bytes_go_before_a_close_and_not_before_a_reset(loop, make_socket):
    """Closing, or closing one direction, lets them out; a reset drops them."""
    ways = ("close", "close_write", "abort")
    pairs = in_one_go(loop, make_socket, len(ways))
    for (owner, _), way in zip(pairs, ways, strict=True):
        owner.on_received = lambda _data, owner=owner, way=way: (owner.wire.write(b"bye"), getattr(owner.wire, way)())
    loop.until(lambda: all(owner.data for owner, _ in pairs))
    for _, peer in pairs[:2]:
        assert (peer.take(3), peer.sock.recv(1)) == (b"bye", b"")
    with pytest.raises(ConnectionResetError):
        pairs[2][1].sock.recv(100)
    assert [owner.events for owner, _ in pairs] == [["lost cleanly"], [], ["lost"]]


def test_who_fails_as_gathered_bytes_go_out_fails_alone(loop, make_socket, log_events):
    """An owner that breaks when it hears of the end does not keep the others' bytes from going out."""
    pairs = in_one_go(loop, make_socket, 3)
    for owner, _ in pairs:
        owner.on_received = lambda _data, owner=owner: (owner.wire.write(b"bye"), owner.wire.close())

    def fail(*, clean):
        raise RuntimeError("provoked")

    pairs[0][0].lost = fail
    loop.until(lambda: all(owner.data for owner, _ in pairs))
    assert [(peer.take(3), peer.sock.recv(1)) for _, peer in pairs] == [(b"bye", b"")] * 3
    forget_failures(log_events, "provoked")


def test_outside_of_events_a_write_goes_at_once(loop, make_socket):
    """A timer's or a Deferred's write waits for no turn of the loop."""
    owner, peer = make_socket()
    owner.wire.write(b"now")
    assert peer.take(3) == b"now"


class Step:
    """Something postponed, which tells what is done with it: `bad` is the step that fails, `more` it postpones."""

    def __init__(self, lane, told, name, bad="", more=()):
        self.lane, self.told, self.name, self.bad, self.more = lane, told, name, bad, more

    def prepare(self):
        self._do("prepare")

    def act(self):
        self.lane.postponed += self.more
        self._do("act")

    def _do(self, step):
        self.told.append(f"{step} {self.name}")
        if step == self.bad:
            raise RuntimeError("provoked")

    def abort(self):
        self.told.append(f"{self.name} gives up: {sys.exc_info()[1]}")
        if self.bad == "prepare":
            raise RuntimeError("provoked again")


def postponed(loop, make_socket, steps):
    """Let a handler postpone `steps`, and wait until all are done; its peer."""
    owner, peer = make_socket()

    def received(_data):
        loop.lane.postponed += steps
        owner.wire.write(b"read first")

    owner.on_received = received
    peer.send(b"?")
    loop.until(lambda: owner.data and not loop.lane.postponed)
    return peer


def test_what_is_postponed_is_prepared_for_all_before_any_is_done(loop, make_socket):
    """After the events that postponed it; in turns of a few, and what is postponed meanwhile afterwards."""
    told = []
    names = [str(number) for number in range(TOGETHER + 2)]
    more = [Step(loop.lane, told, "more")]
    steps = [Step(loop.lane, told, name, more=more if name == "3" else ()) for name in names]
    assert postponed(loop, make_socket, steps).take(10) == b"read first"
    turns = [names[:TOGETHER], [*names[TOGETHER:], "more"]]
    assert told == [f"{step} {name}" for turn in turns for step in ("prepare", "act") for name in turn]


def test_what_fails_in_either_step_fails_alone(loop, make_socket, log_events):
    """It hears of its own exception and goes no further; the others do. Failing to give up is logged."""
    told = []
    bad = {"a": "prepare", "b": "act", "c": ""}
    postponed(loop, make_socket, [Step(loop.lane, told, name, step) for name, step in bad.items()])
    assert told == [
        *("prepare a", "a gives up: provoked", "prepare b", "prepare c"),
        *("act b", "b gives up: provoked", "act c"),
    ]
    forget_failures(log_events, "provoked again")
