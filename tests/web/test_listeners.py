"""Listeners of other kinds than plain TCP: TLS and Unix sockets. Clients cannot tell the difference."""

import contextlib
import json
import re
import socket
import ssl
import tempfile
import threading
from pathlib import Path

import pytest

from tests.upstream.certificates import Authority
from tests.web.live import OK, running_gate
from tests.web.sockets import PATIENCE, SOON, Client, Stream, Upstream, meanwhile

MODES = pytest.mark.parametrize("mode", ["keepalive", "close", "threaded"])
MEGABYTE = bytes(1 << 20)


class Visitor(Client):
    """A client over any kind of socket."""

    def __init__(self, sock):
        sock.settimeout(PATIENCE)
        self.sock = sock
        self.buffer = b""

    def ending(self, seconds=PATIENCE):
        try:
            return super().ending(seconds)
        except ssl.SSLEOFError:
            return "reset", b""  # without TLS's goodbye

    def pour(self, size, seconds=0.5):
        """Send up to so many zeros, until nothing is taken for so long."""
        self.sock.settimeout(seconds)
        sent = 0
        with contextlib.suppress(TimeoutError, ConnectionError, ssl.SSLError):
            while sent < size:
                sent += self.sock.send(MEGABYTE[:65536])
        self.sock.settimeout(PATIENCE)
        return sent


class Doors:
    """A gate whose listeners are of one kind, its upstream, and the way to knock."""

    def __init__(self, gate, upstream, connect):
        self.gate = gate
        self.upstream = upstream
        self._connect = connect

    def client(self, *head, mode="keepalive", **options):
        visitor = Visitor(self._connect(self.gate.ports[mode]))
        if head or options:
            visitor.send(self.gate.head(*head, **options))
        return visitor


@contextlib.contextmanager
def secure_doors(folder, **options):
    """Listeners by TLS."""
    authority = Authority(folder)
    pem = authority.file("gate.pem", "localhost")
    trusting = ssl.create_default_context(cafile=authority.path)

    def connect(port):
        sock = socket.create_connection(("127.0.0.1", port), PATIENCE)
        return trusting.wrap_socket(sock, server_hostname="localhost", suppress_ragged_eofs=False)

    endpoint = f"ssl:0:interface=127.0.0.1:privateKey={pem}:certKey={pem}"
    upstream = Upstream()
    endpoints = (endpoint, f"{endpoint}:backlog=201", f"{endpoint}:backlog=202")
    with running_gate(upstream, endpoints=endpoints, **options) as gate:
        yield Doors(gate, upstream, connect)
    upstream.close()


@contextlib.contextmanager
def local_doors(folder, **options):
    """Listeners on Unix sockets."""

    def connect(path):
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(PATIENCE)
        sock.connect(path)
        return sock

    upstream = Upstream()
    endpoints = [f"unix:{folder}/{name}" for name in "abc"]
    with running_gate(upstream, endpoints=endpoints, **options) as gate:
        yield Doors(gate, upstream, connect)
    upstream.close()


@pytest.fixture(scope="module", params=[secure_doors, local_doors], ids=["ssl", "unix"])
def opened(request):
    with tempfile.TemporaryDirectory() as folder, request.param(Path(folder), limits="idle_seconds = 8") as doors:
        yield doors


@pytest.fixture
def doors(opened):
    """A gate with other doors; its pool is emptied after the test."""
    yield opened
    opened.upstream.settle()


@MODES
def test_bodies_pass_whole_in_both_directions(doors, mode):
    """A large upload and a large answer, in order and complete."""
    data = bytes(range(256)) * 4000
    client = doors.client("PUT", "/db/doc/a", f"Content-Length: {len(data)}", mode=mode)
    client.send(data)
    peer = doors.upstream.accept()
    assert peer.message().body == data
    peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(data), data)
    assert client.answer().body == data


def test_a_connection_serves_many_requests_sent_ahead(doors):
    """Fifty requests in one piece are answered one after the other, on one connection to CouchDB."""
    client = doors.client()
    client.send(b"".join(doors.gate.head("GET", f"/db/{number}") for number in range(50)))
    peer = doors.upstream.accept()
    for number in range(50):
        assert peer.message().start == b"GET /db/%d HTTP/1.1" % number
        peer.send(OK + b"%011d" % number)
    assert [int(client.answer().body) for _ in range(50)] == list(range(50))


@MODES
@pytest.mark.parametrize("size", [100_000, 900_000, 50_000_000])
def test_a_refusal_reaches_a_client_that_is_still_sending(doors, mode, size):
    """The 401 of an upload arrives whole, however much of the body nobody will read."""
    client = doors.client("PUT", "/db/doc/a", f"Content-Length: {size}", token=None, mode=mode)
    client.pour(min(size, 900_000))
    answer = client.message()
    assert (answer.status, json.loads(answer.body)["error"]) == (401, "unauthorized")
    assert answer.first(b"connection") == b"close"
    client.pour(2_000_000, 0.1)
    client.close()
    assert doors.upstream.untouched


