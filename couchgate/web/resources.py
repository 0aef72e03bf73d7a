"""The Resource tree: the gate's own pages by name, and under every other name CouchDB.

`ReverseProxyResource` is the leaf that relays. It decides when it is rendered, which is when the head is complete.

A Resource class with `renders_lean = True` takes the lean `ClientRequest` in `getChild` and `render`, before anything
of the body is read, and may raise GateError. Every other Resource of `twisted.web`, and all below it, is given a stock
request (`couchgate.web.stock`), so any can be put into the tree. An attribute and not an interface: it is asked for
each step of every request, and `providedBy` costs four times as much.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from twisted.internet import defer
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from couchgate.core.errors import GateError, Unauthorized
from couchgate.core.gate import Facts, Gate, NeedKeys
from couchgate.web.couchdb import Pool
from couchgate.web.relay import Relay
from couchgate.web.request import ClientRequest

Refresh = Callable[[str, "str | None"], "defer.Deferred[None]"]


class Door:
    """What Resources that ask the gate have in common.

    `facts` is what is known now; `refresh(rules_id, kid)` fetches keys, fires when done and never fails.
    """

    def __init__(self, gate: Gate, facts: Facts, refresh: Refresh) -> None:
        self.obey(gate, facts, refresh)

    def obey(self, gate: Gate, facts: Facts, refresh: Refresh) -> None:
        """Ask these from now on."""
        self.gate = gate
        self.facts = facts
        self._refresh = refresh

    def name(self, request: ClientRequest) -> None:
        """Tell a refused request whose it is, for logs, if its token is valid."""
        with suppress(GateError):
            admission = self.gate.admit(request.head, self.facts, request.started)
            if not isinstance(admission, NeedKeys):
                request.principal = admission.principal.name

    def once_more(self, request: ClientRequest, need: NeedKeys, act: Callable[[bool], None]) -> None:
        """Fetch the keys that a decision needs, then `act`, which asks again, if the client still waits.

        It is given whether these facts were asked already: a reload may have brought others meanwhile.
        """
        facts = self.facts

        def again(_: object) -> None:
            if not request.waits:
                return
            try:
                act(self.facts is facts)
            except GateError as error:
                request.refuse(error)

        self._refresh(need.rules_id, need.kid).addCallback(again).addErrback(request.fault)


class ReverseProxyResource(Resource):
    """Relays to CouchDB, through `pool`, what the gate lets through."""

    isLeaf = True
    renders_lean = True

    def __init__(self, door: Door, pool: Pool) -> None:
        super().__init__()
        self._door = door
        self.pool = pool

    def render(self, request: Any) -> Any:
        """Decide, and relay. Raises GateError."""
        self._decide(request, asked=False)
        return NOT_DONE_YET

    def _decide(self, request: ClientRequest, *, asked: bool) -> None:
        door, channel = self._door, request.channel
        target = request.target
        assert target is not None  # noqa: S101  # for the type checker: the site has set it
        gate = door.gate
        trace = request.trace if gate.traces else b""
        try:
            verdict = gate.decide(
                request.head, target, channel.peer, door.facts, request.started, asked=asked, request_id=trace
            )
        except Unauthorized:
            raise
        except GateError:
            door.name(request)
            raise
        if isinstance(verdict, NeedKeys):
            door.once_more(request, verdict, lambda asked: self._decide(request, asked=asked))
            return
        request.principal = verdict.principal.name
        Relay(request, verdict, channel.site, self.pool).start()


class RootResource(Resource):
    """The root of the tree: `leaf` stands under every name that no child has."""

    renders_lean = True

    def __init__(self, leaf: Resource) -> None:
        super().__init__()
        self._leaf = leaf

    def getChild(self, path: bytes, request: Any) -> Resource:  # noqa: ARG002  # Twisted's signature
        """CouchDB."""
        return self._leaf

    def render(self, request: Any) -> Any:
        """`/` is CouchDB's too."""
        return self._leaf.render(request)
