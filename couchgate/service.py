"""The life of the gate: what starts, listens, reloads, drains and stops. Its parts are in `life` and `wiring`."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

from twisted.application.service import MultiService
from twisted.internet import defer, task
from twisted.logger import Logger
from twisted.python.failure import Failure

from couchgate.core.gate import Gate
from couchgate.core.identity import basic_line
from couchgate.endpoints.status import Readiness
from couchgate.facts.keyring import KeyRing
from couchgate.life.changes import changes, told
from couchgate.life.control import Control
from couchgate.life.listener import Listener, NotBoundError
from couchgate.life.logfile import LogUnusableError, OpenLog
from couchgate.life.memory import settle_memory
from couchgate.life.pages import pages_of
from couchgate.life.recording import Recording
from couchgate.life.reloads import NotReloadedError, Outcome, Reloads
from couchgate.life.selecting import too_many
from couchgate.life.setup import Setup, keys_of, setup_of, with_state_dir_of
from couchgate.life.sites import Site, Sites
from couchgate.life.statedir import make_state_dir
from couchgate.life.tree import tree_of
from couchgate.overview import Overview
from couchgate.settings import ListenerSettings, Settings, SettingsError
from couchgate.upstream.pool import UpstreamPool
from couchgate.upstream.probe import probe, reach
from couchgate.web.door import Door
from couchgate.web.resources import ReverseProxyResource
from couchgate.wire.lane import lane_of
from couchgate.wiring import endpoint_of, verify_of

POOL_SWEEP_SECONDS = 1.0
BIND_SECONDS = 5.0  # how long a reload waits for an endpoint that does not listen at once


class GateService(MultiService):
    """The whole gate: key ring, pool and listeners, from `settings`. Raises SettingsError for keys nobody can find.

    `reload_from` reads the settings anew, or raises SettingsError; None: this gate cannot be reloaded.

    `root` is the Resource tree. A deployment may put Resources of its own into it before the service starts, under
    names that CouchDB does not need: `service.root.putChild(b"_app", File("app"))`. `Host` and CORS are the gate's
    there, too; a token is asked for only if the Resource does. A reload leaves them where they are.
    """

    log = Logger()

    def __init__(self, settings: Settings, reactor: Any, reload_from: Callable[[], Settings] | None = None) -> None:
        super().__init__()
        self._reactor = reactor
        self._reload_from = reload_from
        self.lane = lane_of(reactor)
        self.setup = setup_of(settings, reactor, self.lane)
        self._retired: set[UpstreamPool] = set()
        self._pool_sweep = task.LoopingCall(self._sweep_pools)
        self._pool_sweep.clock = reactor
        self.readiness = Readiness(self._missing_keys, self._ask_couchdb, reactor.seconds)
        self._access: OpenLog | None = None
        self._door = Door(self.setup.gate, self.keyring, self.keyring.refresh, self.setup.people.ask)
        self._proxy = ReverseProxyResource(self._door, self.setup.pool)
        self.overview = Overview(self, time.time)
        pages = pages_of(self.readiness, self.overview.endpoints)
        self.root = tree_of(self._proxy, self._door, pages, lambda: self.settings.admin)
        self._sites = Sites(self.root, pages, reactor)
        self.listeners: list[Listener] = []
        self._leaving: dict[Listener, defer.Deferred[None]] = {}
        self._drain_seconds: float | None = None  # once the gate stops
        self.recording = Recording(self, reactor, self.lane)
        self.recording.setServiceParent(self)
        self.reloads = Reloads(self.recording.reloading(self._reload), time.time)
        self._control = Control(settings, reactor, self.reload, self._again)

    @property
    def settings(self) -> Settings:
        """The settings in force."""
        return self.setup.settings

    @property
    def gate(self) -> Gate:
        """What decides."""
        return self.setup.gate

    @property
    def keyring(self) -> KeyRing:
        """The keys for the settings in force."""
        return self.setup.keyring

    @property
    def pool(self) -> UpstreamPool:
        """The connections to the CouchDB of the settings in force."""
        return self.setup.pool

    @property
    def sites(self) -> list[Site]:
        """What the listeners of the settings in force share among their connections."""
        return [listener.site for listener in self.listeners]

    @property
    def ports(self) -> list[Any]:
        """The ports of those listeners."""
        return [listener.port for listener in self.listeners if listener.port is not None]

    def listening(self) -> Iterable[tuple[str, Site]]:
        """The endpoint string and the site of each listener, of those that drain, too."""
        return [(listener.settings.endpoint, listener.site) for listener in (*self.listeners, *self._leaving)]

    # -- start

    def privilegedStartService(self) -> None:
        """Listen. A port that cannot be had ends the program with one sentence (SystemExit)."""
        super().privilegedStartService()
        try:
            self._access = self._open_log(self.settings)
        except LogUnusableError as error:
            raise SystemExit(f"couchgate: {error}") from None
        for settings in self.settings.gate.listeners:
            listener = self._listener(settings)
            problems: list[Failure] = []
            listener.bind().addErrback(problems.append)
            if problems:
                problems[0].trap(NotBoundError)
                raise SystemExit(f"couchgate: {problems[0].getErrorMessage()}")
            self.listeners.append(listener)

    def startService(self) -> None:
        """Fetch keys and serve. A state folder that cannot be had ends the program with one sentence (SystemExit)."""
        make_state_dir(
            self.settings.gate.state_dir
        )  # here and not where ports are opened: by now twistd has given up root's powers
        super().startService()
        self.keyring.startService()
        self._pool_sweep.start(POOL_SWEEP_SECONDS, now=False).addErrback(
            lambda reason: self.log.failure("The pool's sweep failed", failure=reason)
        )
        self._warn()
        for listener in self.listeners:
            listener.serve(self.lane)
        self._control.start()
        settle_memory()
        self._look_at_couchdb()

    def _warn(self) -> None:
        for warning in self.settings.warnings:
            self.log.warn("{warning}", warning=warning)
        if (sentence := too_many(self.settings, self._reactor)) is not None:
            self.log.warn("{sentence}", sentence=sentence)

    def _look_at_couchdb(self) -> None:
        defer.ensureDeferred(self._first_look()).addErrback(
            lambda reason: self.log.failure("The first look at CouchDB failed", failure=reason)
        )

    def _listener(self, settings: ListenerSettings) -> Listener:
        """A listener that obeys the setup in force."""
        log = None if self._access is None else self._access.write
        site = self._sites.make(self.setup, settings, self.overview.tally(settings.endpoint).count, log)
        site.recorder = self.recording.recorder_for(site)
        return Listener(settings, site, self._reactor)

    def _open_log(self, settings: Settings) -> OpenLog:
        return OpenLog(
            settings.access_log, self._reactor, lambda sentence: self.log.error("{sentence}", sentence=sentence)
        )

    def _missing_keys(self) -> Sequence[str]:
        return self.keyring.missing()

    # -- CouchDB

    def _ask_couchdb(self) -> Awaitable[str | None]:
        upstream = self.settings.upstream
        own = upstream.own
        name_line = b"" if own is None else basic_line(own.username, own.password)
        return probe(self.pool, upstream.authority, self._reactor, name_line=name_line)

    async def _first_look(self) -> None:
        endpoint = endpoint_of(self._reactor, self.settings.upstream)
        upstream = self.settings.upstream
        problem = await reach(endpoint, self._reactor, upstream.connect_seconds, verify_of(upstream))
        if problem is not None:
            self.log.warn(
                "{problem} The gate serves all the same, and is not ready until that is over.", problem=problem
            )

    def _sweep_pools(self) -> None:
        self.pool.sweep()
        for pool in list(self._retired):
            pool.sweep()
            if not pool.open:
                self._retired.discard(pool)

    # -- reload

    def reload(self) -> defer.Deferred[Outcome]:
        """Read the settings again and obey them, or change nothing. Never fails; reloads never overlap."""
        return self.reloads.ask()

    async def _reload(self) -> str:
        if self._reload_from is None:
            raise NotReloadedError("this gate was made without a way to read its settings again; restart it.")
        if self._drain_seconds is not None or not self.running:
            raise NotReloadedError("the gate is shutting down.")
        access: OpenLog | None = None
        setup = old = self.setup
        added: list[Listener] = []
        try:
            settings = with_state_dir_of(self._reload_from(), old.settings)
            access = self._open_log(settings)
            setup = setup_of(settings, self._reactor, self.lane, old)
            await keys_of(setup, old, self._reactor)
            present = {listener.settings.endpoint for listener in self.listeners}
            for each in settings.gate.listeners:
                if each.endpoint not in present:
                    added.append(self._listener(each))
                    await added[-1].bind().addTimeout(BIND_SECONDS, self._reactor)
        except BaseException as error:
            if access is not None:
                access.close()
            if setup.keyring is not old.keyring:
                setup.keyring.stopService()
            for listener in added:
                await listener.close()
            if isinstance(error, SettingsError | LogUnusableError | NotBoundError | defer.TimeoutError):
                raise NotReloadedError(str(error)) from error
            raise
        self._switch(setup, access, added)
        return told(settings.path, changes(old.settings, settings))

    def _switch(self, setup: Setup, access: OpenLog, added: list[Listener]) -> None:
        """Put everything in force, in this turn of the loop."""
        old, self.setup = self.setup, setup
        old_access, self._access = self._access, access
        settings = setup.settings
        self._door.obey(setup.gate, setup.keyring, setup.keyring.refresh, setup.people.ask)
        self._proxy.pool = setup.pool
        wanted = {each.endpoint: each for each in settings.gate.listeners}
        gone = [listener for listener in self.listeners if listener.settings.endpoint not in wanted]
        self.listeners = [listener for listener in self.listeners if listener not in gone] + added
        for listener in [*self.listeners, *gone]:
            site, elsewhere = listener.site, old.pool is not setup.pool
            now = wanted.get(listener.settings.endpoint, listener.settings)
            if not self._sites.fits(site, now):
                gone.append(listener.hand_over(self._listener(now).site))
                added = [*added, listener]
            listener.settings = now
            self._sites.tell(site, setup, listener.settings, access.write)
            site.decide_feeds_again(setup.keyring, elsewhere=elsewhere, same_people=old.people is setup.people)
        setup.let_go_of(old)
        if old.pool is not setup.pool:
            self._retired.add(old.pool)
            old.pool.stop(self._retired.add)
            self._look_at_couchdb()
        if old_access is not None:
            old_access.close()
        self._warn()
        for listener in added:
            listener.serve(self.lane)
        for listener in gone:
            self._let_go(listener, settings.gate.drain_seconds)

    def _let_go(self, listener: Listener, drain_seconds: float) -> None:
        leaving = self._leaving[listener] = defer.ensureDeferred(listener.leave(drain_seconds))

        def gone(result: object) -> None:
            del self._leaving[listener]
            if isinstance(result, Failure):
                self.log.failure("A listener could not leave well", failure=result)

        leaving.addBoth(gone)

    # -- stop

    def stopService(self) -> defer.Deferred[None]:
        """Stop listening, let what is under way finish within `drain_seconds`, end feeds well."""
        return defer.ensureDeferred(self._stop())

    async def _stop(self) -> None:
        self.readiness.draining = True
        self._drain_seconds = self.settings.gate.drain_seconds
        self.reloads.stop()
        for listener in self.listeners:
            await listener.close()
        for listener in self._leaving:
            listener.hurry()
        drains = [listener.site.drain(self._drain_seconds) for listener in self.listeners]
        await defer.gatherResults([*drains, *self._leaving.values()])
        self.setup.people.stop()
        for pool in (self.pool, *self._retired):
            pool.stop()
        if self._pool_sweep.running:
            self._pool_sweep.stop()
        self.keyring.stopService()
        await defer.maybeDeferred(super().stopService)
        if self._access is not None:
            self._access.close()
        self._control.stop()

    def _again(self, name: str) -> None:
        """A further signal to end."""
        if self._drain_seconds:
            self.log.info("{name} again: what is left is cut", name=name)
            self._drain_seconds = 0.0
            for listener in (*self.listeners, *self._leaving):
                listener.site.cut()
