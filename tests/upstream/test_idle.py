"""`upstream.idle_seconds`: a CouchDB that stands still, and who is to blame for it."""

import time

import pytest

from tests.web.live import HELLO, running_gate
from tests.web.sockets import SOON, Upstream, eventually, meanwhile

SECONDS = 0.4
PAST = 1.6  # longer than the setting and two sweeps
MODES = pytest.mark.parametrize("mode", ["keepalive", "close", "threaded"])
STARTS = {
    "length": b"Content-Length: 100\r\n\r\nhello",
    "chunked": b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
    "close": b"\r\nhello",
}


@pytest.fixture(scope="module")
def started():
    upstream = Upstream()
    options = f"first_byte_seconds = 30\nidle_seconds = {SECONDS}"
    with running_gate(upstream, more_upstream=options) as gate:
        yield gate, upstream
    upstream.close()


@pytest.fixture
def impatient(started):
    """A gate that lets CouchDB stand still for 0.4 seconds, and its upstream."""
    yield started
    started[1].settle()


@MODES
@pytest.mark.parametrize("framing", STARTS)
def test_an_answer_that_stalls_is_cut(impatient, mode, framing):
    """A body begins and does not go on: the client is reset, so that nothing looks whole, and so is CouchDB."""
    gate, upstream = impatient
    client = gate.client("GET", "/db/doc", mode=mode)
    peer, _ = upstream.exchange(b"HTTP/1.1 200 OK\r\n" + STARTS[framing])
    client.until(b"hello")
    assert client.ending(SOON)[0] == "reset"
    assert peer.ending(SOON)[1] == b""
    assert eventually(lambda: [line["reason"] for line in gate.access()][-1:] == ["upstream_stalled"])


@MODES
def test_a_head_alone_may_be_followed_as_late_as_any_other_byte(impatient, mode):
    """The wait for the head does not count: the time begins with it."""
    gate, upstream = impatient
    client = gate.client("GET", "/db/doc", mode=mode)
    peer = upstream.accept()
    peer.message()
    time.sleep(PAST)
    peer.send(HELLO[:-11])
    client.head()
    assert client.quiet()
    peer.send(HELLO[-11:])
    assert client.take(11) == b'{"ok":true}'


@MODES
def test_a_slow_answer_is_no_standstill(impatient, mode):
    """A byte now and then keeps it open, for longer than the limit altogether."""
    gate, upstream = impatient
    client = gate.client("GET", "/db/doc", mode=mode)
    peer, _ = upstream.exchange(b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n")
    for _ in range(12):
        time.sleep(SECONDS / 2)
        peer.send(b"x")
        client.until(b"x")


@MODES
def test_a_feed_may_be_silent(impatient, mode):
    """Without heartbeats, before its head or after it, a feed stays open."""
    gate, upstream = impatient
    feeds = []
    for feed in ("longpoll", "continuous", "eventsource"):
        client = gate.client("GET", f"/db/_changes?feed={feed}&since=7", mode=mode)
        peer = upstream.accept()
        peer.message()
        feeds.append((client, peer))
    time.sleep(PAST)
    for client, peer in feeds:
        peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n\n\r\n")
        client.head()
        client.until(b"\n")
    time.sleep(PAST)
    for client, peer in feeds:
        peer.send(b"1\r\n\n\r\n")
        client.until(b"\n")


@MODES
def test_a_client_that_does_not_read_is_not_couchdbs_fault(impatient, mode):
    """The client stops reading for longer than the limit: CouchDB is held back, and all of the answer arrives."""
    gate, upstream = impatient
    size = 30_000_000
    slow = gate.client("GET", "/db/doc/a", mode=mode)
    peer = upstream.accept()
    peer.message()
    peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
    sent = peer.send_until_stuck(bytes(1 << 20), size, PAST)
    assert sent < size
    slow.head()
    with meanwhile(lambda: peer.send(bytes(size - sent))):
        assert slow.take(size) == bytes(size)


@MODES
@pytest.mark.parametrize("target", ["/db/doc/a", "/db/_changes?feed=longpoll", "/db/_bulk_docs"])
def test_an_upload_that_couchdb_does_not_take_is_504(impatient, mode, target):
    """CouchDB accepts and reads nothing: the client has its answer, a feed's too, and CouchDB's connection is cut."""
    gate, upstream = impatient
    size = 50_000_000
    method = "PUT" if target.endswith("/a") else "POST"
    client = gate.client(method, target, "Content-Type: application/json", f"Content-Length: {size}", mode=mode)
    peer = upstream.accept() if method == "PUT" else None
    assert client.send_until_answered(b" " * (1 << 20), size) < size
    assert client.answer().status == 504
    (peer or upstream.accept()).ending()
    assert eventually(lambda: [line["reason"] for line in gate.access()][-1:] == ["upstream_stalled"])


@MODES
def test_an_upload_that_the_client_delays_is_timed_by_the_clients_limit(impatient, mode):
    """A client that takes its time over a body is not cut by CouchDB's limit."""
    gate, upstream = impatient
    client = gate.client("PUT", "/db/doc/a", "Content-Length: 2", mode=mode)
    peer = upstream.accept()
    peer.head()
    client.send(b"a")
    time.sleep(PAST)
    client.send(b"b")
    assert peer.take(2) == b"ab"
    peer.send(HELLO)
    assert client.answer().status == 200
