"""What CouchDB says before a request has left the gate is no answer to it."""

from types import SimpleNamespace

import pytest

from couchgate.upstream.connection import UpstreamConnection

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
REQUEST = b"GET /db/a HTTP/1.1\r\n\r\n"


class Asker:
    """An exchange that writes down what it hears."""

    def __init__(self):
        self.heard = []

    def response_begun(self, head, data, *, done):
        self.heard.append((head.status, data, done))

    def upstream_failed(self, error, *, stale):
        self.heard.append((error.code, stale))


@pytest.fixture
def kept(loop, make_socket):
    """A connection to CouchDB that has served one request, CouchDB's end, and what the pool was told."""
    owner, peer = make_socket()
    told = []
    pool = SimpleNamespace(
        release=lambda _: told.append("released"), discard=lambda _: told.append("discarded"), lost=lambda _: None
    )
    connection = UpstreamConnection(pool)
    connection.wire = owner.wire
    owner.wire._owner = connection
    first = Asker()
    connection.begin(first, b"GET", REQUEST, complete=True, keep=True)
    assert peer.take(len(REQUEST)) == REQUEST
    peer.send(ANSWER)
    loop.until(lambda: first.heard)
    assert told.pop() == "released"
    return connection, peer, told


@pytest.mark.parametrize("unasked", [ANSWER, b"surplus", b""])
def test_it_is_not_taken_for_the_answer_and_the_request_does_not_leave(kept, loop, make_socket, unasked):
    """Bytes, or the end, that come in the batch of events that brings a request: it fails as on a stale connection."""
    connection, peer, told = kept
    client, browser = make_socket()
    asker = Asker()

    def received(_data):
        connection.begin(asker, b"GET", REQUEST, complete=True, keep=True)
        if unasked:
            connection.received(unasked)
        else:
            connection.ended()

    client.on_received = received
    browser.send(b"?")
    loop.until(lambda: asker.heard)
    loop.turns(5)
    assert asker.heard == [("upstream_closed", True)]
    assert "released" not in told
    assert peer.ending()[1] == b""


def test_an_early_answer_to_a_request_that_has_left_is_one(kept, loop):
    """What comes after the first byte of the request has gone is its answer, however little of it has."""
    connection, peer, told = kept
    asker = Asker()
    connection.begin(asker, b"GET", REQUEST, complete=True, keep=True)
    peer.send(ANSWER)
    loop.until(lambda: asker.heard)
    assert asker.heard == [(200, b"hi", True)]
    assert told == ["released"]
