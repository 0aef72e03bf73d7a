"""One endpoint that the gate listens on: it is bound, serves, and leaves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from twisted.internet import defer, endpoints, task
from twisted.internet.error import CannotListenError
from twisted.logger import Logger
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure

from couchgate.life.sites import Site
from couchgate.life.threads import ThreadedSite
from couchgate.settings import ListenerSettings
from couchgate.wire.lane import Lane

LINGER_SECONDS = 1.0  # how long a listener that is removed serves the connections that it has


class NotBoundError(Exception):
    """An endpoint cannot be listened on: one sentence for a person."""


class Stoppable(Protocol):
    """What accepts connections for a site."""

    def stop(self) -> None:
        """Accept no more, beyond those that the system has accepted already."""


class _SecureReactor:
    """What an `ssl:` endpoint listens with (IReactorSSL): a port for what `dressed` makes of TLS's means.

    So who serves decides how: Twisted's transports in the reactor, or each thread by itself.
    """

    def __init__(self, reactor: Any, dressed: Callable[[Any, Any], Any]) -> None:
        self._reactor = reactor
        self._dressed = dressed

    def listenSSL(self, port: int, factory: Any, contextFactory: Any, backlog: int = 50, interface: str = "") -> Any:
        """Listen for `factory`."""
        return self._reactor.listenTCP(port, self._dressed(contextFactory, factory), backlog, interface)


class Listener:
    """`site` behind the endpoint of `settings`."""

    log = Logger()

    def __init__(self, settings: ListenerSettings, site: Site, reactor: Any) -> None:
        self.settings = settings
        self.site = site
        self.port: Any = None
        self._reactor = reactor
        self._acceptor: Stoppable | None = None
        self._linger: defer.Deferred[None] | None = None
        self._creator: Any = None  # of TLS, if the endpoint has that

    def bind(self) -> defer.Deferred[None]:
        """Listen. Most endpoints do so at once; fails with NotBoundError."""
        endpoint = self.settings.endpoint
        secure = endpoint.partition(":")[0].lower() == "ssl"
        reactor = _SecureReactor(self._reactor, self._by_tls) if secure else self._reactor
        try:
            listening = endpoints.serverFromString(reactor, endpoint).listen(self.site)
        except Exception as error:  # noqa: BLE001  # endpoint parsers raise what they like
            return defer.fail(NotBoundError(f"cannot listen on {endpoint!r}: {error}"))

        def bound(port: Any) -> None:
            self.port = port
            if not isinstance(self.site, ThreadedSite):
                return
            if not hasattr(port, "stopReading"):  # a port of Windows' IOCP, which gives nobody its socket
                stopping = defer.maybeDeferred(port.stopListening)
                stopping.addErrback(lambda reason: self.log.failure("A port could not be closed", failure=reason))
                raise NotBoundError(
                    f"cannot listen on {endpoint!r} in mode threaded with this reactor: leave out twistd's --reactor."
                )
            self.site.hold(port)

        def failed(reason: Failure) -> None:
            if not reason.check(CannotListenError, OSError, ValueError):
                reason.raiseException()
            error = getattr(reason.value, "socketError", reason.value)
            raise NotBoundError(
                f"cannot listen on {endpoint!r}: {error}. "
                "End the program that uses it, or name another endpoint in [gate] listen."
            ) from None

        return listening.addCallbacks(bound, failed)  # type: ignore[no-any-return]  # Twisted's endpoints are untyped

    def _by_tls(self, creator: Any, site: Site) -> Any:
        self._creator = creator
        return self._factory(site)

    def _factory(self, site: Site) -> Any:
        """What the port has connections made by."""
        if self._creator is None:
            return site
        if isinstance(site, ThreadedSite):
            site.speak_tls(self._creator)
            return site
        return TLSMemoryBIOFactory(self._creator, False, site, self._reactor)  # noqa: FBT003  # Twisted's: no client

    def serve(self, lane: Lane | None) -> None:
        """Take connections, on `lane` where that can be."""
        if self.port is None:
            return  # an endpoint that takes its time; Twisted serves it
        self._acceptor = self.site.take_over(self.port, lane)
        self.log.info("couchgate listens on {address} ({mode})", address=self.port.getHost(), mode=self.settings.mode)

    def hand_over(self, site: Site) -> Listener:
        """Have `site` for who comes from now on (`serve`); what is returned has the connections of the present one."""
        left = Listener(self.settings, self.site, self._reactor)
        left._acceptor, self._acceptor = self._acceptor, None
        self.site = site
        if self.port is not None:
            self.port.factory.doStop()
            self.port.factory = factory = self._factory(site)
            factory.doStart()
            self.port.startReading()
        return left

    async def close(self) -> None:
        """Accept no more."""
        port, self.port = self.port, None
        if port is not None:
            await defer.maybeDeferred(port.stopListening)
        acceptor, self._acceptor = self._acceptor, None
        if acceptor is not None:  # last: until then it takes who comes, and a port closes a turn of the loop later
            acceptor.stop()

    async def leave(self, drain_seconds: float) -> None:
        """The settings no longer name it: serve who is there for a moment, and drain.

        A connection that waits for its next request may have it under way already: it is answered and then closed.
        """
        if self.port is not None:
            self.log.info("couchgate no longer listens on {endpoint}", endpoint=self.settings.endpoint)
        await self.close()
        self.site.wind_down()
        self._linger = task.deferLater(self._reactor, LINGER_SECONDS)
        try:
            await self._linger
        except defer.CancelledError:
            pass  # `hurry`
        finally:
            self._linger = None
        await self.site.drain(drain_seconds)

    def hurry(self) -> None:
        """The whole gate stops: drain now."""
        if self._linger is not None:
            self._linger.cancel()
