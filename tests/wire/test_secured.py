"""A socket by TLS for threads: what is sent, what has come, and how it ends, with nothing in between lost."""

import contextlib
import select
import socket
import ssl

import pytest
from twisted.internet.protocol import Factory
from twisted.internet.ssl import PrivateCertificate
from twisted.internet.task import Clock

from couchgate.wire.secured import RECORD, TlsBroken, server_side
from tests.upstream.certificates import Authority
from tests.web.sockets import PATIENCE


class Peer:
    """The client's end, whose TLS is driven by hand."""

    def __init__(self, sock, context):
        self.sock = sock
        self._inward, self._outward = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self._inward, self._outward, server_hostname="localhost")
        sock.settimeout(PATIENCE)

    def flush(self):
        """Send what TLS has to send."""
        self.sock.sendall(self._outward.read())

    def take(self):
        """Give TLS what has come, waiting for it."""
        data = self.sock.recv(1 << 20)
        self._inward.write(data)
        return data

    def write(self, data):
        self.tls.write(data)
        self.flush()

    def read(self, size):
        """Exactly so many bytes."""
        data = b""
        while len(data) < size:
            try:
                data += self.tls.read(size - len(data))
            except ssl.SSLWantReadError:
                assert self.take()
        return data

    def goodbye(self):
        with contextlib.suppress(ssl.SSLWantReadError):
            self.tls.unwrap()
        self.flush()


def readable(secured):
    """Wait until bytes are there for it, as a thread does."""
    assert secured.pending or select.select([secured], [], [], PATIENCE)[0]
    return secured


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def secured(authority):
    pem = authority.file("gate.pem", "localhost").read_bytes()
    return server_side(PrivateCertificate.loadPEM(pem).options(), Factory(), Clock())


@pytest.fixture
def strangers(authority, secured):
    """Two ends that have said nothing yet."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield secured(ours), Peer(theirs, ssl.create_default_context(cafile=authority.path))


@pytest.fixture
def ends(strangers):
    """Two ends after their handshake."""
    ours, peer = strangers
    done = False
    while not done:
        with contextlib.suppress(ssl.SSLWantReadError):
            peer.tls.do_handshake()
            done = True
        peer.flush()
        while not ours.shake_hands() and not done and not select.select([peer.sock], [], [], 0)[0]:
            readable(ours)
        if not done:
            peer.take()
    while not ours.shake_hands():
        readable(ours)
    with contextlib.suppress(BlockingIOError):
        ours.recv(1)
    return ours, peer


def test_bytes_pass_in_both_directions(ends):
    """Small ones and many, in order, and what OpenSSL has read ahead is given out before anybody waits again."""
    ours, peer = ends
    peer.write(b"a" * 3 * RECORD)
    got = b""
    while len(got) < 3 * RECORD:
        got += readable(ours).recv(65536)
    with pytest.raises(BlockingIOError):
        ours.recv(65536)
    assert not ours.pending
    assert ours.send(b"b" * 2 * RECORD) == RECORD
    assert peer.read(RECORD) == b"b" * RECORD


def test_bytes_count_as_sent_once_the_system_has_them(ends):
    """A peer that takes nothing: the record that did not fit is owed, and its bytes go out once, in order."""
    ours, peer = ends
    data, sent = bytes(range(256)) * 40_000, 0
    with pytest.raises(BlockingIOError):
        while True:
            sent += ours.send(memoryview(data)[sent:])
    assert ours.writing
    assert 0 < sent < len(data)
    with pytest.raises(BlockingIOError):
        ours.send(data[sent:])
    got = b""
    while len(got) < len(data):
        got += peer.read(RECORD)
        with contextlib.suppress(BlockingIOError):
            while sent < len(data):
                sent += ours.send(memoryview(data)[sent:])
    assert got == data


def test_a_goodbye_behind_data_is_heard_without_a_poll(ends):
    """Both come in one piece: first the data, then the end, for which nothing more arrives."""
    ours, peer = ends
    peer.tls.write(b"last words")
    peer.goodbye()
    assert readable(ours).recv(65536) == b"last words"
    assert ours.pending
    assert ours.recv(65536) == b""


def test_an_end_without_a_goodbye_is_a_cut(ends):
    """Whoever closes the connection below, it is not the peer's word."""
    ours, peer = ends
    peer.sock.close()
    with pytest.raises(ConnectionResetError):
        readable(ours).recv(65536)


def test_forged_bytes_break_it(ends):
    """A record that the peer has not made."""
    ours, peer = ends
    peer.sock.sendall(b"\x17\x03\x03\x00\x20" + b"x" * 32)
    with pytest.raises(TlsBroken):
        readable(ours).recv(65536)


def test_after_our_goodbye_what_comes_is_nobodys(ends):
    """It is not decrypted any more, and the peer hears the end."""
    ours, peer = ends
    ours.send(b"answer")
    assert ours.goodbye()
    peer.write(b"more of a body")
    assert len(readable(ours).recv(65536)) > len(b"more of a body")
    assert not ours.pending
    assert peer.read(6) == b"answer"
    with contextlib.suppress(ssl.SSLWantReadError):
        assert peer.tls.read(1) == b""


def test_a_handshake_that_is_none_breaks_at_once(strangers):
    """Plain HTTP at a TLS listener is not waited for any longer, and hears nothing."""
    ours, peer = strangers
    assert not ours.shake_hands()
    peer.sock.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
    with pytest.raises(TlsBroken):
        readable(ours).shake_hands()
    assert not select.select([peer.sock], [], [], 0)[0]
