"""Factories of other packages that do not keep to what they promise."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from zope.interface import implementer

from couchgate.facts import sources
from couchgate.facts.keyfile import FileKeys
from couchgate.facts.sources import key_source
from couchgate.interfaces import IKeySourceFactory, KeyRequest


@implementer(IKeySourceFactory)
class Factory:
    def __init__(self, kind, make):
        self.kind = kind
        self._make = make

    def source(self, request, reactor):
        return self._make(request, reactor)


@pytest.fixture
def offered(monkeypatch):
    """What is installed, as a list to fill."""
    factories = []
    monkeypatch.setattr(sources, "getPlugins", lambda _interface: iter(factories))
    return factories


@pytest.fixture
def settings():
    rules = SimpleNamespace(algorithms=frozenset({"ES256"}), issuer="https://id.example.com/")
    return SimpleNamespace(source="own", keys="a:b", rules=rules, folder=Path("/etc/couchgate"), stale_seconds=300.0)


def test_a_factory_learns_all_that_the_settings_say(offered, settings, clock):
    """It gets argument, algorithms, issuer, folder and reactor, and what it makes is the source."""
    asked = []
    made = FileKeys(Path("keys"), ("ES256",), clock)
    offered.append(Factory("own", lambda *asking: asked.append(asking) or made))
    assert key_source(settings, clock) is made
    request = KeyRequest("a:b", frozenset({"ES256"}), "https://id.example.com/", Path("/etc/couchgate"))
    assert asked == [(request, clock)]


def test_a_factory_that_makes_something_else_is_refused(offered, settings, clock):
    """What provides no IKeySource is never asked for keys."""
    offered.append(Factory("own", lambda *_: object()))
    with pytest.raises(ValueError, match="is no IKeySource"):
        key_source(settings, clock)


def test_two_packages_with_one_kind_are_refused(offered, settings, clock):
    """It is not left to chance whose keys are taken."""
    offered += [Factory("own", lambda *_: None), Factory("own", lambda *_: None)]
    with pytest.raises(ValueError, match='two installed packages offer the kind of source "own"'):
        key_source(settings, clock)


@pytest.mark.parametrize("kind", ["file", "url", "oidc", "https", "a", "Own", "o-n", "", None, 7])
def test_a_kind_that_cannot_be_written_is_passed_over(offered, settings, clock, log_events, kind):
    """A plugin with such a kind is named in the log, and takes nothing over."""
    offered.append(Factory(kind, lambda *_: None))
    with pytest.raises(ValueError, match=r"offered: none"):
        key_source(settings, clock)
    assert [event["kind"] for event in log_events if "kind" in event] == [kind]


def test_a_factory_that_breaks_is_one_sentence(offered, settings, clock):
    """Whatever it raises, the operator reads one sentence without the exception's text, which may hold anything."""

    def broken(*_):
        raise KeyError("hunter2")

    offered.append(Factory("own", broken))
    with pytest.raises(ValueError, match=r'the plugin for "own" broke \(KeyError\)') as caught:
        key_source(settings, clock)
    assert "hunter2" not in str(caught.value)
