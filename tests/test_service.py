"""How the gate starts and how it ends: SIGTERM drains within its time, and nothing is cut that could end well."""

import json
import signal
import socket
import subprocess
import sys
import time

import pytest

from tests.web.live import HELLO, OK, TWISTD, running_gate
from tests.web.sockets import PATIENCE, SOON, Client, Upstream, eventually

MODES = pytest.mark.parametrize("mode", ["keepalive", "close", "threaded"])


@pytest.fixture
def upstream():
    listening = Upstream()
    yield listening
    listening.close()


@pytest.fixture
def gate(upstream):
    with running_gate(upstream, drain_seconds=60) as running:
        yield running


def refused(port):
    """Whether nobody listens any more."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except ConnectionRefusedError:
        return True
    return False


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_idle_gate_ends_at_once(gate, number):
    """Idle connections are closed, those with half a head too, and the process ends: its drain is not waited for."""
    clients = [Client(gate.port), Client(gate.port), Client(gate.close_port)]
    clients[1].send(b"GET /db HTTP/1.1\r\nHo")
    for client in clients:
        eventually(client.taken)
    eventually(lambda: gate.client("GET", "/_gate/health").message().status == 200)
    gate.signal(number)
    for client in clients:
        assert client.ending() == ("fin", b"")
    gate.process.wait(PATIENCE)


@MODES
def test_what_is_under_way_finishes_while_nobody_new_is_let_in(gate, upstream, mode):
    """A download and an upload that were begun are completed, then their connections end; new ones are refused."""
    download = gate.client("GET", "/db/doc", mode=mode)
    down = upstream.accept()
    down.message()
    down.send(OK, b'{"ok"')
    download.until(b'{"ok"')
    upload = gate.client("PUT", "/db/doc/a", "Content-Length: 10", mode=mode)
    upload.send(b"hello")
    up = upstream.accept()
    up.head()
    assert up.take(5) == b"hello"
    gate.signal()
    eventually(lambda: refused(gate.port) and refused(gate.close_port))
    down.send(b":true}")
    assert download.take(6) == b":true}"
    assert download.ending() == ("fin", b"")
    upload.send(b"world")
    assert up.take(5) == b"world"
    up.send(HELLO)
    assert upload.message().body == b'{"ok":true}'
    assert upload.ending() == ("fin", b"")
    gate.process.wait(PATIENCE)


def test_an_answer_that_begins_while_draining_says_that_it_is_the_last(gate, upstream):
    """A request under way is answered with `Connection: close`; what was pipelined behind it is not begun."""
    client = gate.client("GET", "/db/1")
    client.send(gate.head("GET", "/db/2"))
    peer = upstream.accept()
    peer.message()
    gate.signal()
    eventually(lambda: refused(gate.port))
    peer.send(HELLO)
    answer = client.message()
    assert answer.first(b"connection") == b"close"
    assert client.ending() == ("fin", b"")
    client.close()
    assert peer.ending()[1] == b""
    gate.process.wait(PATIENCE)


@MODES
def test_feeds_end_well_at_the_shutdown(gate, upstream, mode):
    """Longpolls close their array, lines end between lines, a feed inside a row waits for it; CouchDB is let go."""
    queries = {
        "longpoll&since=7": (),
        "longpoll&since=8": (b'{"results":[\n', b"\n"),
        "continuous": (b'{"seq":"9-x","id":"a","changes":[]}\n',),
        "longpoll&since=6": (b'{"results":[\n', b'{"seq":"9-x","id'),
    }
    feeds = []
    for query, begin in queries.items():
        client = gate.client("GET", f"/db/_changes?feed={query}", mode=mode)
        peer = upstream.accept()
        peer.message()
        if begin:
            peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            client.peek()
        for piece in begin:
            peer.send(b"%x\r\n%b\r\n" % (len(piece), piece))
        feeds.append((client, peer))
    for _, peer in feeds:
        eventually(peer.taken)
    gate.signal()
    bodies = [client.answer().body for client, _ in feeds[:3]]
    assert [json.loads(bodies[0])["last_seq"], json.loads(bodies[1])["last_seq"]] == [7, 8]
    assert bodies[2] == queries["continuous"][0]
    rest = b'":"a","changes":[]}'
    feeds[3][1].send(b"%x\r\n%b\r\n" % (len(rest), rest))
    assert json.loads(feeds[3][0].answer().body)["last_seq"] == "9-x"
    for _, peer in feeds:
        assert peer.ending(SOON)[1] == b""
    gate.process.wait(PATIENCE)


@MODES
def test_the_drain_is_bounded(upstream, mode):
    """What does not finish within drain_seconds is cut, and never looks whole."""
    with running_gate(upstream, drain_seconds=0.5) as gate:
        client = gate.client("GET", "/db/doc", mode=mode)
        peer, _ = upstream.exchange(OK + b'{"ok"')
        client.until(b'{"ok"')
        began = time.monotonic()
        gate.signal()
        assert client.ending() == ("reset", b"")
        gate.process.wait(PATIENCE)
        assert time.monotonic() - began > 0.4
        assert peer.ending(SOON)[1] == b""


def test_readiness_tells_of_the_shutdown_to_who_is_still_connected(gate, upstream):
    """A question about readiness that is open at the shutdown is answered 503 with that reason."""
    client = gate.client("GET", "/_gate/ready", token=None)
    peer = upstream.accept()
    peer.message()
    gate.signal()
    eventually(lambda: refused(gate.port))
    peer.send(HELLO)
    answer = client.message()
    assert (answer.status, json.loads(answer.body)["missing"]) == (503, ["The gate is shutting down."])


def test_a_port_in_use_is_one_sentence(tmp_path, gate):
    """A second gate on the same port says so without a traceback, and its status is not zero."""
    settings = (gate.directory / "couchgate.toml").read_text()
    settings = settings.replace('tcp:0:interface=127.0.0.1"', f'tcp:{gate.port}:interface=127.0.0.1"', 1)
    (tmp_path / "key.pem").write_bytes(gate.minter.public_pem())
    (tmp_path / "couchgate.toml").write_text(settings)
    ended = subprocess.run(
        [sys.executable, "-c", TWISTD, "-n", "--pidfile=", "couchgate", "--config", tmp_path / "couchgate.toml"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=20,
    )
    said = ended.stdout + ended.stderr
    assert ended.returncode != 0
    assert f"tcp:{gate.port}:interface=127.0.0.1" in said
    assert "in use" in said
    assert "Traceback" not in said


def test_an_unreachable_couchdb_is_a_warning_at_start():
    """The gate starts, warns, serves 503 and turns to serving when CouchDB comes."""
    absent = Upstream()
    absent.close()
    with running_gate(NoFirstLook(absent.port)) as gate:
        eventually(lambda: "CouchDB cannot be reached. The gate serves" in gate.log())
        assert gate.client("GET", "/db/doc").message().status == 503
        later = socket.create_server(("127.0.0.1", absent.port))
        client = gate.client("GET", "/db/doc")
        sock, _ = later.accept()
        sock.recv(65536)
        sock.sendall(HELLO)
        assert client.message().status == 200
        sock.close()
    later.close()


class NoFirstLook:
    """An upstream of which only the address exists."""

    def __init__(self, port):
        self.url = f"http://127.0.0.1:{port}"

    def looked_at(self):
        """Nobody is there for the gate's first look."""

    def settle(self):
        """Nothing was taken."""


def test_a_gate_without_descriptors_rests_and_goes_on(upstream):
    """More clients than the process has descriptors: it neither spins nor ends, and serves again when they leave."""
    with running_gate(upstream, command=("sh", "-c", 'ulimit -n 50 && exec "$0" "$@"')) as gate:
        crowd = [Client(gate.port) for _ in range(80)]
        eventually(lambda: "No connection can be accepted for a moment" in gate.log())
        crowd[0].send(gate.head("GET", "/db/doc"))
        answer = crowd[0].message()
        assert (answer.status, bool(answer.first(b"retry-after"))) == (503, True)
        for client in crowd:
            client.close()
        late = gate.client("GET", "/_gate/health", token=None)
        assert late.message().status == 200
        late.send(gate.head("GET", "/db/doc"))
        upstream.exchange(HELLO)
        assert late.message().status == 200
