"""CouchDB behind a Unix socket: what holds over TCP holds there."""

import json
import socket
import tempfile
from pathlib import Path

import pytest

from tests.web.live import HELLO, OK, running_gate
from tests.web.sockets import PATIENCE, Stream, Upstream, eventually

MODES = pytest.mark.parametrize("mode", ["keepalive", "close", "threaded"])


class UnixUpstream(Upstream):
    """An Upstream at `path`."""

    def __init__(self, folder, backlog=64):
        self.path = f"{folder}/couch.sock"
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(self.path)
        self._listener.listen(backlog)
        self.url = "http://couch.internal:5984"
        self._peers = []
        self.setting = f'socket = "{self.path}"'

    def accept(self):
        self._listener.settimeout(PATIENCE)
        peer = UnixStream(self._listener.accept()[0])
        self._peers.append(peer)
        return peer


class UnixStream(Stream):
    """One end of a connection over a Unix socket."""

    def __init__(self, sock):
        sock.settimeout(PATIENCE)
        self.sock = sock
        self.buffer = b""


@pytest.fixture(scope="module")
def started():
    with tempfile.TemporaryDirectory() as folder:
        upstream = UnixUpstream(folder)
        with running_gate(upstream, more_upstream=upstream.setting) as gate:
            yield gate, upstream
        upstream.close()


@pytest.fixture
def local(started):
    """A gate whose CouchDB is behind a Unix socket, and that; the pool is emptied after the test."""
    yield started
    started[1].settle()


@MODES
def test_exchanges_work_in_both_directions(local, mode):
    """A large body each way, whole and in order; CouchDB hears the URL's authority as `Host`."""
    gate, upstream = local
    data = bytes(range(256)) * 4000
    client = gate.client("PUT", "/db/doc/a", f"Content-Length: {len(data)}", mode=mode)
    client.send(data)
    peer = upstream.accept()
    request = peer.message()
    assert (request.body == data, request.first(b"host")) == (True, b"couch.internal:5984")
    peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(data), data)
    assert client.answer().body == data


def test_a_connection_is_kept_and_a_stale_one_is_retried_once(local):
    """The next request goes on the same connection; if CouchDB closes it just then, on a fresh one."""
    gate, upstream = local
    client = gate.client("GET", "/db/1")
    peer, _ = upstream.exchange(HELLO)
    client.answer()
    client.send(gate.head("GET", "/db/2"))
    peer.message()
    peer.half_close()
    _, request = upstream.exchange(HELLO)
    assert request.start == b"GET /db/2 HTTP/1.1"
    assert client.answer().status == 200


@MODES
def test_a_feed_streams_and_ends_with_its_client(local, mode):
    """Rows reach the client as they come; when it leaves, CouchDB's connection is closed."""
    gate, upstream = local
    client = gate.client("GET", "/db/_changes?feed=longpoll&since=0", mode=mode)
    peer = upstream.accept()
    peer.message()
    peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b'd\r\n{"results":[\n\r\n')
    client.until(b'{"results":[')
    for _ in range(3):
        peer.send(b"1\r\n\n\r\n")
        client.until(b"\n")
    client.reset()
    assert peer.ending()[1] == b""


@MODES
def test_a_slow_reader_holds_couchdb_back(local, mode):
    """Back-pressure holds: CouchDB cannot send an endless answer to a client that does not read."""
    gate, upstream = local
    client = gate.client("GET", "/db/doc/a", mode=mode)
    peer = upstream.accept()
    peer.message()
    peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n")
    assert peer.send_until_stuck(bytes(1 << 20), 100_000_000) < 50_000_000
    client.reset()


@MODES
def test_an_answer_that_breaks_off_never_looks_whole(local, mode):
    """CouchDB dies in the middle of a body: the client is cut."""
    gate, upstream = local
    client = gate.client("GET", "/db/doc", mode=mode)
    peer, _ = upstream.exchange(OK + b"{")
    client.until(b"{")
    peer.close()
    assert client.ending()[0] == "reset"


def test_nobody_there_is_503_until_somebody_is(tmp_path):
    """A socket that nobody listens on, or none: 503 at once; then it serves without a restart."""
    upstream = UnixUpstream(tmp_path)
    with running_gate(upstream, more_upstream=upstream.setting) as gate:
        upstream.close()
        for _ in range(2):
            answer = gate.client("GET", "/db/doc").answer()
            assert (answer.status, json.loads(answer.body)["reason"]) == (503, "CouchDB cannot be reached.")
            Path(upstream.path).unlink(missing_ok=True)
        again = UnixUpstream(tmp_path)
        client = gate.client("GET", "/db/doc")
        again.exchange(HELLO)
        assert client.answer().status == 200
        again.close()


def test_a_full_queue_is_waited_for(tmp_path):
    """More connections at once than CouchDB's queue holds: the kernel refuses them, and the gate asks again."""
    upstream = UnixUpstream(tmp_path, backlog=1)
    with running_gate(upstream, more_upstream=upstream.setting) as gate:
        clients = [gate.client("PUT", f"/db/{number}", "Content-Length: 0") for number in range(12)]
        eventually(lambda: not upstream.untouched)
        assert gate.client("GET", "/_gate/health", token=None).message().status == 200  # all of them were taken up
        for _ in clients:
            upstream.exchange(HELLO)
        assert [client.answer().status for client in clients] == [200] * 12
        leaving = [gate.client("GET", f"/db/{number}") for number in range(5)]
        upstream.settle()
        for client in leaving:
            client.reset()
    upstream.close()


def test_a_queue_that_stays_full_is_503_after_the_time_to_connect(tmp_path):
    """CouchDB accepts nobody: `connect_seconds` bounds the wait."""
    upstream = UnixUpstream(tmp_path, backlog=1)
    with running_gate(
        upstream, more_upstream=f"{upstream.setting}\nconnect_seconds = 0.3\nfirst_byte_seconds = 20"
    ) as gate:
        clients = [gate.client("GET", f"/db/{number}") for number in range(5)]
        refused = eventually(lambda: [client for client in clients if not client.quiet()])
        assert refused[0].answer().status == 503
        upstream.settle()
    upstream.close()
