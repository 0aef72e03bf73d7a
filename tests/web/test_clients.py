"""Clients that leave, hesitate or never read: what CouchDB is told, and what they can cost."""

import pytest

from tests.web.live import HELLO, OK, running_gate
from tests.web.sockets import SOON, Client, eventually, meanwhile

MODES = pytest.mark.parametrize("mode", ["keepalive", "close", "threaded"])
FEEDS = pytest.mark.parametrize("feed", ["longpoll", "continuous", "eventsource"])


@MODES
@pytest.mark.parametrize("end", ["reset", "half_close"])
@pytest.mark.parametrize("framing", ["Content-Length: 100000", "Transfer-Encoding: chunked"])
def test_a_broken_upload_never_looks_whole_to_couchdb(gate, upstream, mode, end, framing):
    """The client goes in the middle of its body: CouchDB's connection is cut before the body is complete."""
    client = gate.client("PUT", "/db/doc/a", framing, mode=mode)
    client.send(b"400\r\n" if "chunked" in framing else b"", b"x" * 1024)
    peer = upstream.accept()
    peer.head()
    peer.until(b"x" * 1024)
    getattr(client, end)()
    how, rest = peer.ending(SOON)
    assert how == "reset"
    assert rest in {b"", b"\r\n"}


@MODES
@FEEDS
@pytest.mark.parametrize("end", ["reset", "half_close", "close"])
@pytest.mark.parametrize("begun", [True, False])
def test_a_client_that_leaves_a_feed_ends_it_at_couchdb(gate, upstream, mode, feed, end, begun):
    """Whether the feed's answer has begun or not, CouchDB's connection is closed within a second."""
    client = gate.client("GET", f"/db/_changes?feed={feed}", mode=mode)
    peer = upstream.accept()
    peer.message()
    if begun:
        peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n\n\r\n")
        client.head()
        client.until(b"\n")
    getattr(client, end)()
    assert peer.ending(SOON)[1] == b""


@MODES
def test_a_client_that_half_closes_after_its_request_is_answered(gate, upstream, mode):
    """A shell that pipes a request in closes its side at once; the answer still comes, whole, and then the end."""
    client = gate.client("GET", "/db/doc", mode=mode)
    client.half_close()
    upstream.exchange(HELLO)
    assert client.message().body == b'{"ok":true}'
    assert client.ending() == ("fin", b"")


def test_half_closing_after_several_requests_gets_all_answers_and_the_end(gate, upstream):
    """Pipelined requests of which the last is answered by the gate itself, then a half-close: all answers, then FIN."""
    client = gate.client()
    client.send(gate.head("GET", "/db/1"), gate.head("GET", "/_gate/health"))
    peer = upstream.accept()
    peer.message()
    client.half_close()
    eventually(client.taken)
    peer.send(HELLO)
    assert client.message().body == b'{"ok":true}'
    assert client.message().body == b'{"status": "ok"}\n'
    assert client.ending(SOON) == ("fin", b"")


def test_pipelined_requests_are_answered_in_order(gate, upstream):
    """Requests sent in one piece reach CouchDB one after the other, and their answers come in that order."""
    client = gate.client()
    bodies = [b"%d" % number * 2 for number in range(9)]
    client.send(
        *[gate.head("PUT", f"/db/{n}", "Content-Length: 2") + body for n, body in enumerate(bodies)],
        gate.head("GET", "/_gate/health"),
        gate.head("GET", "/db/last", token=None),
    )
    peer = upstream.accept()
    for number, body in enumerate(bodies):
        request = peer.message()
        assert request.start == b"PUT /db/%d HTTP/1.1" % number
        assert request.body == body
        assert peer.quiet()
        peer.send(OK + b"%011d" % number)
    assert [client.message().body for _ in bodies] == [b"%011d" % number for number in range(9)]
    assert client.message().body == b'{"status": "ok"}\n'
    assert client.message().status == 401
    assert upstream.untouched


def test_a_client_that_pipelines_and_never_reads_is_not_served_on(own_upstream):
    """Once its answers pile up, its requests are neither served nor read: the gate's memory stays as it was."""
    with running_gate(own_upstream) as gate:
        request = gate.head("GET", "/_gate/nonsense", "X-Long: " + "x" * 2000, token=None)
        warm = gate.client()
        warm.send(request * 100)
        for _ in range(100):
            warm.message()
        before = gate.memory()
        client = Client(gate.port, receive_buffer=4096)
        sent = client.send_until_stuck(request * 20, 200_000_000)
        assert sent < 200_000_000
        assert gate.memory() - before < 4_000_000
        complete = sent // len(request)
        for _ in range(complete):
            assert client.message().status == 404


def test_a_slow_reader_pauses_couchdb(own_upstream):
    """Eight clients that do not read 100 MB each: the gate takes no more than fits into sockets, then all arrive."""
    size = 100_000_000
    with running_gate(own_upstream) as gate:
        block = bytes(range(256)) * 256
        warm = gate.client("GET", "/db/doc/a")
        peer, _ = own_upstream.exchange(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(block) + block)
        warm.answer()
        before = gate.memory()
        clients, peers = [], [peer]
        for number in range(8):
            clients.append(gate.client("GET", "/db/doc/a"))
            if number:
                peers.append(own_upstream.accept())
            peers[number].message()
            peers[number].send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        counts = [peer.send_until_stuck(block, size, 0.2) for peer in peers]
        assert max(counts) < size // 2
        assert gate.memory() - before < 4_000_000
        whole = block * (size // len(block) + 1)
        with meanwhile(lambda: peers[0].send(memoryview(whole)[counts[0] : size])):
            assert clients[0].answer().body == whole[:size]
        assert gate.memory() - before < 4_000_000


def test_a_slow_couchdb_pauses_the_uploading_client(own_upstream):
    """CouchDB does not read: the client can send no more than fits into sockets; then its 100 MB arrive whole."""
    size = 100_000_000
    block = bytes(range(256)) * 256
    whole = block * (size // len(block) + 1)
    with running_gate(own_upstream) as gate:
        warm = gate.client("PUT", "/db/doc/a", f"Content-Length: {len(block)}")
        warm.send(block)
        peer, _ = own_upstream.exchange(HELLO)
        warm.answer()
        before = gate.memory()
        client = gate.client("PUT", "/db/doc/a", f"Content-Length: {size}")
        sent = client.send_until_stuck(block, size, 0.3)
        assert sent < size // 2
        assert gate.memory() - before < 4_000_000
        with meanwhile(lambda: client.send(memoryview(whole)[sent:size])):
            assert peer.message().body == whole[:size]
        peer.send(HELLO)
        assert client.answer().status == 200
        assert gate.memory() - before < 4_000_000
