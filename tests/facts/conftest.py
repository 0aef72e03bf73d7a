"""Keys, and servers that offer them well or badly."""

import json
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
import pytest_twisted
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from cryptography.x509.oid import NameOID
from jwt.algorithms import ECAlgorithm
from twisted.internet import ssl
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site

SILENT = object()


def jwks(*kids):
    """A JWK set with a new P-256 key for each of `kids`."""
    keys = []
    for kid in kids:
        jwk = json.loads(ECAlgorithm.to_jwk(ec.generate_private_key(ec.SECP256R1()).public_key()))
        keys.append({**jwk, "kid": kid, "alg": "ES256", "use": "sig"})
    return json.dumps({"keys": keys}).encode()


def pem():
    """A new P-256 public key in PEM."""
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


class JwksServer(Resource):
    """Answers every GET with `body`, `status` and `headers`; with the body SILENT it takes the request and is mute.

    `bodies` are for the next requests, before `body`.
    """

    isLeaf = True

    def __init__(self):
        super().__init__()
        self.body = jwks("one")
        self.bodies = []
        self.status = 200
        self.headers = {}
        self.requests = []
        self.arrivals = []
        self.gone = Deferred()

    def render_GET(self, request):
        self.requests.append(request)
        request.notifyFinish().addErrback(lambda _: self.gone.called or self.gone.callback(None))
        for arrival in self.arrivals:
            arrival.callback(None)
        self.arrivals = []
        if self.body is SILENT:
            return NOT_DONE_YET
        request.setResponseCode(self.status)
        for name, value in self.headers.items():
            request.setHeader(name, value)
        return self.bodies.pop(0) if self.bodies else self.body

    def arrival(self):
        """Fires when the next request is there."""
        waiting = Deferred()
        self.arrivals.append(waiting)
        return waiting


class RawServer(Protocol):
    """Answers whatever comes with `factory.answer`, and closes unless `factory.endless`: then it goes on for ever."""

    def connectionMade(self):
        self.factory.peers.append(self)

    def dataReceived(self, data):
        if b"\r\n\r\n" in data:
            self.transport.write(self.factory.answer)
            self.factory.answered.callback(None)
            if self.factory.endless:
                self.transport.registerProducer(self, streaming=False)
            elif self.factory.close:
                self.transport.loseConnection()

    def resumeProducing(self):
        self.factory.sent += len(self.factory.endless)
        self.transport.write(self.factory.endless)

    def stopProducing(self):
        self.transport.unregisterProducer()

    def connectionLost(self, reason):
        if not self.factory.gone.called:
            self.factory.gone.callback(None)


class Certificate(NamedTuple):
    """A certificate for localhost that signed itself, and the context of a server that shows it."""

    trust_root: Any
    server: Any


@pytest.fixture(scope="session")
def certificate():
    """A new Certificate."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    built = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
        .public_bytes(Encoding.PEM)
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return Certificate(ssl.Certificate.loadPEM(built), ssl.PrivateCertificate.loadPEM(built + private).options())


@pytest_twisted.async_yield_fixture
async def tls_server(reactor, certificate):
    """A JwksServer that speaks TLS, at `tls_server.url` (https://localhost)."""
    resource = JwksServer()
    port = reactor.listenSSL(0, Site(resource), certificate.server, interface="127.0.0.1")
    resource.url = f"https://localhost:{port.getHost().port}/jwks"
    yield resource
    await port.stopListening()


def _listening(reactor, factory):
    port = reactor.listenTCP(0, factory, interface="127.0.0.1")
    return port, f"http://127.0.0.1:{port.getHost().port}/jwks"


@pytest_twisted.async_yield_fixture
async def server(reactor):
    """A JwksServer at `server.url`."""
    resource = JwksServer()
    resource.port, resource.url = _listening(reactor, Site(resource))
    yield resource
    await resource.port.stopListening()


@pytest_twisted.async_yield_fixture
async def raw_server(reactor):
    """A server of scripted bytes at `raw_server.url`; see RawServer."""
    factory = Factory.forProtocol(RawServer)
    factory.peers, factory.sent, factory.gone, factory.answered = [], 0, Deferred(), Deferred()
    factory.answer, factory.endless, factory.close = b"", b"", True
    port, factory.url = _listening(reactor, factory)
    yield factory
    await port.stopListening()
    for peer in factory.peers:
        peer.transport.abortConnection()


@pytest.fixture
def clock():
    """Time that only moves when the test says so."""
    return Clock()


@pytest.fixture
def make():
    """Makers of keys: `make.jwks(*kids)` and `make.pem()`; and SILENT."""
    return SimpleNamespace(jwks=jwks, pem=pem, SILENT=SILENT)
