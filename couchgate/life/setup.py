"""What one reading of the settings makes. A reload makes another and puts it in the place of this one."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, fields, replace
from typing import Any

from twisted.internet import defer

from couchgate.core.gate import Gate
from couchgate.facts.keyring import KeyRing
from couchgate.facts.people import People
from couchgate.http1.fields import forget_blocks
from couchgate.life.reloads import NotReloadedError
from couchgate.settings import Settings
from couchgate.upstream.pool import UpstreamPool
from couchgate.wire.lane import Lane
from couchgate.wiring import connector_of, gate_of, keyring_of, people_of

LOAD_SECONDS = 5.0  # how long a reload waits for keys of sources that are new
_NOT_DECIDING = frozenset(("path", "warnings", "digest", "gate", "limits", "access_log", "recorder"))


@dataclass(frozen=True, slots=True)
class Setup:
    """The settings in force, the gate that decides by them, the keys, who knows passwords, the pool to CouchDB."""

    settings: Settings
    gate: Gate
    keyring: KeyRing
    people: People
    pool: UpstreamPool

    def let_go_of(self, old: Setup) -> None:
        """Stop the keys and the people of `old` that are not these, and forget what only its gate needs."""
        if old.gate is not self.gate:
            old.gate.forget()
            forget_blocks()
        if old.keyring is not self.keyring:
            old.keyring.stopService()
        if old.people is not self.people:
            old.people.stop()


def setup_of(settings: Settings, reactor: Any, lane: Lane | None, old: Setup | None = None) -> Setup:
    """What `settings` describe; of `old` is kept what has not changed. Raises SettingsError for a missing checker."""
    same = old is not None and _deciding(settings) == _deciding(old.settings)
    same_upstream = old is not None and settings.upstream == old.settings.upstream
    same_people = old is not None and settings.auth == old.settings.auth
    people = old.people if old is not None and same_people else people_of(settings, reactor)
    return Setup(
        settings,
        old.gate if old is not None and same else gate_of(settings),
        keyring_of(settings, reactor) if old is None else keyring_of(settings, reactor, old.settings, old.keyring),
        people,
        old.pool if old is not None and same_upstream else _pool_of(settings, reactor, lane),
    )


async def keys_of(setup: Setup, old: Setup, reactor: Any) -> None:
    """Start the ring of `setup`, if it is another than that of `old`, and wait for what it loads.

    Raises NotReloadedError if people whose tokens are accepted now would be refused for want of keys.
    """
    ring = setup.keyring
    if ring is old.keyring:
        return
    ring.startService()
    loaded: defer.Deferred[None] = defer.Deferred()
    ring.loading().addBoth(lambda _: None if loaded.called else loaded.callback(None))
    with suppress(defer.TimeoutError):
        await loaded.addTimeout(LOAD_SECONDS, reactor)
    served = {each.rules.issuer for each in old.settings.issuers if each.rules.id in old.keyring.keysets}
    for each in setup.settings.issuers:
        if each.rules.issuer in served and each.rules.id not in ring.keysets:
            source = ring.sources[each.rules.id]
            problem = source.problem or f"keys from {source.description} did not come in time"
            raise NotReloadedError(f"{setup.settings.path}: {each.rules.id}.keys gives no keys to use: {problem}")


def with_state_dir_of(settings: Settings, old: Settings) -> Settings:
    """`settings`, but what is kept on disk stays where and as it is: a warning says so if they want it otherwise."""
    warnings = list(settings.warnings)
    if settings.gate.state_dir != old.gate.state_dir:
        warnings.append(
            f"{settings.path}: gate.state_dir has changed, which takes a restart; {old.gate.state_dir} stays in use"
        )
    if settings.recorder != old.recorder:
        warnings.append(f"{settings.path}: [recorder] has changed, which takes a restart")
    gate = replace(settings.gate, state_dir=old.gate.state_dir)
    return replace(settings, gate=gate, recorder=old.recorder, warnings=tuple(warnings))


def _deciding(settings: Settings) -> list[object]:
    """What a Gate is made of (`couchgate.wiring.gate_of`): everything but what certainly has no part in it."""
    parts = [getattr(settings, field.name) for field in fields(settings) if field.name not in _NOT_DECIDING]
    return [*parts, replace(settings.gate, listeners=(), drain_seconds=0.0)]


def _pool_of(settings: Settings, reactor: Any, lane: Lane | None) -> UpstreamPool:
    upstream = settings.upstream
    return UpstreamPool(
        connector_of(reactor, lane, upstream),
        reactor.seconds,
        connect_seconds=upstream.connect_seconds,
        idle_most=upstream.connections,
    )