@MODES
def test_slow_readers_hold_couchdb_back(doors, mode):
    """Eight clients that do not read 50 MB each: what the gate holds for them is bounded, and all of it arrives."""
    size, before = 50_000_000, doors.gate.memory()
    clients = [doors.client("GET", f"/db/doc/{number}", mode=mode) for number in range(8)]
    peers, sent = [], []
    for _ in clients:
        peer = doors.upstream.accept()
        peer.message()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        sent.append(peer.send_until_stuck(MEGABYTE, size, 0.1))  # all eight within idle_seconds
        peers.append(peer)
    assert max(sent) < size
    assert doors.gate.memory() - before < 8_000_000
    client, peer, rest = clients[0], peers[0], size - sent[0]
    client.head()
    with meanwhile(lambda: peer.send(bytes(rest))):
        assert client.take(size) == bytes(size)
    for client in clients:
        client.close()
    for peer in peers[1:]:
        peer.ending()


@MODES
def test_an_upload_is_held_back_by_a_couchdb_that_does_not_read(doors, mode):
    """CouchDB takes nothing: soon the client cannot send either, and what it sent arrives once CouchDB reads."""
    size = 50_000_000
    client = doors.client("PUT", "/db/doc/a", f"Content-Length: {size}", mode=mode)
    peer = doors.upstream.accept()
    sent = client.pour(size)
    assert sent < size
    peer.head()
    assert peer.take(sent // 2) == bytes(sent // 2)
    client.sock.close()
    assert peer.ending()[0] in {"reset", "fin"}


@MODES
def test_a_client_that_leaves_ends_the_exchange(doors, mode):
    """CouchDB's connection is cut while it still works on the answer."""
    client = doors.client("GET", "/db/_changes?feed=continuous", mode=mode)
    peer = doors.upstream.accept()
    peer.message()
    client.close()
    assert peer.ending(SOON)[1] == b""


@MODES
def test_a_feed_passes_row_by_row(doors, mode):
    """Each heartbeat arrives as it is sent."""
    client = doors.client("GET", "/db/_changes?feed=longpoll&heartbeat=1000", mode=mode)
    peer, _ = doors.upstream.exchange(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    client.head()
    for _ in range(5):
        peer.send(b"1\r\n\n\r\n")
        client.until(b"\n")
    peer.send(b"2\r\n{}\r\n0\r\n\r\n")
    client.until(b"{}")


@pytest.mark.parametrize(
    "framing", [b"Content-Length: 100\r\n\r\nhello", b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"]
)
def test_an_answer_that_breaks_off_never_looks_whole(doors, framing):
    """CouchDB's end in the middle of a body is no end that a client could take for the body's."""
    client = doors.client("GET", "/db/doc")
    peer, _ = doors.upstream.exchange(b"HTTP/1.1 200 OK\r\n" + framing)
    client.until(b"hello")
    peer.reset()
    _, rest = client.ending()
    assert b"0\r\n" not in rest


@MODES
def test_a_body_without_length_ends_with_the_goodbye_of_tls(mode, tmp_path):
    """Over TLS what ends by close ends with a close that cannot be forged, and a body that broke off ends without."""
    with secure_doors(tmp_path) as doors:
        for whole in (True, False):
            client = doors.client("GET", "/db/doc", version="1.0", mode=mode)
            peer, _ = doors.upstream.exchange(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
            client.until(b"hello")
            if whole:
                peer.send(b"0\r\n\r\n")
            else:
                peer.reset()
            assert client.ending()[0] == ("fin" if whole else "reset")
            doors.upstream.settle()


def test_a_handshake_that_is_not_finished_is_closed(tmp_path):
    """Who connects to a TLS listener and says nothing, or half of a greeting, is let go of after idle_seconds; by a
    thread, after head_seconds.
    """
    with secure_doors(tmp_path, limits="idle_seconds = 0.5\nhead_seconds = 0.5") as doors:
        for port in doors.gate.ports.values():
            for said in (b"", b"\x16\x03\x01\x02\x00\x01", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"):
                sock = socket.create_connection(("127.0.0.1", port))
                stream = Stream(sock, sock.getpeername())
                stream.send(said)
                assert b"HTTP/" not in stream.ending(SOON)[1]


def serve(upstream, stopped):
    """Answer every request with the number that it asks for, each connection in a thread of its own."""

    def connection(peer):
        with contextlib.suppress(AssertionError, OSError):
            while True:
                peer.send(OK + re.search(rb"/db/(\d{11})", peer.message().start)[1])

    while not stopped.is_set():
        if upstream.untouched:
            stopped.wait(0.005)
        else:
            threading.Thread(target=connection, args=(upstream.accept(),), daemon=True).start()


def many(doors, connections, requests):
    """So many clients at once with so many requests each, every answer compared; how many were right."""
    right = []

    def ask(name):
        client = doors.client()
        head = doors.gate.head("GET", "/db/NUMBER")
        for number in range(requests):
            wanted = b"%011d" % (name * requests + number)
            client.send(head.replace(b"NUMBER", wanted))
            right.append(client.answer().body == wanted)
        client.close()

    clients = [threading.Thread(target=ask, args=(name,)) for name in range(connections)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    return right.count(True)


def test_many_clients_at_once_have_their_own_answers(doors):
    """Twenty connections with forty requests each: no answer is lost or goes to another."""
    stopped = threading.Event()
    serving = threading.Thread(target=serve, args=(doors.upstream, stopped))
    serving.start()
    try:
        assert many(doors, 20, 40) == 800
    finally:
        stopped.set()
        serving.join()
    client = doors.client("GET", "/_gate/health", token=None)
    assert client.message().status == 200
