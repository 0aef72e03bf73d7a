"""A thread's way to CouchDB: names looked up beside it, several addresses, one time limit for all of it."""

import select
import socket
import threading

import pytest

from couchgate.core.errors import Unavailable
from couchgate.upstream import dialling
from couchgate.upstream.dialling import Dialling, Places
from tests.web.sockets import PATIENCE

LONG = 60.0


@pytest.fixture
def clock(monkeypatch):
    """The time that Dialling sees: it goes on by hand."""

    class Clock:
        now = 1000.0

    monkeypatch.setattr(dialling.time, "monotonic", lambda: Clock.now)
    return Clock


class Names:
    """A resolver: `answers` has the addresses, `asked` how often it was asked. It waits for `free`."""

    def __init__(self):
        self.answers = []
        self.asked = 0
        self.free = threading.Event()
        self.free.set()

    def getaddrinfo(self, host, port, type):  # noqa: A002 - as the library's
        self.asked += 1
        assert (host, type) == ("couch.example.com", socket.SOCK_STREAM)
        assert self.free.wait(PATIENCE)
        if not self.answers:
            raise socket.gaierror(socket.EAI_NONAME, "unknown")
        return [(socket.AF_INET, type, 6, "", (address, to)) for address, to in self.answers]


@pytest.fixture
def names(monkeypatch):
    resolver = Names()
    monkeypatch.setattr(dialling.socket, "getaddrinfo", resolver.getaddrinfo)
    yield resolver
    resolver.free.set()


@pytest.fixture
def listener():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening


@pytest.fixture
def nobody():
    """An address that refuses."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock.getsockname()


@pytest.fixture
def silent():
    """An address that does not answer: its queue is full, and the kernel drops who comes then."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listening:
        waiting = [socket.socket() for _ in range(4)]
        for sock in waiting:
            sock.setblocking(False)
            sock.connect_ex(listening.getsockname())
        yield listening.getsockname()
        for sock in waiting:
            sock.close()


def step(dialled):
    """Wait for what it waits for, and let it go on."""
    reading, writing = dialled.awaited()
    ready = select.select(reading, writing, [], PATIENCE)
    assert any(ready)
    return dialled.go_on({*ready[0], *ready[1]})


def connected(dialled):
    """The socket, at the end of as many steps as it takes."""
    while (sock := step(dialled)) is None:
        pass
    return sock


def places(port=5984):
    return Places("couch.example.com", port)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_an_address_is_never_looked_up_and_a_name_once(host, listener, monkeypatch):
    """Five connections: an address costs no look-up, a name one, until what answered is forgotten."""
    real, asked = socket.getaddrinfo, []

    def getaddrinfo(*args, **options):
        asked.append(args)
        return real(*args, **options)

    monkeypatch.setattr(dialling.socket, "getaddrinfo", getaddrinfo)
    there = Places(host, listener.getsockname()[1])
    for _ in range(5):
        with connected(Dialling(there, LONG)) as sock:
            assert sock.getpeername() == listener.getsockname()
    assert len(asked) == (host == "localhost")


def test_the_name_is_looked_up_again_after_a_while(clock, names, listener):
    """What answered is asked first for 30 seconds."""
    there, names.answers = places(), [listener.getsockname()]
    for now, asked in ((1000, 1), (1029, 1), (1031, 2)):
        clock.now = now
        connected(Dialling(there, LONG)).close()
        assert names.asked == asked


def test_one_lookup_serves_all_who_wait(names, listener):
    """Ten threads want the name while it is being looked up: it is asked once, and all of them go on."""
    names.free.clear()
    there, names.answers = places(), [listener.getsockname()]
    dialled = [Dialling(there, LONG) for _ in range(10)]
    assert not any(select.select(each.awaited()[0], [], [], 0)[0] for each in dialled)
    names.free.set()
    for each in dialled:
        connected(each).close()
    assert names.asked == 1


def test_a_lookup_that_hangs_ends_with_the_time_to_connect(clock, names):
    """Who waits hears so in time, and the next one joins the same look-up: hanging ones do not pile up."""
    names.free.clear()
    there = places()
    for _ in range(3):
        dialled = Dialling(there, 5)
        assert dialled.go_on(()) is None
        clock.now += 5.1
        with pytest.raises(Unavailable, match=r"^CouchDB cannot be reached in time\.$"):
            dialled.go_on(())
        dialled.close()
    assert names.asked == 1


def test_a_name_that_means_nothing_is_503(names):
    """At once, and it is asked again for the next request."""
    there = places()
    for _ in range(2):
        with pytest.raises(Unavailable, match=r"^CouchDB cannot be reached\.$"):
            step(Dialling(there, LONG))
    assert names.asked == 2


def test_an_address_that_refuses_is_followed_by_the_next(names, nobody, listener):
    """Nobody listens at the first one: the second is tried at once."""
    names.answers = [nobody, listener.getsockname()]
    with connected(Dialling(places(), LONG)) as sock:
        assert sock.getpeername() == listener.getsockname()


def test_an_address_that_is_silent_is_tried_beside_the_next(clock, names, silent, listener):
    """After a tenth of a second the next is tried, too, and who answers first is taken."""
    names.answers = [silent, listener.getsockname()]
    dialled = Dialling(places(), 5)
    assert step(dialled) is None
    assert len(dialled.awaited()[1]) == 1
    clock.now += 0.11
    assert dialled.go_on(()) is None
    assert len(dialled.awaited()[1]) == 2
    with connected(dialled) as sock:
        assert sock.getpeername() == listener.getsockname()
    assert dialled.awaited() == ([], [])


def test_silence_at_every_address_ends_with_the_time_to_connect(clock, names, silent):
    """Their number does not prolong it."""
    names.answers = [silent] * 5
    dialled = Dialling(places(), 2)
    step(dialled)
    clock.now += 2.1
    with pytest.raises(Unavailable, match="in time"):
        dialled.go_on(())
    dialled.close()


def test_an_address_that_no_longer_answers_is_looked_up_again(names, listener):
    """The name has moved: the same request finds the new place."""
    with socket.create_server(("127.0.0.1", 0)) as old:
        there, names.answers = places(), [old.getsockname()]
        connected(Dialling(there, LONG)).close()
    names.answers = [listener.getsockname()]
    with connected(Dialling(there, LONG)) as sock:
        assert sock.getpeername() == listener.getsockname()
    assert names.asked == 2


@pytest.mark.parametrize("what", ["socket", "socketpair", "thread"])
def test_what_the_system_does_not_give_is_503(what, names, monkeypatch):
    """No descriptor for the connection or for the wait, or no thread for the look-up."""

    def refuse(*_):
        raise RuntimeError if what == "thread" else OSError

    owner, name = (dialling.threading.Thread, "start") if what == "thread" else (dialling.socket, what)
    monkeypatch.setattr(owner, name, refuse)
    there = Places("127.0.0.1", 1) if what == "socket" else places()
    with pytest.raises(Unavailable, match="cannot be reached"):
        Dialling(there, LONG)


def test_giving_up_closes_everything(names, silent):
    """A client that leaves ends the attempts, and what waits for the look-up."""
    names.answers = [silent]
    dialled = Dialling(places(), LONG)
    (bell,) = dialled.awaited()[0]
    dialled.close()
    assert bell.fileno() == -1
    dialled = Dialling(places(), LONG)
    step(dialled)
    (sock,) = dialled.awaited()[1]
    dialled.close()
    assert sock.fileno() == -1
