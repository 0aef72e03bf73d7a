"""All keys of the gate, under one owner and in one immutable view."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, gatherResults, succeed
from twisted.internet.defer import TimeoutError as DeferredTimeout
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from couchgate.core.keys import KeySet
from couchgate.interfaces import IKeySource

_NO_KEYS: Mapping[str, KeySet] = MappingProxyType({})


class KeyState(NamedTuple):
    """How the keys of one `[[issuers]]` table are: for metrics and for people, without a secret.

    `rules_id` is `TokenRules.id`, `issuer` the `iss`, `kind` the word of `IKeySource.kind`. `keys` are the usable keys
    now. `loaded_at` (unix seconds of the last good load, or None), `attempts`, `failures` (counted since the source was
    made) and `problem` (one sentence, or None) are as in `IKeySource`.
    """

    rules_id: str
    issuer: str
    kind: str
    keys: int
    loaded_at: float | None
    attempts: int
    failures: int
    problem: str | None


class KeyRing(Service):
    """Owns the key sources of every issuer and shows their keys as one snapshot.

    `sources` maps `TokenRules.id` to the source of that issuer's keys, `issuers` to its `iss`, for `states`; `clock`
    bounds the waits. `patience` is how many seconds a request waits for new keys at most, whatever a source does.

    When the settings are read again, the new ring may share sources with `elder`, the ring that runs: it becomes their
    owner when it starts, loads nothing anew, and tells the elder of changes as long as that one runs, too. Stopping the
    elder then leaves these sources running; stopping the new ring first gives them back.

    `keysets` are the usable key sets by `TokenRules.id`; an issuer without any is absent. It is for reading only, and
    replaced by another object whenever any set changes: what was derived from it (a cache of verdicts) is valid
    exactly as long as the identity of this object. A plain attribute, because every request reads it.
    """

    keysets: Mapping[str, KeySet]

    name = "keys"
    _log = Logger()

    def __init__(
        self,
        sources: Mapping[str, IKeySource],
        clock: IReactorTime,
        *,
        issuers: Mapping[str, str] = MappingProxyType({}),
        elder: KeyRing | None = None,
        patience: float = 15.0,
    ) -> None:
        self.sources: Mapping[str, IKeySource] = MappingProxyType(dict(sources))
        self._issuers = dict(issuers)
        self._elder = elder
        self._clock = clock
        self._patience = patience
        self.keysets = _NO_KEYS
        self._waits: set[Deferred[None]] = set()

    def startService(self) -> None:
        """Start every source. Keys from files are there on return, those by URL when their servers have answered."""
        Service.startService(self)
        for source in self.sources.values():
            source.changed = self._rebuild
            self._wait(source.start())
        self._rebuild()

    def loading(self) -> Deferred[None]:
        """Fires with None when no source of this running ring is at its first load any more.

        Never fails, and lasts `patience` at most.
        """
        waits = [self._wait(source.start()) for source in self.sources.values() if source.current() is None]
        return gatherResults(waits).addCallback(lambda _: None)

    def stopService(self) -> None:
        """Stop every source that no other ring has taken over, and let everybody go who waits."""
        Service.stopService(self)
        elder = self._elder if self._elder is not None and self._elder.running else None
        for source in self.sources.values():
            if source.changed != self._rebuild:
                continue  # a younger ring's now
            if elder is not None and any(source is each for each in elder.sources.values()):
                source.changed = elder._rebuild  # noqa: SLF001 - the same class
            else:
                source.stop()
        self._elder = None  # or each ring would keep the one before it for ever
        for wait in tuple(self._waits):
            wait.cancel()

    def refresh(self, rules_id: str, kid: str | None) -> Deferred[None]:
        """A token under the rules `rules_id` names the key `kid`, which its issuer's set lacks.

        Fires with None when `keysets` is as good as it gets now; never fails, and lasts `patience` at most.
        Cancelling it gives up the wait only.
        """
        source = self.sources.get(rules_id)
        if source is None or not self.running:
            return succeed(None)
        return self._wait(source.refresh(kid))

    def missing(self) -> tuple[str, ...]:
        """What has no usable keys now, by description: as long as there is any, the gate is not ready."""
        return tuple(source.description for source in self.sources.values() if source.current() is None)

    def problems(self) -> tuple[str, ...]:
        """One sentence for each source whose last attempt to load failed, whether or not older keys still serve."""
        return tuple(source.problem for source in self.sources.values() if source.problem is not None)

    def states(self) -> tuple[KeyState, ...]:
        """How the keys of each issuer are now, in the order of the settings."""
        return tuple(
            KeyState(
                name,
                self._issuers.get(name, ""),
                source.kind,
                len(source.current() or ()),
                source.loaded_at,
                source.attempts,
                source.failures,
                source.problem,
            )
            for name, source in self.sources.items()
        )

    def _rebuild(self) -> None:
        if self._elder is not None and self._elder.running:
            self._elder._rebuild()  # noqa: SLF001 - the same class
        keysets = {name: keys for name, source in self.sources.items() if (keys := source.current()) is not None}
        if any(keysets.get(name) is not self.keysets.get(name) for name in self.sources):
            self.keysets = MappingProxyType(keysets)

    def _wait(self, wait: Deferred[None]) -> Deferred[None]:
        """Own a source's Deferred: it ends in time and well, even if a plugged-in source breaks its promise."""

        def ended(result: Failure | None) -> Failure | None:
            self._waits.discard(wait)
            if result is None or result.check(DeferredTimeout):
                return None
            if result.check(CancelledError):
                # While the ring runs it was the caller who gave up, and wants to hear of it.
                return result if self.running else None
            self._log.warn("a key source failed: {problem}", problem=result.getErrorMessage())
            return None

        self._waits.add(wait)
        wait.addTimeout(self._patience, self._clock)
        wait.addBoth(ended)
        return wait
