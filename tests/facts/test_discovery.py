"""Keys by OpenID Connect Discovery: what the issuer says of itself, and what of it is believed."""

import json

import pytest
import pytest_twisted
from pytest_twisted import ensureDeferred
from twisted.web.client import BrowserLikePolicyForHTTPS
from twisted.web.resource import Resource
from twisted.web.server import Site

from couchgate.facts.bounded import bounded_agent
from couchgate.facts.discovery import DiscoveredJwks
from couchgate.facts.keyurl import UrlKeys
from couchgate.interfaces import IKeySource


class IssuerServer(Resource):
    """Answers by path: `pages` maps a path to (status, headers, body); `asked` are the paths so far."""

    isLeaf = True

    def __init__(self):
        super().__init__()
        self.pages = {}
        self.asked = []

    def render_GET(self, request):
        path = request.uri.decode()
        self.asked.append(path)
        status, headers, body = self.pages.get(path, (404, {}, b""))
        request.setResponseCode(status)
        for name, value in headers.items():
            request.setHeader(name, value)
        return body

    def configure(self, issuer, path="/.well-known/openid-configuration", headers=None, **members):
        self.pages[path] = (200, headers or {}, json.dumps({"issuer": issuer, **members}).encode())


WELL_KNOWN = "/.well-known/openid-configuration"


@pytest_twisted.async_yield_fixture
async def issuer(reactor, make):
    """An issuer at `issuer.url` with its keys at /jwks."""
    resource = IssuerServer()
    port = reactor.listenTCP(0, Site(resource), interface="127.0.0.1")
    resource.base = f"http://127.0.0.1:{port.getHost().port}"
    resource.url = resource.base + "/"
    resource.pages["/jwks"] = (200, {}, make.jwks("one"))
    resource.configure(resource.url, jwks_uri=resource.base + "/jwks")
    yield resource
    await port.stopListening()


@pytest.fixture
def open_source(reactor, clock):
    sources = []

    def opened(url, **options):
        loader = DiscoveredJwks(url, bounded_agent(reactor, 1 << 20), clock, **options)
        sources.append(UrlKeys(loader, ("ES256",), clock, cooldown=0))
        return sources[-1]

    yield opened
    for source in sources:
        source.stop()
    assert clock.getDelayedCalls() == []


@ensureDeferred
async def test_the_keys_are_where_the_configuration_says(issuer, open_source):
    """The source of kind oidc asks for the configuration, then for the keys, and says where it began."""
    from zope.interface.verify import verifyObject

    source = open_source(issuer.url)
    assert verifyObject(IKeySource, source)
    await source.start()
    assert source.current().find("one", "ES256")
    assert (source.kind, source.problem) == ("oidc", None)
    assert source.description == issuer.base + WELL_KNOWN
    assert issuer.asked == [WELL_KNOWN, "/jwks"]


@pytest.mark.parametrize(
    ("path", "asked"), [("", WELL_KNOWN), ("/realms/a", f"/realms/a{WELL_KNOWN}"), ("/a/", f"/a{WELL_KNOWN}")]
)
@ensureDeferred
async def test_one_slash_at_the_issuer_s_end_makes_no_difference_to_the_address(issuer, open_source, path, asked):
    """The well-known path is appended to the issuer less a slash at its end; the issuer is compared with it."""
    issuer.configure(issuer.base + path, asked, jwks_uri=issuer.base + "/jwks")
    source = open_source(issuer.base + path)
    await source.start()
    assert source.current() is not None
    assert issuer.asked == [asked, "/jwks"]


@pytest.mark.parametrize(
    "said", ["https://evil.example.com/", "{base}", "{base}//", "{BASE}/", "", None, 7, ["{base}/"]]
)
@ensureDeferred
async def test_the_configuration_of_another_issuer_is_refused(issuer, open_source, said):
    """What is not exactly the configured issuer names no keys, not even by a slash."""
    if type(said) is str:
        said = said.format(base=issuer.base, BASE=issuer.base.upper())
    issuer.configure(said, jwks_uri=issuer.base + "/jwks")
    source = open_source(issuer.url)
    await source.start()
    assert source.current() is None
    assert "letter by letter" in source.problem
    assert issuer.url in source.problem
    assert issuer.asked == [WELL_KNOWN]


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        (None, "has no jwks_uri"),
        (7, "has no jwks_uri"),
        ("http://id.example.com/jwks", "must begin with https://"),
        ("http://169.254.169.254/latest", "must begin with https://"),
        ("file:///etc/passwd", "must be https://HOST/PATH"),
        ("https://me:hunter2@id.example.com/jwks", "must be https://HOST/PATH"),
        ("https://[::1/jwks", "must be https://HOST/PATH"),
        ("https://id.example.com:99999/jwks", "must be https://HOST/PATH"),
        ("https://id.example.com/j wks", "must be https://HOST/PATH"),
        ("/jwks", "must be https://HOST/PATH"),
    ],
)
@ensureDeferred
async def test_a_jwks_uri_that_keys_may_not_come_from_is_refused(issuer, open_source, uri, said):
    """The same rules hold for the address in the configuration as for one in the settings."""
    issuer.configure(issuer.url, jwks_uri=uri)
    source = open_source(issuer.url)
    await source.start()
    assert said in source.problem
    assert "hunter2" not in source.problem
    assert source.current() is None


