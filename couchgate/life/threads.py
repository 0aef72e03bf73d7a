"""The reactor's hold on a threaded listener: hands it its socket, and takes what its threads tell."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from twisted.internet import defer, protocol
from twisted.internet.interfaces import IProtocolNegotiationFactory
from twisted.internet.threads import blockingCallFromThread
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from couchgate.core.again import stays_until
from couchgate.core.verdict import Facts
from couchgate.life.pages import Page
from couchgate.recorder.flight import Flight
from couchgate.threaded.accepting import Accepting
from couchgate.threaded.client import ClientGone
from couchgate.threaded.face import ThreadedFace
from couchgate.threaded.parts import Present
from couchgate.threaded.relay import Relay
from couchgate.threaded.request import ThreadedRequest
from couchgate.web.channel import GateChannel
from couchgate.web.request import ClientRequest
from couchgate.web.site import Site
from couchgate.web.stock import StockSite
from couchgate.wire.lane import Lane
from couchgate.wire.secured import Secured, server_side


@implementer(IProtocolNegotiationFactory)
class ThreadedSite(protocol.Factory):
    """What a listener in the mode threaded has in the place of a `GateSite`, and answers like one.

    `elsewhere(segment)` says whether a deployment's own Resource stands under this first segment: those need the
    reactor. `count` is told of each request that is over, and so is `log`, if there is one.
    """

    noisy = False
    _log = Logger()

    def __init__(
        self,
        present: Present,
        pages: Mapping[tuple[bytes, ...], Page],
        elsewhere: Callable[[bytes], bool],
        *,
        reactor: Any,
        count: Callable[[ClientRequest], None],
        log: Callable[[ClientRequest], None] | None,
    ) -> None:
        # For what log and metrics are told: they know the reactor's kind of request only.
        self._told = Site(None, StockSite(reactor), time.time, count, lambda: None, 0.0)
        self._reactor = reactor
        self._empty: defer.Deferred[None] | None = None
        self._secured: Secured | None = None
        self._asked: set[defer.Deferred[Any]] = set()  # what threads wait for
        self._obey(present, log)
        tell = reactor.callFromThread
        self._face = ThreadedFace(
            present,
            pages,
            elsewhere,
            call=self._call,
            wall=time.time,
            finished=lambda request: tell(self._finished, request),
            fault=lambda error: tell(self._fault, Failure(error)),
            warn=lambda sentence: tell(self._warn, sentence),
            changed=lambda: tell(self._look),
        )

    def obey(self, present: Present, log: Callable[[ClientRequest], None] | None) -> None:
        """Serve by these from now on: requests that have begun go on by what they began with."""
        self._obey(present, log)
        self._face.present = present

    def _obey(self, present: Present, log: Callable[[ClientRequest], None] | None) -> None:
        self.gate = present.gate
        self._told.obey(
            present.gate,
            present.limits,
            keepalive=False,
            first_byte_seconds=present.first_byte_seconds,
            upstream_idle_seconds=present.upstream_idle_seconds,
            log=log,
            admin=present.admin,
        )

    # -- the listener's life

    def buildProtocol(self, addr: Any) -> None:
        """Never for long: `hold` keeps Twisted from accepting."""

    def acceptableProtocols(self) -> list[bytes]:
        """What TLS may agree on (ALPN), as a `GateSite` has it."""
        return [b"http/1.1"]

    def speak_tls(self, creator: Any) -> None:
        """Make TLS of the connections from now on, by what an endpoint listens with (`IReactorSSL.listenSSL`)."""
        self._secured = server_side(creator, self, self._reactor)

    @staticmethod
    def hold(port: Any) -> None:
        """Let the connections of `port` wait until `take_over`."""
        port.stopReading()

    def take_over(self, port: Any, lane: Lane | None) -> Accepting:  # noqa: ARG002  # a GateSite needs the lane
        """Serve the connections of `port` in threads."""
        port.stopReading()
        return self._face.accept(port.socket.dup(), self._secured)

    def wind_down(self) -> None:
        """Each connection may have one more answer; it has one anyway."""

    def drain(self, seconds: float) -> defer.Deferred[None]:
        """Serve what is under way, end feeds well, close; after `seconds` cut what is left."""
        self._face.drain()
        empty: defer.Deferred[None] = defer.Deferred()
        self._empty = empty
        late = self._reactor.callLater(seconds, self.cut)

        def in_time(_: None) -> None:
            if late.active():
                late.cancel()

        self._look()
        return empty.addCallback(in_time)

    def _look(self) -> None:
        """A connection has ended."""
        if self._empty is not None and self._face.idle:
            empty, self._empty = self._empty, None
            empty.callback(None)

    def cut(self) -> None:
        """Cut every connection, and end what threads wait for."""
        self._face.cutting = True
        for waiting in list(self._asked):
            waiting.cancel()

    @property
    def recorder(self) -> Flight | None:
        """What hears of everything, if there is one."""
        return self._face.recorder

    @recorder.setter
    def recorder(self, recorder: Flight | None) -> None:
        self._face.recorder = recorder

    @property
    def under_way(self) -> list[ThreadedRequest]:
        """The requests that are being served."""
        return self._face.under_way

    @property
    def connections(self) -> int:
        """How many clients are connected."""
        return self._face.connections

    # -- what threads ask and tell

    def _call(self, ask: Callable[..., Any], *args: Any) -> Any:
        try:
            return blockingCallFromThread(self._reactor, self._ask, ask, args)
        except defer.CancelledError:
            raise ClientGone from None  # it is being cut

    def _ask(self, ask: Callable[..., Any], args: tuple[Any, ...]) -> defer.Deferred[Any]:
        if self._face.cutting:
            return defer.fail(defer.CancelledError())
        waiting = defer.maybeDeferred(ask, *args)
        self._asked.add(waiting)

        def over(result: Any) -> Any:
            self._asked.discard(waiting)
            return result

        return waiting.addBoth(over)

    def _finished(self, ended: ThreadedRequest) -> None:
        """A request is over."""
        request = ClientRequest(GateChannel(self._told, ended.peer), ended.head, ended.started, keep=False)
        request.trace = ended.trace
        request.target = ended.target
        request.status = ended.status
        request.code = ended.code
        request.reason = ended.reason
        request.endpoint = ended.endpoint
        request.principal = ended.principal
        request.received = ended.received
        request.sent = ended.sent
        request.upstream_seconds = ended.upstream_seconds
        if self._told.log is not None:
            self._told.log(request)
        self._told.count(request)

    def _fault(self, reason: Failure) -> None:
        self._log.failure("A request failed inside the gate", failure=reason)

    def _warn(self, sentence: str) -> None:
        self._log.warn("{sentence}", sentence=sentence)

    # -- feeds

    @property
    def feeds(self) -> list[tuple[str, str]]:
        """The principal and the database of each open feed."""
        requests = [relay.request for relay in self._face.open_feeds()]
        return [
            (request.principal, request.target.database)
            for request in requests
            if request.target is not None and request.target.database is not None
        ]

    def decide_feeds_again(self, facts: Facts, *, elsewhere: bool, same_people: bool) -> None:
        """As `GateSite.decide_feeds_again`."""
        for relay in self._face.open_feeds():
            expires = None if elsewhere else self._stays_until(relay, facts, same_people=same_people)
            if expires is None:
                relay.ending = True
            else:
                relay.expires = expires

    def _stays_until(self, relay: Relay, facts: Facts, *, same_people: bool) -> float | None:
        request = relay.request
        assert request.target is not None  # noqa: S101  # for the type checker: it was decided
        try:
            return stays_until(
                self.gate,
                facts,
                time.time(),
                head=request.head,
                target=request.target,
                peer=request.peer,
                lines=request.lines,
                principal=relay.principal,
                expires=relay.expires,
                same_people=same_people,
            )
        except Exception:  # noqa: BLE001  # fail closed, as a request does
            self._log.failure("A feed could not be decided again")
            return None
