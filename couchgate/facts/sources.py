"""From an issuer's settings to the source of its keys: a file, a URL, OIDC discovery, or another package's kind."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from twisted.logger import Logger
from twisted.plugin import getPlugins

from couchgate.core.token import TokenRules
from couchgate.facts.bounded import bounded_agent
from couchgate.facts.discovery import DiscoveredJwks
from couchgate.facts.jwks import MAX_BYTES, JwksLoader, JwksUrl
from couchgate.facts.keyfile import FileKeys
from couchgate.facts.keystore import KeyStore
from couchgate.facts.keyurl import UrlKeys
from couchgate.interfaces import IKeySource, IKeySourceFactory, KeyRequest

_KIND = re.compile(r"[a-z][a-z0-9_]+")
_BUILT_IN = ("file", "url", "oidc")
_log = Logger()


class KeySettings(Protocol):
    """What `key_source` reads of an issuer's settings."""

    @property
    def source(self) -> str:
        """Which kind of source: "url", "file", "oidc", or a kind of another package."""

    @property
    def keys(self) -> str:
        """The URL, the path, the issuer, or the argument."""

    @property
    def rules(self) -> TokenRules:
        """Whose algorithms the keys are for, and whose issuer it is."""

    @property
    def stale_seconds(self) -> float:
        """How long after they were loaded keys by URL may be used."""

    @property
    def folder(self) -> Path:
        """Where relative paths in an argument start."""


def key_source(
    issuer: KeySettings,
    reactor: Any,
    store: KeyStore | None = None,
    *,
    heard: Callable[[str], None] | None = None,
) -> IKeySource:
    """The source of one issuer's keys, not started. Sets that are loaded from servers are kept in `store`.

    `heard` is told the `Date` of each set that a server sent, as it came: empty if there was none.

    Raises ValueError if there can be no such source; the text ends a sentence that began with the settings key.
    """
    rules, kind = issuer.rules, issuer.source
    if kind == "file":
        return FileKeys(Path(issuer.keys), rules.algorithms, reactor)
    if kind not in _BUILT_IN:
        request = KeyRequest(issuer.keys, rules.algorithms, rules.issuer, issuer.folder)
        return _plugged_in(kind, request, reactor)
    agent = bounded_agent(reactor, MAX_BYTES)
    of_kind = JwksUrl if kind == "url" else DiscoveredJwks
    loader: JwksLoader = of_kind(issuer.keys, agent, reactor)
    algorithms = sorted(rules.algorithms)
    shelf = None if store is None else store.shelf(kind, issuer.keys, rules.issuer, *algorithms)
    return UrlKeys(loader, algorithms, reactor, shelf=shelf, stale_seconds=issuer.stale_seconds, heard=heard)


def _plugged_in(kind: str, request: KeyRequest, reactor: Any) -> IKeySource:
    """Raises ValueError."""
    factories = _factories()
    if kind not in factories:
        offered = ", ".join(sorted(factories)) or "none"
        raise ValueError(
            f'names the kind of source "{kind}", which no installed package offers (offered: {offered}); write a URL, '
            '"oidc", or a file as it is (with ./ before a name that has a colon)'
        )
    try:
        source = factories[kind].source(request, reactor)
    except ValueError:
        raise
    except Exception as error:
        raise ValueError(f'cannot be used: the plugin for "{kind}" broke ({type(error).__name__})') from error
    if not IKeySource.providedBy(source):
        raise ValueError(f'cannot be used: what the plugin for "{kind}" made is no IKeySource')
    return source


def _factories() -> dict[str, IKeySourceFactory]:
    """Those of all installed packages, by kind. Raises ValueError where two offer the same kind."""
    found: dict[str, IKeySourceFactory] = {}
    for factory in getPlugins(IKeySourceFactory):
        kind = factory.kind
        if not isinstance(kind, str) or not _KIND.fullmatch(kind) or kind in (*_BUILT_IN, "http", "https"):
            _log.warn("a key source plugin is passed over: {kind!a} may not be its kind", kind=kind)
        elif kind in found:
            raise ValueError(f'cannot be read: two installed packages offer the kind of source "{kind}"; remove one')
        else:
            found[kind] = factory
    return found
