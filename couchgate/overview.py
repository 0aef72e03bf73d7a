"""What the service shows of itself: a tally for each listener, the last refusals, and the pages that tell of them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from importlib.metadata import version
from typing import Protocol

from couchgate.core import gate as core_gate
from couchgate.core.gate import Gate
from couchgate.endpoints import Endpoint
from couchgate.endpoints.metrics import Metrics
from couchgate.endpoints.refusals import RefusalsPage, SyncsPage
from couchgate.facts.keyring import KeyRing
from couchgate.life.recording import Recording
from couchgate.settings import Settings
from couchgate.sight.exposition import CONTENT_TYPE, Exposition, Listener, Pool, Present, Recorder, Reloads
from couchgate.sight.refusals import Refusals
from couchgate.sight.tally import Tally
from couchgate.upstream.pool import UpstreamPool

_SHORT = re.compile(r"(?:tcp6?|ssl|tls|unix):[^:=]+(?=:|$)")


class Site(Protocol):
    """What serves a listener's connections."""

    @property
    def connections(self) -> int: ...
    @property
    def feeds(self) -> list[tuple[str, str]]: ...


class Watched(Protocol):
    """The gate's parts as they are now; a reload may replace each of them."""

    @property
    def settings(self) -> Settings: ...
    @property
    def gate(self) -> Gate: ...
    @property
    def keyring(self) -> KeyRing: ...
    @property
    def pool(self) -> UpstreamPool: ...
    @property
    def reloads(self) -> Reloads: ...
    @property
    def recording(self) -> Recording: ...

    def listening(self) -> Iterable[tuple[str, Site]]:
        """The endpoint string and the site of each listener, those that are still draining too."""


class Overview:
    """Looks at `watched` when it is asked. `wall` gives seconds since the epoch.

    `endpoints` are the pages for administrators, by name.
    """

    def __init__(self, watched: Watched, wall: Callable[[], float]) -> None:
        self._watched = watched
        self._wall = wall
        self._tallies: dict[str, Tally] = {}
        self.refusals = Refusals()
        self.endpoints: dict[str, Endpoint] = {
            "metrics": Metrics(Exposition(self.present), CONTENT_TYPE),
            "refusals": RefusalsPage(self.refusals.latest),
            "syncs": SyncsPage(lambda: [(listener.name, listener.syncs) for listener in self._listeners(self._wall())]),
        }

    def tally(self, endpoint: str) -> Tally:
        """The numbers of the listener at this endpoint, from its first request on, whatever is reloaded."""
        tally = self._tallies.get(endpoint)
        if tally is None:
            tally = self._tallies[endpoint] = Tally(self.refusals, self._wall)
        return tally

    def present(self) -> Present:
        """All that is shown, as it is now."""
        watched, now = self._watched, self._wall()
        pool, gate = watched.pool, watched.gate
        return Present(
            now,
            self._listeners(now),
            Pool(pool.idle, pool.open - pool.idle, pool.opened, pool.reused),
            gate.verdicts,
            gate.verified,
            watched.keyring.states(),
            watched.reloads,
            Recorder(watched.recording.flight is not None, watched.recording.unclean),
            watched.settings.digest,
            version("couchgate"),
            compiled=not core_gate.__file__.endswith(".py"),
        )

    def _listeners(self, now: float) -> list[Listener]:
        sites: dict[str, list[Site]] = {}
        for endpoint, site in self._watched.listening():
            sites.setdefault(endpoint, []).append(site)
        for gone in set(self._tallies) - set(sites):
            del self._tallies[gone]
        found = []
        for endpoint, name in labels(tuple(sites)).items():
            tally, several = self.tally(endpoint), sites[endpoint]
            feeds = [feed for site in several for feed in site.feeds]
            connections = sum(site.connections for site in several)
            found.append(Listener(name, tally, connections, len(feeds), tally.syncs.current(feeds, now)))
        return found


def labels(endpoints: Sequence[str]) -> dict[str, str]:
    """A short name for each endpoint string, such as tcp:5985; the whole string where that is not enough."""
    short = {text: match[0] if (match := _SHORT.match(text)) else text for text in endpoints}
    count = Counter(short.values())
    return {text: text if count[name] > 1 else name for text, name in short.items()}
