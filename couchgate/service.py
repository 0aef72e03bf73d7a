"""The life of the gate: what starts, listens, drains and stops. Its parts are made by `couchgate.wiring`."""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Awaitable, Iterable
from contextlib import suppress
from typing import IO, Any

from twisted.application.service import MultiService
from twisted.internet import defer, endpoints, task
from twisted.logger import Logger
from twisted.python.failure import Failure

from couchgate.accesslog import AccessLog
from couchgate.core.identity import basic_line
from couchgate.endpoints import Endpoint, Question
from couchgate.endpoints.session import session
from couchgate.endpoints.status import Readiness, health
from couchgate.facts.keyring import KeyRing
from couchgate.facts.sources import key_source
from couchgate.overview import Overview
from couchgate.settings import Settings
from couchgate.sight.exposition import Reloads
from couchgate.upstream.pool import UpstreamPool
from couchgate.upstream.probe import probe, reach
from couchgate.web.own import AdminResource, Ask, EndpointResource, OwnResource
from couchgate.web.resources import Door, ReverseProxyResource, RootResource
from couchgate.web.site import GateSite
from couchgate.wire.acceptor import Acceptor
from couchgate.wire.lane import lane_of
from couchgate.wiring import connector_of, endpoint_of, gate_of, verify_of

POOL_SWEEP_SECONDS = 1.0
YOUNG_OBJECTS = 10_000  # made and not freed before the collector looks at them; Python's default is 700


