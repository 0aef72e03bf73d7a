"""All keys under one owner."""

from types import MappingProxyType, SimpleNamespace

import pytest
from pytest_twisted import ensureDeferred
from twisted.internet.defer import CancelledError, Deferred, fail
from zope.interface import implementer
from zope.interface.verify import verifyObject

from couchgate.core.keys import KeySet
from couchgate.facts.bounded import bounded_agent
from couchgate.facts.jwks import JwksUrl
from couchgate.facts.keyfile import FileKeys
from couchgate.facts.keyring import KeyRing, KeyState
from couchgate.facts.keyurl import UrlKeys
from couchgate.facts.sources import key_source
from couchgate.interfaces import IKeySource


@implementer(IKeySource)
class PluggedSource:
    """A source of somebody else, whose Deferreds the test holds in its hand."""

    description = "plugged"
    kind = "plugged"
    problem = None
    loaded_at = None
    attempts = failures = 0

    def __init__(self):
        self.changed = lambda: None
        self.keys = None
        self.waits = []
        self.asked = []
        self.stops = 0

    def current(self):
        return self.keys

    def start(self):
        return self._wait()

    def refresh(self, kid):
        self.asked.append(kid)
        return self._wait()

    def stop(self):
        self.stops += 1

    def _wait(self):
        self.waits.append(Deferred())
        return self.waits[-1]


@pytest.fixture
def source():
    return PluggedSource()


@pytest.fixture
def ring(source, clock):
    ring = KeyRing({"issuers[0]": source}, clock, patience=15)
    ring.startService()
    yield ring
    if ring.running:
        ring.stopService()
    assert clock.getDelayedCalls() == []


def test_the_snapshot_is_immutable_and_replaced_on_change(ring, source, make):
    """Every change of a set gives a new mapping; without a change it stays the identical one."""
    empty = ring.keysets
    assert dict(empty) == {}
    source.keys = KeySet.from_jwks(make.jwks("one"), ("ES256",))
    source.changed()
    first = ring.keysets
    assert first == {"issuers[0]": source.keys}
    assert isinstance(first, MappingProxyType)
    source.changed()
    assert ring.keysets is first
    source.keys = KeySet.from_jwks(make.jwks("one"), ("ES256",))
    source.changed()
    assert ring.keysets is not first
    assert dict(empty) == {}


def test_readiness_names_what_is_missing_and_why(ring, source, make):
    """A source without keys is missing by its description; a problem shows even while old keys serve."""
    assert ring.missing() == ("plugged",)
    source.problem = "It is down."
    source.keys = KeySet.from_jwks(make.jwks("one"), ("ES256",))
    assert ring.missing() == ()
    assert ring.problems() == ("It is down.",)


def test_states_tell_how_the_keys_of_each_issuer_are(source, clock, make):
    """One line for each issuer, with what its source tells of itself."""
    other = PluggedSource()
    issuers = {"issuers[0]": "https://id.example.com/", "issuers[1]": "https://other.example.com/"}
    ring = KeyRing({"issuers[0]": source, "issuers[1]": other}, clock, issuers=issuers)
    source.keys = KeySet.from_jwks(make.jwks("one", "two"), ("ES256",))
    source.loaded_at, source.attempts, source.failures = 1763700000.0, 3, 1
    other.problem = "It is down."
    assert ring.states() == (
        KeyState("issuers[0]", "https://id.example.com/", "plugged", 2, 1763700000.0, 3, 1, None),
        KeyState("issuers[1]", "https://other.example.com/", "plugged", 0, None, 0, 0, "It is down."),
    )


def test_a_younger_ring_takes_sources_over_while_they_run(ring, source, clock, make):
    """Both rings see each change while both run; the elder's end stops only what the younger has not got."""
    gone = PluggedSource()
    elder = KeyRing({"issuers[0]": source, "issuers[1]": gone}, clock, elder=ring)
    elder.startService()
    younger = KeyRing({"issuers[5]": source}, clock, elder=elder)
    younger.startService()
    source.keys = KeySet.from_jwks(make.jwks("one"), ("ES256",))
    source.changed()
    assert elder.keysets == {"issuers[0]": source.keys}
    assert younger.keysets == {"issuers[5]": source.keys}
    elder.stopService()
    assert (source.stops, gone.stops) == (0, 1)
    source.keys = KeySet.from_jwks(make.jwks("two"), ("ES256",))
    source.changed()
    assert younger.keysets == {"issuers[5]": source.keys}
    assert elder.keysets != {"issuers[0]": source.keys}
    ring.stopService()
    assert source.stops == 0
    younger.stopService()
    assert source.stops == 1


