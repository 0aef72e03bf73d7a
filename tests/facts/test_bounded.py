"""Servers that offer keys by https, with certificates of an authority that is trusted."""

import pytest
import pytest_twisted
from pytest_twisted import ensureDeferred
from twisted.internet import ssl
from twisted.logger import formatEvent
from twisted.web.client import BrowserLikePolicyForHTTPS
from twisted.web.server import Site

from couchgate.facts.bounded import bounded_agent
from couchgate.facts.jwks import JwksUrl
from couchgate.facts.keyurl import UrlKeys
from tests.facts.conftest import JwksServer
from tests.upstream.certificates import Authority


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path)


@pytest_twisted.async_yield_fixture
async def serve(reactor, authority):
    """Makes a JwksServer whose certificate is for `names`, at `server.url` of `host`."""
    ports = []

    def serving(*names, host):
        server = JwksServer()
        context = ssl.PrivateCertificate.loadPEM(b"".join(authority.pair(*names))).options()
        ports.append(reactor.listenSSL(0, Site(server), context, interface="127.0.0.1"))
        server.url = f"https://{host}:{ports[-1].getHost().port}/jwks"
        return server

    yield serving
    for port in ports:
        await port.stopListening()


@pytest.fixture
def twisted_may_log(log_events):
    """Takes out of the log what Twisted says there of a certificate instead of refusing it."""
    yield
    log_events[:] = [event for event in log_events if "while verifying certificate" not in formatEvent(event)]


@pytest.fixture
def source_of(reactor, clock, authority):
    """Makes a source of keys that trusts the authority."""

    def made(server):
        policy = BrowserLikePolicyForHTTPS(trustRoot=ssl.Certificate.loadPEM(authority.path.read_bytes()))
        return UrlKeys(JwksUrl(server.url, bounded_agent(reactor, 1 << 20, policy), clock), ("ES256",), clock)

    return made


@pytest.mark.usefixtures("twisted_may_log")
@pytest.mark.parametrize(
    ("host", "names"),
    [("localhost", ()), ("localhost", ("lo*lhost.*",)), ("localhost", ("other.test",)), ("127.0.0.1", ("localhost",))],
)
@ensureDeferred
async def test_a_certificate_without_the_name_gives_no_keys(serve, source_of, host, names):
    """No name at all, a wildcard that means nothing, another name: no keys, and the server is asked for nothing."""
    server = serve(*names, host=host)
    source = source_of(server)
    await source.start()
    source.stop()
    assert source.current() is None
    assert source.problem
    assert server.requests == []


@pytest.mark.usefixtures("twisted_may_log")
@ensureDeferred
async def test_why_a_certificate_is_refused_is_said(serve, source_of):
    """What Twisted alone would accept is refused in words that a person understands."""
    source = source_of(serve(host="localhost"))
    await source.start()
    source.stop()
    assert "its certificate is not for the host in the URL" in source.problem


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
@ensureDeferred
async def test_a_certificate_with_the_name_gives_keys(serve, source_of, host):
    """A name or an address that the certificate has is enough."""
    source = source_of(serve(host, host=host))
    await source.start()
    source.stop()
    assert source.problem is None
    assert source.current().find("one", "ES256")
