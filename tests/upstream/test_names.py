"""CouchDB by name: the address that answered is asked first, for a while, and only as long as it answers."""

import pytest
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.error import ConnectingCancelledError
from twisted.internet.error import ConnectionRefusedError as Refused
from twisted.internet.interfaces import IHostnameResolver, IReactorPluggableNameResolver
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure
from zope.interface import implementer

from couchgate.upstream.names import NEXT_ADDRESS, REMEMBERED, NameEndpoint

BOTH = [IPv6Address("TCP", "::1", 5984), IPv4Address("TCP", "127.0.0.1", 5984)]


@implementer(IHostnameResolver, IReactorPluggableNameResolver)
class Reactor(MemoryReactorClock):
    """A reactor without a network; `addresses` are what every name means, `asked` how often one was looked up."""

    def __init__(self, addresses):
        super().__init__()
        self.nameResolver = self
        self.addresses = addresses
        self.asked = 0

    def resolveHostName(self, receiver, hostName, portNumber=0, *args, **named):
        self.asked += 1
        receiver.resolutionBegan(self)
        for address in self.addresses:
            receiver.addressResolved(address)
        receiver.resolutionComplete()

    def cancel(self):
        pass

    def tried(self):
        """The hosts that were connected to since the last look."""
        hosts = [client[0] for client in self.tcpClients]
        self.seen, self.tcpClients = list(self.tcpClients), []
        self.connections, self.connectors = self.connectors, []
        return hosts

    def answers(self, index=-1):
        """The connection stands."""
        host, port, factory, *_ = self.seen[index]
        kind = IPv6Address if ":" in host else IPv4Address
        protocol = factory.buildProtocol(None)
        protocol.makeConnection(Carrier(kind("TCP", host, port)))

    def refuses(self, index=-1):
        """Nobody listens there."""
        self.seen[index][2].clientConnectionFailed(self.connections[index], Failure(Refused()))


class Carrier:
    """A transport that knows its peer."""

    def __init__(self, peer):
        self._peer = peer

    def getPeer(self):
        return self._peer


@pytest.fixture
def made():
    """A reactor, an endpoint on it, and a way to connect that gives what it has come to."""
    reactor = Reactor(BOTH)
    endpoint = NameEndpoint(reactor, "localhost", 5984)

    def connect():
        outcome = []
        waiting = endpoint.connect(Factory.forProtocol(Protocol))
        waiting.addBoth(outcome.append)
        return waiting, outcome

    return reactor, connect


def learn(reactor, connect):
    """Find by name that the second address answers."""
    _, outcome = connect()
    assert reactor.tried() == ["::1"]
    reactor.refuses()
    reactor.advance(NEXT_ADDRESS)
    assert reactor.tried() == ["127.0.0.1"]
    reactor.answers()
    assert isinstance(outcome[0], Protocol)


def test_who_answered_is_asked_first(made):
    """After the first connection no other address is tried, and no name looked up."""
    reactor, connect = made
    learn(reactor, connect)
    for _ in range(3):
        _, outcome = connect()
        assert reactor.tried() == ["127.0.0.1"]
        reactor.answers()
        assert isinstance(outcome[0], Protocol)
    assert reactor.asked == 1


def test_the_name_is_looked_up_again_after_a_while(made):
    """An address that has moved is found."""
    reactor, connect = made
    learn(reactor, connect)
    reactor.advance(REMEMBERED)
    reactor.addresses = [IPv4Address("TCP", "10.0.0.7", 5984)]
    _, outcome = connect()
    assert reactor.tried() == ["10.0.0.7"]
    reactor.answers()
    assert isinstance(outcome[0], Protocol)


def test_an_address_that_fails_is_forgotten_at_once(made):
    """The same connection then goes by the name, and the next one too."""
    reactor, connect = made
    learn(reactor, connect)
    _, outcome = connect()
    assert reactor.tried() == ["127.0.0.1"]
    reactor.refuses()
    assert reactor.tried() == ["::1"]
    reactor.answers()
    assert isinstance(outcome[0], Protocol)
    connect()
    assert reactor.tried() == ["::1"]
    reactor.answers()


def test_an_address_that_hangs_is_forgotten_when_its_time_is_up(made):
    """Who gives up waiting cancels: the next connection goes by the name."""
    reactor, connect = made
    learn(reactor, connect)
    waiting, outcome = connect()
    reactor.tried()
    waiting.cancel()
    assert outcome[0].check(ConnectingCancelledError)
    connect()
    assert reactor.tried() == ["::1"]
    assert reactor.asked == 2
