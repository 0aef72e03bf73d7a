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

from couchgate.core.credential import BasicCredential
from couchgate.core.errors import GateError, Unauthorized
from couchgate.core.gate import Admission, Facts, Forward, Gate, NeedKeys, NeedPrincipal
from couchgate.core.principal import Principal
from couchgate.web.couchdb import Pool
from couchgate.web.relay import Relay
from couchgate.web.request import ClientRequest

Refresh = Callable[[str, "str | None"], "defer.Deferred[None]"]
AskPeople = Callable[[BasicCredential, str], "defer.Deferred[Principal]"]


class Door:
    """What Resources that ask the gate have in common.

    `facts` is what is known now; `refresh(rules_id, kid)` fetches keys, fires when done and never fails;
    `ask_people(credential, address)` gives the person whose name and password that is, or fails with a GateError.
    """

    def __init__(self, gate: Gate, facts: Facts, refresh: Refresh, ask_people: AskPeople) -> None:
        self.obey(gate, facts, refresh, ask_people)

    def obey(self, gate: Gate, facts: Facts, refresh: Refresh, ask_people: AskPeople) -> None:
        """Ask these from now on."""
        self.gate = gate
        self.facts = facts
        self._refresh = refresh
        self._ask_people = ask_people

    def name(self, request: ClientRequest, person: Principal | None) -> None:
        """Tell a refused request whose it is, for logs, if its token is valid or it is `person`'s."""
        with suppress(GateError):
            admission = self.gate.admit(request.head, self.facts, request.started, person=person)
            if isinstance(admission, Admission):
                request.principal = admission.principal.name

    def once_more(
        self, request: ClientRequest, need: NeedKeys | NeedPrincipal, act: Callable[[bool, Principal | None], None]
    ) -> None:
        """Find out what a decision needs, then `act`, which asks again, if the client still waits.

        It is given whether these facts were asked already, and the person if that was what was needed: a reload may
        have brought others meanwhile, and then nothing was asked of them.
        """
        facts, ask_people = self.facts, self._ask_people

        async def again() -> None:
            try:
                person: Principal | None = None
                if isinstance(need, NeedPrincipal):
                    known = await ask_people(need.credential, request.address)
                    person = known if self._ask_people == ask_people else None
                else:
                    await self._refresh(need.rules_id, need.kid)
                if request.waits:
                    act(self.facts is facts, person)
            except GateError as error:
                if request.waits:
                    request.refuse(error)

        defer.ensureDeferred(again()).addErrback(request.fault)


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

    def _decide(self, request: ClientRequest, *, asked: bool, person: Principal | None = None) -> None:
        door, channel = self._door, request.channel
        target = request.target
        assert target is not None  # noqa: S101  # for the type checker: the site has set it
        gate = door.gate
        trace = request.trace if gate.traces else b""
        try:
            verdict = gate.decide(
                request.head,
                target,
                channel.peer,
                door.facts,
                request.started,
                asked=asked,
                request_id=trace,
                person=person,
            )
        except Unauthorized:
            raise
        except GateError:
            door.name(request, person)
            raise
        if not isinstance(verdict, Forward):
            door.once_more(request, verdict, lambda asked, person: self._decide(request, asked=asked, person=person))
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