def test_a_younger_ring_that_is_given_up_gives_its_sources_back(ring, source, clock, make):
    """Settings that turn out wrong late leave the running ring with its sources."""
    younger = KeyRing({"issuers[0]": source, "issuers[1]": PluggedSource()}, clock, elder=ring)
    younger.startService()
    younger.stopService()
    assert (source.stops, younger.sources["issuers[1]"].stops) == (0, 1)
    source.keys = KeySet.from_jwks(make.jwks("one"), ("ES256",))
    source.changed()
    assert ring.keysets == {"issuers[0]": source.keys}


def test_loading_ends_with_the_first_loads(ring, source, make):
    """Who waits for the keys of a new ring waits until each source has tried, and not for what is there."""
    loading = ring.loading()
    assert not loading.called
    source.waits[-1].callback(None)
    assert loading.called
    source.keys = KeySet.from_jwks(make.jwks("one"), ("ES256",))
    assert ring.loading().called


def test_refresh_asks_the_issuer_s_own_source(ring, source):
    """The source learns the key id, and the wait ends with its load."""
    waiting = ring.refresh("issuers[0]", "two")
    assert source.asked == ["two"]
    assert not waiting.called
    source.waits[-1].callback(None)
    assert waiting.called


def test_refresh_of_unknown_rules_ends_at_once(ring, source):
    """Rules without a source have nothing to wait for."""
    assert ring.refresh("issuers[7]", "two").called
    assert source.asked == []


def test_no_wait_is_longer_than_patience(ring, source, clock):
    """A source that never answers holds a request for 15 seconds and not longer."""
    waiting = ring.refresh("issuers[0]", None)
    clock.advance(14.9)
    assert not waiting.called
    clock.advance(0.1)
    assert waiting.called
    assert waiting.result is None


def test_a_source_that_fails_against_its_promise_harms_nobody(ring, source, log_events):
    """The failure is one line in the log, and the wait ends well."""
    waiting = ring.refresh("issuers[0]", None)
    source.waits[-1].errback(ValueError("out of keys"))
    assert waiting.result is None
    assert [event["problem"] for event in log_events if "problem" in event] == ["out of keys"]


@ensureDeferred
async def test_who_gives_up_hears_of_it(ring):
    """A cancelled wait ends with CancelledError for its caller."""
    waiting = ring.refresh("issuers[0]", None)
    waiting.cancel()
    with pytest.raises(CancelledError):
        await waiting


def test_stopping_lets_everybody_go(ring, source):
    """After `stopService` no wait is open, and another refresh asks nobody."""
    waiting = ring.refresh("issuers[0]", None)
    ring.stopService()
    assert waiting.called
    assert waiting.result is None
    assert ring.refresh("issuers[0]", None).called
    assert len(source.asked) == 1


def test_a_start_that_fails_is_no_unhandled_error(clock, source):
    """A source whose start fails against its promise leaves a running ring without keys."""
    source.start = lambda: fail(ValueError("no"))
    assert verifyObject(IKeySource, source)
    ring = KeyRing({"issuers[0]": source}, clock)
    ring.startService()
    assert ring.missing() == ("plugged",)
    ring.stopService()


@ensureDeferred
async def test_real_sources_side_by_side(server, reactor, clock, tmp_path, make):
    """Keys from a file are there when the ring has started, keys by URL when their server has answered."""
    path = tmp_path / "keys.pem"
    path.write_bytes(make.pem())
    sources = {
        "file": FileKeys(path, ("ES256",), clock),
        "url": UrlKeys(JwksUrl(server.url, bounded_agent(reactor, 1 << 20), clock), ("ES256",), clock),
    }
    ring = KeyRing(sources, clock)
    ring.startService()
    assert set(ring.keysets) == {"file"}
    assert ring.missing() == (server.url,)
    before = ring.keysets
    await ring.refresh("url", "one")
    assert set(ring.keysets) == {"file", "url"}
    assert ring.keysets is not before
    assert ring.missing() == ring.problems() == ()
    path.write_bytes(make.pem())
    clock.advance(2)
    assert ring.keysets["file"] is not before["file"]
    ring.stopService()
    assert clock.getDelayedCalls() == []


@pytest.mark.parametrize(
    ("source", "keys", "kind"),
    [
        ("url", "https://id.example.com/jwks", UrlKeys),
        ("oidc", "https://id.example.com", UrlKeys),
        ("file", "/etc/keys.pem", FileKeys),
    ],
)
def test_settings_choose_the_source(clock, source, keys, kind):
    """An issuer's settings give a source by URL, by discovery or from a file."""
    rules = SimpleNamespace(algorithms=frozenset({"ES256"}), issuer="https://id.example.com")
    settings = SimpleNamespace(source=source, keys=keys, rules=rules, stale_seconds=300.0)
    made = key_source(settings, clock)
    assert (type(made), made.kind) == (kind, source)
    assert made.description.startswith(keys)
