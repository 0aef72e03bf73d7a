"""Every limit of the settings, met from outside."""

import json
import socket

import pytest

from tests.web.live import HELLO, running_gate
from tests.web.sockets import SOON, Client, Upstream, eventually

LIMITS = """
head_bytes = 4096
header_count = 20
body_bytes = 100000
head_seconds = 0.6
idle_seconds = 1.2
connections = 12
feeds = 2
"""
MODES = pytest.mark.parametrize("mode", ["keepalive", "close", "threaded"])


@pytest.fixture(scope="module")
def shared_upstream():
    listening = Upstream()
    yield listening
    listening.close()


@pytest.fixture(scope="module")
def shared_gate(shared_upstream):
    """A gate with small limits."""
    with running_gate(shared_upstream, limits=LIMITS) as running:
        yield running


def refused(client, status, error):
    """That the next answer is this refusal in CouchDB's form, and the connection then ends in peace."""
    answer = client.message()
    assert answer.status == status
    assert json.loads(answer.body)["error"] == error
    assert answer.first(b"connection") == b"close"
    assert client.ending(SOON) == ("fin", b"")


def test_a_slow_head_is_408(gate, upstream):
    """A head that is begun and not finished within head_seconds is refused, however little of it came."""
    clients = []
    for port in gate.ports.values():
        for part in (b"GET /db/doc HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Sl", b"G", b"\r\n"):
            clients.append(Client(port))
            clients[-1].send(part)
    for client in clients:
        refused(client, 408, "request_timeout")
    assert upstream.untouched


@pytest.mark.parametrize("framing", ["Content-Length: 5000", "Transfer-Encoding: chunked"])
def test_a_slow_body_is_408_and_never_whole(gate, upstream, framing):
    """A body of which nothing more comes within idle_seconds: 408, and CouchDB's connection is cut."""
    uploads = []
    for mode in ("keepalive", "close", "threaded"):
        client = gate.client("PUT", "/db/doc/a", framing, mode=mode)
        client.send(b"3e8\r\n" if "chunked" in framing else b"", b"x" * 1000)
        uploads.append((client, upstream.accept()))
        uploads[-1][1].until(b"x" * 1000)
    for client, peer in uploads:
        assert peer.ending(SOON)[1] in {b"", b"\r\n"}
        refused(client, 408, "request_timeout")


@pytest.mark.parametrize("used", [False, True])
def test_an_idle_connection_is_closed(gate, upstream, used):
    """A connection without a request is closed after idle_seconds, whether it has served one or not."""
    client = Client(gate.port)
    if used:
        client.send(gate.head())
        upstream.exchange(HELLO)
        client.message()
    assert client.ending(SOON) == ("fin", b"")


def test_a_client_that_never_takes_the_end_of_its_answer_is_cut(own_upstream):
    """The gate has all of an answer and its client stops reading: the client is cut after idle_seconds."""
    # Sockets that hold little, handed over as systemd does it, so that the end of the answer stays in the gate.
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    answer = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 60000\r\n\r\n" + bytes(60000)
    with listener, running_gate(own_upstream, limits="idle_seconds = 1", listener=listener) as gate:
        clients = []
        for connection in ("keep-alive", "close"):
            clients.append(Client(gate.port, receive_buffer=4096))
            clients[-1].send(gate.head("GET", "/db/doc/a", f"Connection: {connection}"))
            own_upstream.exchange(answer)
            clients[-1].head()
        assert not any(client.gone() for client in clients)
        eventually(lambda: all(client.gone() for client in clients))


@MODES
def test_too_many_connections_are_503(gate, upstream, mode):
    """Beyond `connections` a client is told to come again; when others have left, it is served."""
    port = gate.ports[mode]
    clients = [Client(port) for _ in range(12)]
    late = Client(port)
    answer = late.message()
    assert answer.status == 503
    assert int(answer.first(b"retry-after")) > 0
    assert json.loads(answer.body)["error"] == "service_unavailable"
    late.half_close()
    assert late.ending() == ("fin", b"")
    for client in clients:
        client.close()

    def served():
        client = gate.client("GET", "/_gate/health", mode=mode)
        return client.message().status == 200

    eventually(served)


