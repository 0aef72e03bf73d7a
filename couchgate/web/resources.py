"""The Resource tree: the gate's own pages by name, and under every other name CouchDB.

`ReverseProxyResource` is the leaf that relays. It decides when it is rendered, which is when the head is complete.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet import defer
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from couchgate.core.errors import GateError
from couchgate.core.gate import Admission, Facts, Forward, Gate, NeedKeys
from couchgate.web.relay import Pool, Relay
from couchgate.web.request import ClientRequest

Refresh = Callable[[str, "str | None"], "defer.Deferred[None]"]


class Door:
    """Asks the gate with the present facts, and fetches keys for it when it needs them.

    `facts` gives what is known now; `refresh(rules_id, kid)` fetches keys, fires when done and never fails.
    """

    def __init__(self, gate: Gate, facts: Callable[[], Facts], refresh: Refresh) -> None:
        self.gate = gate
        self.facts = facts
        self.refresh = refresh

    def then(
        self,
        request: ClientRequest,
        ask: Callable[[bool], Any],
        act: Callable[[Any], None],
    ) -> None:
        """Call `act` with what `ask` decides; if that needs keys, once more after a refresh. Raises GateError."""
        verdict = ask(False)  # noqa: FBT003  # "asked"
        if type(verdict) is not NeedKeys:
            act(verdict)
            return
        waiting = self.refresh(verdict.rules_id, verdict.kid)

        def again(_: object) -> None:
            if not request.waits:
                return
            try:
                act(ask(True))  # noqa: FBT003  # "asked"
            except GateError as error:
                request.refuse(error)

        waiting.addCallback(again)
        waiting.addErrback(lambda reason: request.fault(reason))


class ReverseProxyResource(Resource):
    """Relays to CouchDB what the gate lets through."""

    isLeaf = True

    def __init__(self, door: Door, pool: Pool) -> None:
        super().__init__()
        self._door = door
        self._pool = pool

    def render(self, request: Any) -> Any:
        """Decide, and relay. Raises GateError."""
        door = self._door
        channel = request.channel

        def ask(asked: bool) -> Forward | NeedKeys:  # noqa: FBT001  # Door calls it
            return door.gate.decide(request.head, channel.peer, door.facts(), request.started, asked=asked)

        door.then(request, ask, lambda forward: self._forward(request, forward))
        return NOT_DONE_YET

    def _forward(self, request: ClientRequest, forward: Forward) -> None:
        request.principal = forward.principal.name
        Relay(request, forward, request.channel.site, self._pool).start()


class RootResource(Resource):
    """The root of the tree: `leaf` stands under every name that no child has."""

    def __init__(self, leaf: Resource) -> None:
        super().__init__()
        self._leaf = leaf

    def getChild(self, path: bytes, request: Any) -> Resource:  # noqa: ARG002  # Twisted's signature
        """CouchDB."""
        return self._leaf

    def render(self, request: Any) -> Any:
        """`/` is CouchDB's too."""
        return self._leaf.render(request)
