"""From an issuer's settings to the source of its keys."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

from couchgate.core.token import TokenRules
from couchgate.facts.bounded import bounded_agent
from couchgate.facts.jwks import MAX_BYTES, JwksUrl
from couchgate.facts.keyfile import FileKeys
from couchgate.facts.keyurl import UrlKeys
from couchgate.interfaces import IKeySource


class KeySettings(Protocol):
    """What `key_source` reads of an issuer's settings."""

    @property
    def source(self) -> str:
        """Which kind of source: "url" or "file"."""

    @property
    def keys(self) -> str:
        """The URL or the path."""

    @property
    def rules(self) -> TokenRules:
        """Whose algorithms the keys are for."""


def key_source(issuer: KeySettings, reactor: Any) -> IKeySource:
    """The source of one issuer's keys. Raises ValueError with one sentence for a URL that keys may not come from."""
    if issuer.source == "url":
        loader = JwksUrl(issuer.keys, bounded_agent(reactor, MAX_BYTES), reactor)
        return UrlKeys(loader, issuer.rules.algorithms, reactor)
    return FileKeys(Path(issuer.keys), issuer.rules.algorithms, reactor)