@MODES
def test_too_many_feeds_of_one_person_are_429(gate, upstream, mode):
    """The third feed of alice is refused, bob's is not, and alice may open another when one has ended."""
    target = "/db/_changes?feed=longpoll&since=1"
    clients, peers = [], []
    for _ in range(2):  # one after the other: threads would reach CouchDB in any order
        clients.append(gate.client("GET", target, mode=mode))
        peers.append(upstream.accept())
        peers[-1].message()
    answer = gate.client("GET", target, mode=mode).message()
    assert (answer.status, json.loads(answer.body)["error"]) == (429, "too_many_requests")
    bob = gate.client("GET", target, token=gate.token(sub="bob"), mode=mode)
    upstream.exchange(HELLO.replace(b"\r\n", b"\r\nConnection: close\r\n", 1))
    assert bob.message().status == 200
    clients[0].close()
    assert peers[0].ending(SOON)[1] == b""
    again = gate.client("GET", target, mode=mode)
    upstream.exchange(HELLO)
    assert again.message().status == 200
    peers[1].send(HELLO)
    assert clients[1].message().status == 200


@MODES
@pytest.mark.parametrize(
    "lines",
    [["X-Long: " + "x" * 4096], [f"X-{number}: 1" for number in range(20)], ["X" * 5000 + ": 1"]],
)
def test_a_large_head_is_431(gate, upstream, mode, lines):
    """A head over head_bytes or header_count is refused unread."""
    refused(gate.client("GET", "/db/doc", *lines, mode=mode), 431, "request_header_fields_too_large")
    assert upstream.untouched


def test_an_endless_request_line_is_431(gate, upstream):
    """A target that never ends is refused as soon as it passes head_bytes."""
    client = Client(gate.port)
    client.send(b"GET /" + b"a" * 5000)
    refused(client, 431, "request_header_fields_too_large")


@MODES
def test_a_length_over_the_limit_is_413_at_once(gate, upstream, mode):
    """A body that says that it is too long is refused before any of it is read, and CouchDB hears nothing."""
    client = gate.client("PUT", "/db/doc/a", "Content-Length: 100001", mode=mode)
    answer = client.message()
    assert (answer.status, json.loads(answer.body)["error"]) == (413, "too_large")
    client.half_close()
    assert client.ending() == ("fin", b"")
    assert upstream.untouched


@MODES
def test_a_chunked_body_over_the_limit_is_413_and_never_whole(gate, upstream, mode):
    """A body that turns out too long: 413, and CouchDB's connection is cut before its end."""
    client = gate.client("PUT", "/db/doc/a", "Transfer-Encoding: chunked", mode=mode)
    chunk = b"2710\r\n" + b"x" * 10000 + b"\r\n"
    client.send(chunk * 10)
    peer = upstream.accept()
    peer.head()
    peer.until(chunk[-2000:])
    client.send(b"1\r\nx\r\n0\r\n\r\n")
    answer = client.message()
    assert (answer.status, json.loads(answer.body)["error"]) == (413, "too_large")
    how, rest = peer.ending(SOON)
    assert how == "reset"
    assert not rest.endswith(b"0\r\n\r\n")


@MODES
@pytest.mark.parametrize("framing", ["Content-Length: 100000", "Transfer-Encoding: chunked"])
def test_a_body_of_the_limit_passes(gate, upstream, mode, framing):
    """A body of exactly body_bytes is relayed."""
    body = b"x" * 100000
    client = gate.client("PUT", "/db/doc/a", framing, mode=mode)
    client.send(b"186a0\r\n%b\r\n0\r\n\r\n" % body if "chunked" in framing else body)
    _, request = upstream.exchange(HELLO)
    assert request.body == body
    assert client.message().status == 200
