"""Connections to CouchDB are kept but not trusted: a stale one costs nobody a request that can be repeated."""

import pytest

from tests.web.live import HELLO, OK, running_gate
from tests.web.sockets import eventually, meanwhile


def test_a_connection_serves_one_exchange_after_another(gate, upstream):
    """Requests of two clients, one after the other, travel on one connection to CouchDB."""
    first, second = gate.client(), gate.client()
    first.send(gate.head("GET", "/db/1"))
    peer, _ = upstream.exchange(HELLO)
    assert first.answer().status == 200
    second.send(gate.head("GET", "/db/2"))
    assert peer.message().start == b"GET /db/2 HTTP/1.1"
    peer.send(HELLO)
    assert second.answer().status == 200
    assert upstream.untouched


@pytest.mark.parametrize("line", [b"HTTP/1.1 200 OK\r\nConnection: close\r\n", b"HTTP/1.0 200 OK\r\n"])
def test_a_connection_that_couchdb_will_close_is_not_kept(gate, upstream, line):
    """After `Connection: close`, or HTTP/1.0, the next request has a fresh connection."""
    client = gate.client("GET", "/db/1")
    upstream.exchange(line + b"Content-Length: 0\r\n\r\n")
    assert client.answer().status == 200
    client.send(gate.head("GET", "/db/2"))
    _, request = upstream.exchange(HELLO)
    assert request.start == b"GET /db/2 HTTP/1.1"
    assert client.answer().status == 200


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT"])
def test_a_close_that_was_seen_costs_nothing(gate, upstream, method):
    """CouchDB closes an idle connection and the gate sees it: the next request, of any method, has a fresh one."""
    client = gate.client("GET", "/db/1")
    peer, _ = upstream.exchange(HELLO)
    client.answer()
    peer.half_close()
    assert peer.ending() == ("fin", b"")
    client.send(gate.head(method, "/db/2", "Content-Length: 0"))
    upstream.exchange(OK if method == "HEAD" else HELLO)
    assert client.answer(method).status == 200


@pytest.mark.parametrize("end", ["half_close", "reset"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_stale_connection_is_retried_once(gate, upstream, method, end):
    """CouchDB closes a kept connection as the request reaches it: it is repeated on a fresh one, which may answer."""
    client = gate.client("GET", "/db/1")
    peer, _ = upstream.exchange(HELLO)
    client.answer()
    client.send(gate.head(method, "/db/2"))
    peer.message()
    getattr(peer, end)()
    _, request = upstream.exchange(OK if method == "HEAD" else HELLO)
    assert request.start == f"{method} /db/2 HTTP/1.1".encode()
    assert client.answer(method).status == 200


def test_a_request_is_retried_only_once(gate, upstream):
    """If the fresh connection ends without an answer, too, the client has a 503 and CouchDB is left alone."""
    client = gate.client("GET", "/db/1")
    peer, _ = upstream.exchange(HELLO)
    client.answer()
    client.send(gate.head())
    peer.message()
    peer.half_close()
    second = upstream.accept()
    second.message()
    second.half_close()
    answer = client.answer()
    assert answer.status == 503
    assert answer.first(b"retry-after")
    assert upstream.untouched


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "COPY"])
def test_what_may_not_be_repeated_is_not(gate, upstream, method):
    """A write on a stale connection is never sent twice: CouchDB may have done it."""
    more = ("Destination: other",) if method == "COPY" else ()
    client = gate.client("GET", "/db/1")
    peer, _ = upstream.exchange(HELLO)
    client.answer()
    client.send(gate.head(method, "/db/doc", *more))
    peer.message()
    peer.half_close()
    assert client.answer().status == 503
    assert upstream.untouched


def test_an_answer_that_was_begun_is_not_retried(gate, upstream):
    """Once a byte of an answer came on a kept connection, its end is a 502."""
    client = gate.client("GET", "/db/1")
    peer, _ = upstream.exchange(HELLO)
    client.answer()
    client.send(gate.head())
    peer.message()
    peer.send(b"HTTP/1.1 2")
    peer.half_close()
    assert client.answer().status == 502
    assert upstream.untouched


def test_a_connection_left_paused_serves_the_next_request(gate, upstream):
    """A large answer to a slow reader pauses CouchDB's connection; after it, another client is served on it."""
    size = 30_000_000
    slow = gate.client("GET", "/db/doc/a")
    peer = upstream.accept()
    peer.message()
    peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
    sent = peer.send_until_stuck(bytes(1 << 20), size, 0.3)
    assert sent < size
    slow.head()
    with meanwhile(lambda: peer.send(bytes(size - sent))):
        assert slow.take(size) == bytes(size)
    other = gate.client("GET", "/db/2")
    assert peer.message().start == b"GET /db/2 HTTP/1.1"
    peer.send(HELLO)
    assert other.answer().status == 200


def test_an_upload_that_waits_for_a_slow_connection_arrives(own_upstream):
    """By name the connection is made in its own time: a body that comes meanwhile is not left behind."""
    own_upstream.url = f"http://localhost:{own_upstream.port}"
    body = bytes(range(256)) * 8000
    with running_gate(own_upstream) as gate:
        client = gate.client()
        client.send(gate.head("PUT", "/db/doc/a", f"Content-Length: {len(body)}"), body[:20000])
        eventually(client.taken)
        client.send(body[20000:40000])
        eventually(client.taken)
        peer = own_upstream.accept()
        peer.head()
        assert peer.take(40000) == body[:40000]
        client.send(body[40000:])
        assert peer.take(len(body) - 40000) == body[40000:]
        peer.send(HELLO)
        assert client.answer().status == 200


def test_idle_connections_are_given_up_before_couchdb_does(own_upstream):
    """A connection that waited for five seconds is closed by the gate."""
    with running_gate(own_upstream) as gate:
        client = gate.client("GET", "/db/1")
        peer, _ = own_upstream.exchange(HELLO)
        assert client.answer().status == 200
        assert peer.ending() == ("fin", b"")


def test_no_more_idle_connections_are_kept_than_the_settings_say(own_upstream):
    """With `connections = 1` the second of two connections is closed after its exchange."""
    with running_gate(own_upstream, more_upstream="connections = 1") as gate:
        clients = [gate.client("GET", "/db/1"), gate.client("GET", "/db/2")]
        peers = [own_upstream.accept(), own_upstream.accept()]
        for peer in peers:
            peer.message()
            peer.send(HELLO)
        for client in clients:
            assert client.answer().status == 200
        assert peers[1].ending() == ("fin", b"")
        clients[0].send(gate.head())
        peers[0].message()
        peers[0].send(HELLO)
        assert clients[0].answer().status == 200
