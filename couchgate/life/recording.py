"""The flight recorder in the gate's life: begun when it starts, beaten once a second, ended in order when it stops."""

from __future__ import annotations

import atexit
import os
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterable
from importlib.metadata import version
from typing import Any, Protocol

from twisted.application.service import Service
from twisted.internet import task
from twisted.logger import ILogObserver, LogEvent, Logger, globalLogPublisher
from twisted.python.failure import Failure
from zope.interface import implementer

from couchgate.core import gate as core_gate
from couchgate.facts.keyring import KeyRing
from couchgate.life.sites import Site
from couchgate.life.threads import ThreadedSite
from couchgate.recorder import records
from couchgate.recorder.flight import Flight, Gathering
from couchgate.recorder.process import boot
from couchgate.recorder.reading import UnreadableRingError
from couchgate.recorder.report import report_of
from couchgate.recorder.ring import Ring
from couchgate.recorder.runs import folder_of, look, look_back, new_ring
from couchgate.recorder.telling import one_line
from couchgate.settings import Settings
from couchgate.system import resident
from couchgate.upstream.pool import UpstreamPool
from couchgate.wire.lane import Lane

BEAT_SECONDS = 1.0
UNSEEN = 32  # records that say of a request that it is under way, before its thread has noted that for the beat


class Watched(Protocol):
    """The gate's parts as they are now; a reload may replace each of them."""

    @property
    def settings(self) -> Settings: ...
    @property
    def keyring(self) -> KeyRing: ...
    @property
    def pool(self) -> UpstreamPool: ...

    def listening(self) -> Iterable[tuple[str, Site]]:
        """The endpoint string and the site of each listener."""


