"""TLS in threads: handshakes that hold nobody else up, and what comes in one piece with them."""

import contextlib
import socket
import ssl

import pytest

from tests.ports import free_port
from tests.upstream.certificates import Authority
from tests.web.live import HELLO, running_gate
from tests.web.sockets import PATIENCE, Client, Upstream, eventually

THREADS, REFUSING = 4, 16
CLOSING = HELLO.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")  # so that nothing is kept in a pool


class Visitor(Client):
    """A client by TLS."""

    def __init__(self, context, port):
        sock = socket.create_connection(("127.0.0.1", port), PATIENCE)
        self.sock = context.wrap_socket(sock, server_hostname="localhost", suppress_ragged_eofs=False)
        self.buffer = b""


class Doors:
    """A gate whose listener in mode threaded speaks TLS, its upstream, and what trusts it."""

    def __init__(self, gate, upstream, context):
        self.gate = gate
        self.upstream = upstream
        self.port = gate.ports["threaded"]
        self.context = context

    def client(self, *head, **options):
        visitor = Visitor(self.context, self.port)
        if head or options:
            visitor.send(self.gate.head(*head, **options))
        return visitor

    def silent(self):
        """A client that begins a handshake and does not go on."""
        client = Client(self.port)
        client.send(b"\x16\x03\x01\x02\x00\x01")
        return client


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def pem(authority):
    return authority.file("gate.pem", "localhost")


@pytest.fixture(scope="module")
def context(authority):
    return ssl.create_default_context(cafile=authority.path)


@pytest.fixture(scope="module")
def opened(pem, context):
    upstream = Upstream()
    endpoints = [
        *("tcp:0:interface=127.0.0.1", "tcp:0:interface=127.0.0.1:backlog=201"),
        f"ssl:0:interface=127.0.0.1:privateKey={pem}:certKey={pem}",
    ]
    with running_gate(upstream, endpoints=endpoints, limits=f"threads = {THREADS}\nhead_seconds = 2") as gate:
        yield Doors(gate, upstream, context)
    upstream.close()


@pytest.fixture
def doors(opened):
    yield opened
    opened.upstream.settle()


def served(doors):
    """Whether a new client gets an answer of the gate's own, as it does once others' threads have ended."""
    try:
        return doors.client("GET", "/_gate/health", token=None).answer().status == 200
    except (AssertionError, OSError):
        return False


def test_couchdb_is_told_that_the_client_came_by_tls(doors):
    """X-Forwarded-Proto is https, so that Location points at where the client is."""
    client = doors.client("GET", "/db/doc")
    _, request = doors.upstream.exchange(HELLO)
    assert request.all(b"x-forwarded-proto") == [b"https"]
    assert client.answer().start == b"HTTP/1.0 200 OK"
    assert client.ending() == ("fin", b"")


def test_a_request_in_one_piece_with_the_end_of_the_handshake_is_served(doors):
    """A client need not wait: what came behind its last words of the handshake is read, and nobody waits for more."""
    inward, outward = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = doors.context.wrap_bio(inward, outward, server_hostname="localhost")
    client = Client(doors.port)
    with contextlib.suppress(ssl.SSLWantReadError):
        tls.do_handshake()
    client.send(outward.read())
    while True:
        inward.write(client.sock.recv(65536))
        with contextlib.suppress(ssl.SSLWantReadError):
            tls.do_handshake()
            break
    tls.write(doors.gate.head("GET", "/_gate/health", token=None))
    client.send(outward.read())
    answer = b""
    while b"}" not in answer:
        inward.write(client.sock.recv(65536))
        with contextlib.suppress(ssl.SSLWantReadError):
            answer += tls.read(65536)
    assert answer.startswith(b"HTTP/1.0 200 OK")


@pytest.mark.parametrize("target", ["/db/doc", "/db/_changes?feed=continuous"])
def test_a_client_that_says_goodbye_has_left(doors, target):
    """TLS has no half of an end: CouchDB's connection is cut at once, for an answer as for a feed."""
    client = doors.client("GET", target)
    peer = doors.upstream.accept()
    peer.message()
    client.sock.setblocking(False)
    with contextlib.suppress(ssl.SSLWantReadError):
        client.sock.unwrap()
    assert peer.ending(3)[1] == b""
    eventually(lambda: doors.gate.access()[-1]["reason"] == "client_gone")


def test_handshakes_that_stand_still_hold_nobody_up(doors):
    """They take a thread each: who is beyond the bound hears so by TLS, and after head_seconds all is well."""
    slow = [doors.silent() for _ in range(THREADS - 1)]
    assert eventually(lambda: served(doors))
    slow.append(doors.silent())
    answer = doors.client().message()
    assert (answer.status, answer.first(b"retry-after")) == (503, b"1")
    crowd = [doors.silent() for _ in range(REFUSING)]
    with pytest.raises((ssl.SSLError, ConnectionError)):
        doors.client()
    for client in [*slow, *crowd]:
        client.ending(4)
    assert eventually(lambda: served(doors))


def test_a_reload_changes_the_mode_behind_tls(reloaded, upstream, pem, context):
    """The listener goes on with its certificate, in threads and in the reactor, and clients see the mode only."""
    port = free_port()
    endpoint = f"ssl:{port}:interface=127.0.0.1:privateKey={pem}:certKey={pem}"
    assert reloaded.reload(others=[endpoint])[0]
    for mode, first in (("keepalive", b"HTTP/1.1"), ("threaded", b"HTTP/1.0"), ("close", b"HTTP/1.0")):
        assert reloaded.reload(mode=mode, others=[endpoint])[0]
        client = Visitor(context, port)
        client.send(reloaded.head())
        upstream.exchange(CLOSING)
        assert client.answer().start == first + b" 200 OK"
