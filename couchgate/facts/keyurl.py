"""Keys that are loaded from a server: when to load them, how long to trust them, and who may ask for a load.

- The set is loaded at start, then again before the server's `Cache-Control` calls it stale (RFC 9111), within bounds;
  after a failure with growing pauses. Nobody waits for that, and a load that fails leaves the last good set in use.
- A set that could not be loaded again for `stale_seconds` is dropped: by then a key may have been withdrawn long ago.
- It is loaded at once for a key that it lacks, so that a rotation costs nobody a refusal. Anybody can invent key
  ids, so there is one load at a time, shared by all who wait, and then a cool-down. Only a load that a key id caused
  begins a cool-down: a rotation just after a load of the gate's own is found. A key id that comes during the cool-down
  waits for its end, unless a load since was asked about it: so invented ones never make a new key unknown.
- The last good set is kept on disk, so that a restart while the server is down finds it. It has no more credit than an
  answer of the server, and ends `stale_seconds` after it was loaded, too. Ages across restarts go by the wall clock.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from typing import NamedTuple, Protocol

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from couchgate.core.keys import KeySet, UnusableKeys
from couchgate.facts.askers import Askers, let_go
from couchgate.facts.fetch import Document, FetchFailed
from couchgate.facts.jwks import JwksLoader
from couchgate.interfaces import IKeySource

STALE_SECONDS = 86400.0
FIRST_SECONDS = 5.0
"""How long a token waits for a load while there are no keys at all."""
_RENEW_AT = 0.8  # of the time that the server calls a set fresh
_FUTURE = 300.0  # how far in the future a load may seem to be, in seconds: clocks are corrected a little


class LoadedSet(NamedTuple):
    """A set as the server sent it, and when that was (unix seconds)."""

    body: bytes
    loaded_at: float


class Shelf(Protocol):
    """Where the last good set of one source is kept. Neither method raises."""

    def read(self) -> LoadedSet | None:
        """What was written last, or None; whatever the disk holds, it is to be judged anew."""

    def write(self, loaded: LoadedSet) -> None:
        """Keep `loaded` in place of what was there."""


@implementer(IKeySource)
class UrlKeys:
    """The JWK set that `loader` loads, for `algorithms`.

    `shelf` keeps the last good set; `stale_seconds` is how long after its loading a set may be used. `cooldown` is the
    shortest time in seconds between the end of a load for an unknown key and the next such load. The set is loaded
    again after `min_refresh` to `max_refresh` seconds, at 0.8 of what the server says or of `default_refresh`, and at
    half of `stale_seconds` at the latest; after a failure in 2, 4, 8 … up to `min_refresh`. `wall` is the unix time.
    `heard` is told the `Date` of each answer, as it came.
    """

    _log = Logger()

    def __init__(
        self,
        loader: JwksLoader,
        algorithms: Collection[str],
        clock: IReactorTime,
        *,
        shelf: Shelf | None = None,
        stale_seconds: float = STALE_SECONDS,
        cooldown: float = 10.0,
        min_refresh: float = 60.0,
        max_refresh: float = 43200.0,
        default_refresh: float = 600.0,
        wall: Callable[[], float] = time.time,
        heard: Callable[[str], None] | None = None,
    ) -> None:
        self.kind = loader.kind
        self.description = loader.description
        self.problem: str | None = None
        self.loaded_at: float | None = None
        self.attempts = 0
        self.failures = 0
        self.changed: Callable[[], None] = _nobody
        self._loader = loader
        self._algorithms = tuple(algorithms)
        self._clock = clock
        self._shelf = shelf
        self._stale_seconds = stale_seconds
        self._cooldown = cooldown
        self._min_refresh = min_refresh
        self._max_refresh = min(max_refresh, stale_seconds / 2)
        self._default_refresh = default_refresh
        self._wall = wall
        self._heard = heard
        self._current: KeySet | None = None
        self._body: bytes | None = None
        self._end = 0.0  # when `_current` is too old, by `clock`
        self._running = False
        self._load: Deferred[Document] | None = None
        self._for_key = False  # whether a token's key id caused the load that is under way
        self._askers = Askers()
        self._next_load: IDelayedCall | None = None
        self._next_ask: IDelayedCall | None = None
        self._next_end: IDelayedCall | None = None
        self._asked_at = float("-inf")
        self._failed_in_a_row = 0
        self._reported: str | None = None

    def current(self) -> KeySet | None:
        """The last good set, unless it is too old."""
        return self._current

    def start(self) -> Deferred[None]:
        """Take the set from the shelf, load it, and keep it fresh."""
        if not self._running:
            self._running = True
            if self._current is None:
                self._recall()
            self._expire()
            self._begin(for_key=False)
        return succeed(None) if self._load is None else self._askers.join(None, asks=False)

    def refresh(self, kid: str | None) -> Deferred[None]:
        """Wait for the next load that may know `kid`, which begins now or at the end of the cool-down.

        Without any keys only a load that is under way is waited for, and for FIRST_SECONDS at most: then it is a key id
        that says nothing, and the schedule loads.
        """
        if not self._running:
            return succeed(None)
        if self._current is None:
            if self._load is None:
                return succeed(None)
            return self._askers.join(kid).addTimeout(FIRST_SECONDS, self._clock, onTimeoutCancel=lambda *_: None)
        if self._rest() > 0 and self._askers.asked(kid):
            return succeed(None)
        wait = self._askers.join(kid)
        if self._load is None:
            self._ask()
        return wait

    def stop(self) -> None:
        """End the timers and the load, and let go who waits."""
        self._running = False
        self._disarm()
        if self._load is not None:
            self._load.cancel()
        let_go(self._askers.settle(lambda _: False))

    def _rest(self) -> float:
        """How many seconds are left of the cool-down."""
        since = self._clock.seconds() - self._asked_at
        # A clock that was set back ends the cool-down, instead of prolonging it by hours.
        return self._cooldown - since if 0 <= since < self._cooldown else 0.0

    def _ask(self) -> None:
        """Load for those who wait, if anybody still does: now, or when the cool-down is over."""
        rest = self._rest()
        if self._askers and rest <= 0:
            self._begin(for_key=True)
        elif self._askers and (self._next_ask is None or not self._next_ask.active()):
            self._next_ask = self._clock.callLater(rest, self._ask)

    def _begin(self, *, for_key: bool) -> None:
        self._disarm()
        self._for_key = for_key
        self.attempts += 1
        known = () if self._current is None else self._current.keys
        self._askers.begin((key.kid for key in known), first=for_key)
        self._load = load = self._loader.load(anew=self._failed_in_a_row > 0)
        load.addCallback(self._take).addErrback(self._failed).addCallback(self._ended)

    def _take(self, document: Document) -> float:
        """Use what was loaded; answers after how many seconds to load again. Raises FetchFailed."""
        if self._heard is not None:
            self._heard(document.date)
        fresh = self._default_refresh if document.fresh is None else document.fresh
        loaded = LoadedSet(document.body, self._wall())
        try:
            self._use(loaded, self._stale_seconds)
        except UnusableKeys as error:
            raise FetchFailed(f"the server's answer holds no keys to use: {error}") from error
        if self._shelf is not None:
            self._shelf.write(loaded)
        self.problem = self._reported = None
        self._failed_in_a_row = 0
        return min(max(_RENEW_AT * fresh, self._min_refresh), self._max_refresh)

    def _use(self, loaded: LoadedSet, seconds: float) -> None:
        """Make `loaded` the current set, for `seconds` from now. Raises UnusableKeys."""
        same = loaded.body == self._body
        if not same:
            self._current, self._body = KeySet.from_jwks(loaded.body, self._algorithms), loaded.body
        self.loaded_at = loaded.loaded_at
        self._end = self._clock.seconds() + seconds
        if not same:
            self.changed()

    def _recall(self) -> None:
        """Use what is on the shelf, if it is good and not too old."""
        loaded = self._shelf.read() if self._shelf is not None else None
        if loaded is None:
            return
        age = self._wall() - loaded.loaded_at
        if -_FUTURE <= age < self._stale_seconds:
            try:
                self._use(loaded, self._stale_seconds - max(age, 0.0))
            except UnusableKeys as error:
                self._log.warn(
                    "the kept keys of {description} cannot be used: {error}", description=self.description, error=error
                )
        else:
            self._log.warn(
                "the kept keys of {description} are too old, or from the future, and not used: {age:.0f} seconds",
                description=self.description,
                age=age,
            )

    def _failed(self, failure: Failure) -> float:
        """Keep what there is; answers after how many seconds to try again."""
        if not self._running:
            return 0.0
        if failure.check(FetchFailed):
            problem = f"keys from {self.description}: {failure.value}"
        else:
            self._log.failure("loading keys from {url} broke", failure, url=self.description)
            problem = f"keys from {self.description}: the gate itself failed to load them"
        if problem != self._reported:
            kept = "; the keys loaded before stay in use" if self._current is not None else ""
            self._log.warn("{problem}{kept}", problem=problem, kept=kept)
        self.problem = self._reported = problem
        self.failures += 1
        self._failed_in_a_row += 1
        return min(2.0 ** min(self._failed_in_a_row, 16), self._min_refresh)

    def _ended(self, pause: float) -> None:
        self._load = None
        if self._for_key:
            self._asked_at = self._clock.seconds()
        if self._running:
            self._next_load = self._clock.callLater(pause, self._begin, for_key=False)
            self._expire()
        # A load that failed lets everybody go: it is the server that is missing, not one key.
        going = self._askers.settle(lambda kid: self._running and self.problem is None and self._lacks(kid))
        self._ask()
        let_go(going)

    def _lacks(self, kid: str | None) -> bool:
        current = self._current
        return current is None or not any(current.find(kid, algorithm) for algorithm in self._algorithms)

    def _expire(self) -> None:
        """Drop a set that is too old, or come again when it will be."""
        if self._current is None or self._load is not None:
            return  # a load that is under way may find that all is well: it comes here when it ends
        left = self._end - self._clock.seconds()
        if left > 0:
            self._next_end = self._clock.callLater(left, self._expire)
            return
        self._current = self._body = None
        self.problem = (
            f"keys from {self.description}: they could not be loaded for {self._stale_seconds:g} seconds "
            "(issuers.stale_seconds), and those loaded before are used no more"
        )
        self._log.error("{problem}", problem=self.problem)
        self.changed()

    def _disarm(self) -> None:
        for timer in (self._next_load, self._next_ask, self._next_end):
            if timer is not None and timer.active():
                timer.cancel()
        self._next_load = self._next_ask = self._next_end = None


def _nobody() -> None:
    """The `changed` of a source that has no owner yet."""