class Recording(Service):
    """Records what `watched` does; a part of its service. What cannot be recorded is said once, and the gate serves.

    `unclean` counts the runs before this one that were found not to have ended in order. `flight` is what the sites
    tell, or None.
    """

    name = "recorder"
    log = Logger()

    def __init__(self, watched: Watched, reactor: Any, lane: Lane | None) -> None:
        self._watched = watched
        self._reactor = reactor
        self._lane = lane
        self._gathering: Gathering | None = None
        self._ring: Ring | None = None
        self._beating = task.LoopingCall(self._beat)
        self._beating.clock = reactor
        self._observer = _Exceptions(self._write)
        self._trigger: Any = None
        self._keys: dict[str, tuple[int, int, int]] = {}
        self.flight: Flight | None = None
        self.unclean = 0

    def startService(self) -> None:
        """Look at what earlier runs have left, and begin."""
        super().startService()
        settings = self._watched.settings
        if not settings.recorder.enabled:
            return
        folder = folder_of(settings.gate.state_dir)
        try:
            self._look_back(settings)
            listeners = [{"endpoint": each.endpoint, "mode": each.mode} for each in settings.gate.listeners]
            about = {
                "version": version("couchgate"),
                "compiled": not core_gate.__file__.endswith(".py"),
                "twisted": version("twisted"),
                "settings": str(settings.path),
                "digest": settings.digest,
                "listeners": listeners,
            }
            self._ring = new_ring(folder, settings.recorder.bytes, about)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            self.log.warn(
                "The gate serves without its flight recorder: {folder} cannot be written to ({reason}).",
                folder=folder,
                reason=reason,
            )
            return
        flight = self.flight = Flight(self._ring)
        flight.write(records.STARTED)
        self._gathering = flight.gathering()
        if self._lane is not None:
            self._lane.ledger = self._gathering
        for _, site in self._watched.listening():
            site.recorder = self.recorder_for(site)
        globalLogPublisher.addObserver(self._observer)
        self._trigger = self._reactor.addSystemEventTrigger("before", "shutdown", self._stopping)
        self._process = os.getpid()
        atexit.register(self._exit)
        self._beating.start(BEAT_SECONDS).addErrback(
            lambda reason: self.log.failure("The flight recorder's beat failed", failure=reason)
        )

    def recorder_for(self, site: Site) -> Flight | None:
        """What `site` tells. Threads have theirs written at once; the lane's thread may gather."""
        return self.flight if isinstance(site, ThreadedSite) else self._gathering

    def _look_back(self, settings: Settings) -> None:
        """Tell of the runs before this one that did not end in order."""
        try:
            found = look_back(folder_of(settings.gate.state_dir))
        except FileNotFoundError:
            return
        self.unclean = len(found)
        if not found:
            return
        others = f" ({len(found) - 1} others, too)" if len(found) > 1 else ""
        try:
            sentence = one_line(report_of(look(found[0].path), boot()))
        except (OSError, UnreadableRingError) as error:  # another gate that starts may have removed it
            sentence = f"its ring cannot be read, {getattr(error, 'strerror', None) or error}"
        self.log.warn(
            "The last run did not end in order{others}: {sentence}. "
            "couchgate postmortem --state-dir {state_dir} tells more.",
            others=others,
            sentence=sentence,
            state_dir=settings.gate.state_dir,
        )

    def stopService(self) -> None:
        """It has stopped in order."""
        super().stopService()
        flight, self.flight = self.flight, None
        gathering, self._gathering = self._gathering, None
        if self._lane is not None:
            self._lane.ledger = None
        if flight is None or gathering is None or self._ring is None:
            return
        gathering.release()
        for _, site in self._watched.listening():
            site.recorder = None
        if self._beating.running:
            self._beating.stop()
        trigger, self._trigger = self._trigger, None
        if trigger is not None:
            self._reactor.removeSystemEventTrigger(trigger)
        globalLogPublisher.removeObserver(self._observer)
        atexit.unregister(self._exit)
        flight.write(records.STOPPED)
        self._ring.mark(records.END_ORDERLY)
        self._ring = None

    def reloading(self, act: Callable[[], Awaitable[str]]) -> Callable[[], Awaitable[str]]:
        """`act`, a reload, with a record before it and one after it."""

        async def recorded() -> str:
            self._write(records.RELOADING)
            obeyed = 0
            try:
                sentence = await act()
                obeyed = 1
            finally:
                self._write(records.RELOADED, small=obeyed)
            return sentence

        return recorded

    def _write(self, kind: int, *, small: int = 0, word: str = "") -> None:
        flight = self.flight  # in any thread, since each may log what it meets with
        if flight is not None:
            flight.write(kind, small=small, word=word)

    def _beat(self) -> None:
        """What is written once a second: how the process is, what is new with keys, and what is still under way."""
        flight, gathering, ring = self.flight, self._gathering, self._ring
        if flight is None or gathering is None or ring is None:
            return
        watched, now = self._watched, time.time()
        sites = [site for _, site in watched.listening()]
        start, under_way = flight.numbers.last, [request for site in sites for request in site.under_way]
        requests = [request for request in under_way if request.principal and request.record]
        undecided = [request.record for request in under_way if not request.principal and request.record]
        feeds = sum(request.target is not None and request.target.feed for request in requests)
        pool = watched.pool
        # Before the beat, which says that all of them are told.
        told = {request.record for request in requests if flight.still(request, now)}
        flight.forget_all_but({request.record for request in requests})
        mentions = [flight.mention(request.record) for request in requests]
        oldest = max(min([start - UNSEEN, *undecided, *mentions]), 0)
        for ended in told - {request.record for site in sites for request in site.under_way}:
            flight.write(records.OVER, ended)
        memory, threads = resident(), threading.active_count()  # meanwhile threads may end any number of requests
        beat = flight.write(
            records.BEAT,
            flight.ended_count + gathering.ended_count,
            memory,
            flight.accepted_count + gathering.accepted_count,
            now,
            small=threads,
            counts=(feeds, len(requests)),
        )
        connections = sum(site.connections for site in sites)
        reach = divmod(beat - oldest, 1 << records.REACH)
        links = flight.write(records.LINKS, connections, pool.opened, pool.reused, float(pool.open), counts=reach)
        ring.keep((beat, links))
        for state in watched.keyring.states():
            known = (state.keys, state.attempts, state.failures)
            if self._keys.get(state.rules_id) != known:
                self._keys[state.rules_id] = known
                flight.write(records.KEYS, *known, word=state.rules_id)

    def _stopping(self) -> None:
        self._trigger = None
        self._write(records.STOPPING)

    def _exit(self) -> None:
        """The interpreter ends, and the gate was not stopped."""
        if self.flight is not None and self._ring is not None and os.getpid() == self._process:
            if self._gathering is not None:
                self._gathering.release()
            error = getattr(sys, "last_value", None)
            self.flight.write(records.EXITED, word="" if error is None else type(error).__name__)
            self._ring.mark(records.END_EXITED)


@implementer(ILogObserver)
class _Exceptions:
    """Records every failure that is logged: its type only, since its text may tell more than belongs there."""

    def __init__(self, write: Callable[..., None]) -> None:
        self._write = write

    def __call__(self, event: LogEvent) -> None:
        failure = event.get("log_failure")
        if isinstance(failure, Failure) and failure.type is not None:
            self._write(records.EXCEPTION, word=failure.type.__name__)
