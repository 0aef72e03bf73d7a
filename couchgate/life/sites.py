"""What serves a listener's connections, by its mode: made, and told what is in force."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from twisted.web.resource import Resource

from couchgate.life.pages import Page
from couchgate.life.selecting import limits_of
from couchgate.life.setup import Setup
from couchgate.life.threads import ThreadedSite
from couchgate.settings import ListenerSettings
from couchgate.threaded.parts import Present, Upstream
from couchgate.upstream.blocking import BlockingUpstream, SecureWay
from couchgate.upstream.dialling import Places
from couchgate.web.factory import GateSite
from couchgate.web.request import ClientRequest
from couchgate.wire.secured import client_side
from couchgate.wiring import tls_of, verify_of

Log = Callable[[ClientRequest], None]
Site = GateSite | ThreadedSite


class Sites:
    """Makes sites that share the Resource tree `root` and the gate's own `pages`."""

    def __init__(self, root: Resource, pages: Mapping[tuple[bytes, ...], Page], reactor: Any) -> None:
        self._root = root
        self._pages = pages
        self._reactor = reactor
        self._ways: tuple[object, Places, SecureWay | None] | None = None  # to CouchDB, by these settings

    def make(self, setup: Setup, listener: ListenerSettings, count: Log, log: Log | None) -> Site:
        """A site for this listener that obeys `setup`. `count` and `log` are told of each request that is over."""
        if listener.mode == "threaded":
            own = {path[0] for path in self._pages}
            return ThreadedSite(
                self._present(setup, listener),
                self._pages,
                lambda segment: segment not in own and segment in self._root.children,
                reactor=self._reactor,
                count=count,
                log=log,
            )
        upstream = setup.settings.upstream
        return GateSite(
            setup.gate,
            self._root,
            limits_of(setup.settings, self._reactor),
            mode=listener.mode,
            first_byte_seconds=upstream.first_byte_seconds,
            upstream_idle_seconds=upstream.idle_seconds,
            clock=self._reactor,
            wall=time.time,
            count=count,
            log=log,
            admin=listener.admin,
        )

    @staticmethod
    def fits(site: Site, listener: ListenerSettings) -> bool:
        """Whether `site` can serve in the mode of `listener`."""
        return isinstance(site, ThreadedSite) == (listener.mode == "threaded")

    def tell(self, site: Site, setup: Setup, listener: ListenerSettings, log: Log | None) -> None:
        """Let `site`, which fits, obey `setup` from now on."""
        if isinstance(site, ThreadedSite):
            site.obey(self._present(setup, listener), log)
            return
        settings = setup.settings
        site.obey(
            setup.gate,
            limits_of(settings, self._reactor),
            mode=listener.mode,
            first_byte_seconds=settings.upstream.first_byte_seconds,
            upstream_idle_seconds=settings.upstream.idle_seconds,
            log=log,
            admin=listener.admin,
        )

    def _present(self, setup: Setup, listener: ListenerSettings) -> Present:
        settings = setup.settings
        upstream = settings.upstream
        if self._ways is None or self._ways[0] != upstream:
            verify = verify_of(upstream)
            way = None
            if upstream.tls is not None and verify is not None:
                way = SecureWay(client_side(tls_of(upstream.tls), self._reactor), verify)
            self._ways = upstream, Places(upstream.host, upstream.port, upstream.socket), way
        _, places, way = self._ways
        seconds = upstream.connect_seconds

        def connect(method: bytes) -> Upstream:
            return BlockingUpstream(places, seconds, method, way)

        return Present(
            setup.gate,
            setup.keyring,
            settings.limits,
            setup.keyring.refresh,
            setup.people.ask,
            connect,
            upstream.first_byte_seconds,
            upstream.idle_seconds,
            settings.admin,
            listener.admin,
        )
