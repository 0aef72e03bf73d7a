"""Keys by URL: a JWK set (RFC 7517 5) from the issuer's server.

- Only `https`, for whoever can change the answer can sign tokens; `http` on loopback hosts.
- The set is loaded at start, then again when the server's `Cache-Control` says that it is stale (RFC 9111), within
  bounds; after a failure with growing pauses. A load that fails leaves the last good set in use.
- It is loaded at once for a key that it lacks, so that a rotation costs nobody a refusal. Anybody can invent key
  ids, so there is one load at a time, shared by all who wait, and then a cool-down.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.iweb import IAgent
from zope.interface import implementer

from couchgate.core.keys import KeySet, UnusableKeys
from couchgate.core.token import TokenRules
from couchgate.facts.bounded import bounded_agent
from couchgate.facts.fetch import Document, FetchFailed, fetch
from couchgate.facts.keyfile import FileKeys
from couchgate.interfaces import IKeySource

MAX_BYTES = 1 << 20
"""No JWK set is longer; a longer answer is dropped while it comes."""


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
        return UrlKeys(issuer.keys, issuer.rules.algorithms, bounded_agent(reactor, MAX_BYTES), reactor)
    return FileKeys(Path(issuer.keys), issuer.rules.algorithms, reactor)


@implementer(IKeySource)
class UrlKeys:
    """The JWK set at `url`, for `algorithms`, asked for through `agent` (best a `bounded_agent`).

    `max_bytes` and `seconds` bound each load. `cooldown` is the shortest time in seconds between the end of a load
    and the next one for an unknown key. The set is loaded again after `min_refresh` to `max_refresh` seconds, as the
    server says, or after `default_refresh` when it says nothing; after a failure in 2, 4, 8 … up to `min_refresh`.

    Raises ValueError with one sentence if keys may not come from `url`.
    """

    _log = Logger()

    def __init__(
        self,
        url: str,
        algorithms: Collection[str],
        agent: IAgent,
        clock: IReactorTime,
        *,
        max_bytes: int = MAX_BYTES,
        seconds: float = 10.0,
        cooldown: float = 30.0,
        min_refresh: float = 60.0,
        max_refresh: float = 86400.0,
        default_refresh: float = 600.0,
    ) -> None:
        self.description = _checked(url)
        self.problem: str | None = None
        self.changed: Callable[[], None] = _nobody
        self._url = url
        self._algorithms = tuple(algorithms)
        self._agent = agent
        self._clock = clock
        self._max_bytes = max_bytes
        self._seconds = seconds
        self._cooldown = cooldown
        self._min_refresh = min_refresh
        self._max_refresh = max_refresh
        self._default_refresh = default_refresh
        self._current: KeySet | None = None
        self._data: bytes | None = None
        self._running = False
        self._load: Deferred[Document] | None = None
        self._waiters: list[Deferred[None]] = []
        self._timer: IDelayedCall | None = None
        self._quiet_until = 0.0
        self._failures = 0

    def current(self) -> KeySet | None:
        """The last good set."""
        return self._current

    def start(self) -> Deferred[None]:
        """Load the set, and keep it fresh."""
        self._running = True
        return self._wait()

    def refresh(self, kid: str | None) -> Deferred[None]:  # noqa: ARG002 - the server answers alike for every kid
        """Load the set now, unless it is being loaded already or was a moment ago."""
        if not self._running or (self._load is None and self._clock.seconds() < self._quiet_until):
            return succeed(None)
        return self._wait()

    def stop(self) -> None:
        """End the timer and the load, and let go who waits."""
        self._running = False
        self._disarm()
        if self._load is not None:
            self._load.cancel()

    def _wait(self) -> Deferred[None]:
        waiter: Deferred[None] = Deferred()
        self._waiters.append(waiter)
        if self._load is None:
            self._begin()
        return waiter

    def _begin(self) -> None:
        self._disarm()
        load = fetch(self._agent, self._url, self._clock, max_bytes=self._max_bytes, seconds=self._seconds)
        self._load = load
        load.addCallback(self._take).addErrback(self._failed).addCallback(self._ended)

    def _take(self, document: Document) -> float:
        """Use what was loaded; answers after how many seconds to load again. Raises FetchFailed."""
        if document.body != self._data:
            try:
                keys = KeySet.from_jwks(document.body, self._algorithms)
            except UnusableKeys as error:
                raise FetchFailed(f"the server's answer holds no keys to use: {error}") from error
            self._data, self._current = document.body, keys
            self.changed()
        self.problem, self._failures = None, 0
        fresh = self._default_refresh if document.fresh is None else document.fresh
        return min(max(fresh, self._min_refresh), self._max_refresh)

    def _failed(self, failure: Failure) -> float:
        """Keep what there is; answers after how many seconds to try again."""
        if not self._running:
            return 0.0
        if failure.check(FetchFailed):
            problem = f"keys from {self.description}: {failure.value}"
        else:
            self._log.failure("loading keys from {url} broke", failure, url=self.description)
            problem = f"keys from {self.description}: the gate itself failed to load them"
        if problem != self.problem:
            kept = "; the keys loaded before stay in use" if self._current is not None else ""
            self._log.warn("{problem}{kept}", problem=problem, kept=kept)
        self.problem = problem
        self._failures += 1
        return min(2.0 ** min(self._failures, 16), self._min_refresh)

    def _ended(self, pause: float) -> None:
        self._load = None
        self._quiet_until = self._clock.seconds() + self._cooldown
        if self._running:
            self._timer = self._clock.callLater(pause, self._begin)
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            waiter.callback(None)

    def _disarm(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None


def _checked(url: str) -> str:
    """What to call `url`: itself without its query, which may hold a secret. Raises ValueError; see `UrlKeys`."""
    parts = urlsplit(url)
    host = parts.hostname
    if not url.isascii() or not url.isprintable() or " " in url or not host or "@" in parts.netloc:
        raise ValueError("the URL of the keys must be https://HOST/PATH in ASCII, without user name and password")
    if parts.scheme != "https" and not (parts.scheme == "http" and _loopback(host)):
        raise ValueError("the URL of the keys must begin with https://; http:// is for this machine (localhost) only")
    return f"{parts.scheme}://{parts.netloc}{parts.path}"


def _loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _nobody() -> None:
    """The `changed` of a source that has no owner yet."""
