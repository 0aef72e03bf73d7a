"""CouchDB by https: verified by certificate and name, or not spoken to at all."""

import json
import ssl
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from tests.web.live import HELLO, running_gate
from tests.web.sockets import PATIENCE, Stream, Upstream


class Authority(NamedTuple):
    """A certificate authority: its certificate's file, and contexts of servers with certificates of it, by name."""

    path: str
    contexts: dict


def certificate(name, issuer, key, signer, *, authority):
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder(issuer, x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        .sign(signer, hashes.SHA256())
        .public_bytes(Encoding.PEM)
    )


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    """A new Authority with servers for localhost and for another name."""
    folder = tmp_path_factory.mktemp("tls")
    root = ec.generate_private_key(ec.SECP256R1())
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "authority")])
    path = folder / "authority.pem"
    path.write_bytes(certificate("authority", issuer, root, root, authority=True))
    contexts = {}
    for name in ("localhost", "other.example.com"):
        key = ec.generate_private_key(ec.SECP256R1())
        chain = folder / f"{name}.pem"
        chain.write_bytes(
            certificate(name, issuer, key, root, authority=False)
            + key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        )
        contexts[name] = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        contexts[name].load_cert_chain(chain)
    return Authority(str(path), contexts)


class SecureUpstream(Upstream):
    """An Upstream by https."""

    def __init__(self, context):
        super().__init__()
        self.url = f"https://localhost:{self.port}"
        self._context = context

    def accept(self):
        """The gate's next connection, after its handshake."""
        self._listener.settimeout(PATIENCE)
        sock, address = self._listener.accept()
        sock.settimeout(PATIENCE)
        peer = Stream(self._context.wrap_socket(sock, server_side=True), address)
        self._peers.append(peer)
        return peer


def refused_handshake(upstream):
    """Take the gate's next connection and see it fail before any of a request comes."""
    with pytest.raises((ssl.SSLError, ConnectionResetError)):
        assert upstream.accept().sock.recv(1) == b""
        raise ssl.SSLError  # an orderly end will do as well


@pytest.fixture(scope="module")
def started(authority):
    upstream = SecureUpstream(authority.contexts["localhost"])
    with running_gate(upstream, env={"SSL_CERT_FILE": authority.path}) as gate:
        yield gate, upstream
    upstream.close()


@pytest.fixture
def secure_gate(started):
    """A gate that trusts its upstream, and the upstream."""
    yield started
    started[1].settle()


@pytest.mark.parametrize("mode", ["keepalive", "close"])
def test_a_verified_upstream_serves_in_both_directions(secure_gate, mode):
    """With the authority trusted, exchanges work, large bodies included, and connections are kept in mode keepalive."""
    gate, upstream = secure_gate
    data = bytes(range(256)) * 4000
    client = gate.client("PUT", "/db/doc/a", f"Content-Length: {len(data)}", mode=mode)
    client.send(data)
    peer = upstream.accept()
    assert peer.message().body == data
    peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(data), data)
    assert client.message().body == data
    again = gate.client("GET", "/db/doc", mode=mode)
    if mode == "close":
        peer = upstream.accept()
    peer.message()
    peer.send(HELLO)
    assert again.message().status == 200


@pytest.mark.parametrize("mode", ["keepalive", "close"])
def test_a_body_that_ends_with_a_goodbye_is_whole(secure_gate, mode):
    """An answer without a length ends with TLS's own close, which cannot be forged: the client has it whole."""
    gate, upstream = secure_gate
    client = gate.client("GET", "/db/doc", mode=mode)
    peer, _ = upstream.exchange(b"HTTP/1.1 200 OK\r\n\r\nhello")
    client.peek()
    peer.sock.unwrap()
    answer = client.answer()
    assert (answer.body, answer.framing) == (b"hello", "close")


@pytest.mark.parametrize("framing", [b"", b"Content-Length: 100\r\n", b"Transfer-Encoding: chunked\r\n"])
def test_a_body_that_is_cut_off_never_looks_whole(secure_gate, framing):
    """The connection ends without TLS's goodbye: the client is cut, too."""
    gate, upstream = secure_gate
    client = gate.client("GET", "/db/doc")
    begun = b"5\r\nhello\r\n" if b"chunked" in framing else b"hello"
    peer, _ = upstream.exchange(b"HTTP/1.1 200 OK\r\n" + framing + b"\r\n" + begun)
    client.until(b"hello")
    peer.close()
    assert client.ending()[0] == "reset"


@pytest.mark.parametrize("trusted", [True, False])
def test_who_is_not_couchdb_hears_nothing(authority, trusted):
    """A certificate for another name, or of an authority that is not trusted: 503, and no byte of a request is sent."""
    upstream = SecureUpstream(authority.contexts["other.example.com" if trusted else "localhost"])
    env = {"SSL_CERT_FILE": authority.path} if trusted else {}
    upstream.looked_at = lambda: refused_handshake(upstream)  # the gate's first look fails already
    with running_gate(upstream, env=env) as gate:
        for method in ("GET", "POST"):
            client = gate.client(method, "/db/doc")
            refused_handshake(upstream)
            answer = client.message()
            assert (answer.status, json.loads(answer.body)["error"]) == (503, "service_unavailable")
            assert answer.first(b"retry-after")
            assert upstream.untouched
    upstream.close()