def settle_memory() -> None:
    """Take what is there for good out of the collector's sight, and let it look less often.

    A full collection walks some 50,000 objects of modules and settings that never die: with 4,000 remembered heads it
    stops every client for 30 to 80 ms, and for 4 ms without them. What requests leave behind is nearly all freed by its
    reference counts: looking after each 700 objects costs some 5 % of the time of decisions and finds little. With
    10,000 the rare cycles (a connection and its wire) take 1.3 MB at most. (CPython 3.11, two shared cores.)
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, 10, 10)


def _endpoint(ask: Endpoint) -> Ask:
    return lambda method, query, principal: ask(Question(method, principal, query))


class GateService(MultiService):
    """The whole gate: key ring, pool and listeners, from `settings`.

    `root` is the Resource tree. A deployment may put Resources of its own into it before the service starts, under
    names that CouchDB does not need: `service.root.putChild(b"_app", File("app"))`. `Host` and CORS are the gate's
    there, too; a token is asked for only if the Resource does.
    """

    log = Logger()

    def __init__(self, settings: Settings, reactor: Any) -> None:
        super().__init__()
        self.settings = settings
        self._reactor = reactor
        self.keyring = KeyRing(
            {issuer.rules.id: key_source(issuer, reactor) for issuer in settings.issuers},
            reactor,
            issuers={issuer.rules.id: issuer.rules.issuer for issuer in settings.issuers},
        )
        self.keyring.setServiceParent(self)
        upstream = settings.upstream
        self.lane = lane_of(reactor)
        self.pool = UpstreamPool(
            connector_of(reactor, self.lane, upstream),
            reactor.seconds,
            connect_seconds=upstream.connect_seconds,
            idle_most=upstream.connections,
        )
        self._pool_sweep = task.LoopingCall(self.pool.sweep)
        self._pool_sweep.clock = reactor
        self.readiness = Readiness(self.keyring.missing, self._ask_couchdb, reactor.seconds)
        self._log_stream: IO[str] | None = None
        self._access: AccessLog | None = None
        self.gate = gate_of(settings)
        self.reloads: Reloads | None = None
        self.overview = Overview(self, time.time)
        self.root = self._tree()
        self.sites: list[GateSite] = []
        self.ports: list[Any] = []
        self._acceptors: list[Acceptor] = []

    def _tree(self) -> RootResource:
        door = Door(self.gate, self.keyring, self.keyring.refresh)
        root = RootResource(ReverseProxyResource(door, self.pool))
        own = OwnResource()
        own.putChild(b"health", EndpointResource("_gate/health", _endpoint(health)))
        own.putChild(b"ready", EndpointResource("_gate/ready", _endpoint(self.readiness)))
        for name, ask in self.overview.endpoints.items():
            page = AdminResource(f"_gate/{name}", _endpoint(ask), door, lambda: self.settings.admin)
            own.putChild(name.encode(), page)
        root.putChild(b"_gate", own)
        root.putChild(b"_session", EndpointResource("_session", _endpoint(session), door))
        return root

    def listening(self) -> Iterable[tuple[str, GateSite]]:
        """The endpoint string and the site of each listener."""
        endpoints = [listener.endpoint for listener in self.settings.gate.listeners]
        return zip(endpoints, self.sites, strict=False)

    def privilegedStartService(self) -> None:
        """Listen. A port that cannot be had ends the program with one sentence (SystemExit)."""
        super().privilegedStartService()
        self._access = log = self._access_log()
        for listener in self.settings.gate.listeners:
            site = GateSite(
                self.gate,
                self.root,
                self.settings.limits,
                mode=listener.mode,
                first_byte_seconds=self.settings.upstream.first_byte_seconds,
                clock=self._reactor,
                wall=time.time,
                count=self.overview.tally(listener.endpoint).count,
                log=log,
                admin=listener.admin,
            )
            try:
                endpoint = endpoints.serverFromString(self._reactor, listener.endpoint)
                listening = endpoint.listen(site)
            except Exception as error:  # noqa: BLE001  # endpoint parsers raise what they like
                raise SystemExit(f"couchgate: cannot listen on {listener.endpoint!r}: {error}") from None
            self.sites.append(site)
            problems: list[Failure] = []
            listening.addCallbacks(self.ports.append, problems.append)
            if problems:
                reason = problems[0].value
                reason = getattr(reason, "socketError", reason)
                raise SystemExit(
                    f"couchgate: cannot listen on {listener.endpoint!r}: {reason}. "
                    "End the program that uses it, or name another endpoint in [gate] listen."
                )

    def startService(self) -> None:
        """Fetch keys and serve. A state folder that cannot be had ends the program with one sentence (SystemExit)."""
        self._make_state_dir()  # here and not where ports are opened: by now twistd has given up root's powers
        super().startService()
        self._pool_sweep.start(POOL_SWEEP_SECONDS, now=False).addErrback(
            lambda reason: self.log.failure("The pool's sweep failed", failure=reason)
        )
        for warning in self.settings.warnings:
            self.log.warn("{warning}", warning=warning)
        for site, port in zip(self.sites, self.ports, strict=False):
            acceptor = None if self.lane is None else site.take_over(port, self.lane)
            if acceptor is not None:
                self._acceptors.append(acceptor)
            mode = "keepalive" if site.keepalive else "close"
            self.log.info("couchgate listens on {address} ({mode})", address=port.getHost(), mode=mode)
        settle_memory()
        defer.ensureDeferred(self._first_look()).addErrback(
            lambda reason: self.log.failure("The first look at CouchDB failed", failure=reason)
        )

    def _make_state_dir(self) -> None:
        path = self.settings.gate.state_dir
        try:
            path.mkdir(mode=0o700)
        except FileExistsError:
            pass  # whoever made it has said who may see it
        except OSError as error:
            raise SystemExit(
                f"couchgate: gate.state_dir names {path}, which cannot be made: {error.strerror}. "
                "Name a folder that the gate's user may write to."
            ) from None

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

    async def _stop(self) -> None:
        self.readiness.draining = True
        for acceptor in self._acceptors:
            acceptor.stop()
        for port in self.ports:
            await defer.maybeDeferred(port.stopListening)
        seconds = self.settings.gate.drain_seconds
        await defer.gatherResults([site.drain(seconds) for site in self.sites])
        self.pool.stop()
        if self._pool_sweep.running:
            self._pool_sweep.stop()
        await defer.maybeDeferred(super().stopService)
        if self._access is not None:
            self._access.flush()  # the lines of this turn, for which there may be no next one
        if self._log_stream is not None and self._log_stream is not sys.__stdout__:
            with suppress(OSError):  # what could not be written was told before
                self._log_stream.close()

    def stopService(self) -> defer.Deferred[None]:
        """Stop listening, let what is under way finish within `drain_seconds`, end feeds well."""
        return defer.ensureDeferred(self._stop())

    def _access_log(self) -> AccessLog | None:
        where = self.settings.access_log
        if where == "off":
            return None
        if where == "stdout":
            stream: Any = sys.__stdout__  # twistd wraps sys.stdout into its own log
        else:
            try:
                stream = open(where, "a", encoding="utf-8")  # noqa: SIM115  # closed by stopService
            except OSError as error:
                raise SystemExit(
                    f"couchgate: the access log {where!r} cannot be written: {error.strerror}. "
                    "Name another path in [log] access, or 'off'."
                ) from None
        self._log_stream = stream
        return AccessLog(
            stream,
            lambda flush: self._reactor.callLater(0, flush),
            time.time,
            lambda sentence: self.log.error("{sentence}", sentence=sentence),
        )