@pytest.mark.parametrize(
    ("page", "said"),
    [
        ((404, {}, b"{}"), "status 404"),
        ((302, {"Location": "/other"}, b""), "redirect (302)"),
        ((200, {}, b"<html>"), "no OpenID configuration"),
        ((200, {}, b"[]"), "no OpenID configuration"),
        ((200, {}, b"[" * 100_000), "no OpenID configuration"),
        ((200, {}, b'{"issuer": 1, "issuer": 2}'), "no OpenID configuration"),
        ((200, {}, b"\xff"), "no OpenID configuration"),
        ((200, {}, b" " * ((1 << 20) + 1)), "longer than 1048576 bytes"),
    ],
)
@ensureDeferred
async def test_a_configuration_that_is_none_is_a_problem(issuer, open_source, page, said):
    """Whatever comes instead of a configuration: no keys, and one sentence."""
    issuer.pages[WELL_KNOWN] = page
    source = open_source(issuer.url)
    await source.start()
    assert said in source.problem
    assert source.problem.isprintable()


@pytest.mark.parametrize(
    ("control", "known"),
    [(None, 86400), ("max-age=7200", 7200), ("no-store", 3600), ("max-age=1", 3600), ("max-age=99999999", 86400)],
)
@ensureDeferred
async def test_the_configuration_is_asked_for_rarely(issuer, open_source, clock, control, known):
    """It is remembered as Cache-Control says, for an hour at least and a day at most."""
    headers = {} if control is None else {"Cache-Control": control}
    issuer.configure(issuer.url, headers=headers, jwks_uri=issuer.base + "/jwks")
    source = open_source(issuer.url)
    await source.start()
    clock.rightNow += known - 1
    await source.refresh("two")
    assert issuer.asked == [WELL_KNOWN, "/jwks", "/jwks"]
    clock.rightNow += 1
    await source.refresh("two")
    assert issuer.asked == [WELL_KNOWN, "/jwks", "/jwks", WELL_KNOWN, "/jwks"]


@ensureDeferred
async def test_keys_that_moved_are_found_in_one_load(issuer, open_source, make):
    """When the keys are not where they were, the configuration is asked again before anybody is refused."""
    source = open_source(issuer.url)
    await source.start()
    del issuer.pages["/jwks"]
    issuer.pages["/moved"] = (200, {}, make.jwks("two"))
    issuer.configure(issuer.url, jwks_uri=issuer.base + "/moved")
    await source.refresh("two")
    assert source.current().find("two", "ES256")
    assert (source.problem, source.failures) == (None, 0)


@ensureDeferred
async def test_keys_that_left_a_page_behind_are_found_by_the_next_load(issuer, open_source, make):
    """When something else is where the keys were, the next load asks for the configuration."""
    source = open_source(issuer.url)
    await source.start()
    issuer.pages["/jwks"] = (200, {}, b"<html>We moved")
    issuer.pages["/moved"] = (200, {}, make.jwks("two"))
    issuer.configure(issuer.url, jwks_uri=issuer.base + "/moved")
    await source.refresh("two")
    assert "no keys to use" in source.problem
    await source.refresh("two")
    assert source.current().find("two", "ES256")


@ensureDeferred
async def test_a_jwks_uri_that_fails_is_named(issuer, open_source):
    """The problem says at which step it is, and the keys loaded before stay."""
    source = open_source(issuer.url)
    await source.start()
    issuer.pages["/jwks"] = (500, {}, b"")
    await source.refresh("two")
    assert f"at its jwks_uri {issuer.base}/jwks: the server answered with status 500" in source.problem
    assert source.current().find("one", "ES256")


@pytest.mark.parametrize(
    "url", ["http://id.example.com/", "https://id.example.com/?a", "https://id.example.com/#a", "id"]
)
def test_an_issuer_that_is_no_address_is_refused(reactor, clock, url):
    """Discovery needs an issuer that is a URL with https, or http on this machine."""
    with pytest.raises(ValueError, match=r"the issuer must"):
        DiscoveredJwks(url, bounded_agent(reactor, 1 << 20), clock)


@ensureDeferred
async def test_an_issuer_by_https_cannot_send_the_gate_to_http(tls_server, certificate, reactor, clock, issuer):
    """A configuration that came by https names keys by https only, also on this machine."""
    policy = BrowserLikePolicyForHTTPS(trustRoot=certificate.trust_root)
    url = tls_server.url.removesuffix("/jwks")
    tls_server.body = json.dumps({"issuer": url, "jwks_uri": issuer.base + "/jwks"}).encode()
    loader = DiscoveredJwks(url, bounded_agent(reactor, 1 << 20, policy), clock)
    source = UrlKeys(loader, ("ES256",), clock)
    await source.start()
    source.stop()
    assert "is not https, as the configuration is" in source.problem
    assert issuer.asked == []
