"""What Resources that ask the gate have in common: the gate, what is known now, and the way on when that is too little.

Apart from the Resources because it is compiled, which a subclass of Twisted's classes cannot be.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from twisted.internet import defer
from twisted.python.failure import Failure

from couchgate.core.credential import BasicCredential
from couchgate.core.errors import GateError, Unauthorized
from couchgate.core.gate import Gate
from couchgate.core.principal import Principal
from couchgate.core.verdict import Admission, Facts, Forward, NeedKeys, NeedPrincipal, NeedVerdict
from couchgate.web.couchdb import Pool
from couchgate.web.relay import Relay
from couchgate.web.request import ClientRequest

Refresh = Callable[[str, "str | None"], "defer.Deferred[None]"]
AskPeople = Callable[[BasicCredential, str], "defer.Deferred[Principal]"]


class Way(Protocol):
    """The way to CouchDB: the pool of now, which a reload may replace."""

    pool: Pool


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
            except defer.CancelledError:
                pass  # the client has left
            except GateError as error:
                if request.waits:
                    request.refuse(error)

        request.finding_out = defer.ensureDeferred(again()).addErrback(request.fault)

    def learn(self, request: ClientRequest) -> GateError | None:
        """Let the gate verify the token of `request`: why it is refused, or None."""
        return self.gate.learn(request.head, self.facts, request.started)

    def forward(
        self,
        request: ClientRequest,
        way: Way,
        *,
        asked: bool = False,
        person: Principal | None = None,
        patient: bool = False,
    ) -> None:
        """Decide, and relay to CouchDB. Raises GateError.

        `patient`: a token that is new may be verified when all that is ready has been read, if a lane reads it. That is
        for a request that comes, and not for one that has waited for anything: it could wait for ever.
        """
        channel, target, gate = request.channel, request.target, self.gate
        lane = channel.site.lane
        assert target is not None  # noqa: S101  # for the type checker: the site has set it
        trace = request.trace if gate.traces else b""
        try:
            verdict = gate.decide(
                request.head,
                target,
                channel.peer,
                self.facts,
                request.started,
                asked=asked,
                request_id=trace,
                person=person,
                patient=patient and lane is not None and lane.serving,
            )
        except Unauthorized:
            raise
        except GateError:
            self.name(request, person)
            raise
        recorder = channel.site.recorder
        if isinstance(verdict, NeedVerdict):
            if lane is not None:
                lane.postponed.append(Newcomer(self, request, way))
            return
        if not isinstance(verdict, Forward):
            if recorder is not None:
                request.subject = recorder.subject(request.head.method, request.endpoint, feed=target.feed)
                request.record = recorder.head_seen(request.subject, channel.record)
            self.once_more(
                request, verdict, lambda asked, person: self.forward(request, way, asked=asked, person=person)
            )
            return
        request.principal = verdict.principal.name
        if recorder is not None:
            if not request.subject:
                request.subject = recorder.subject(request.head.method, request.endpoint, feed=target.feed)
            request.record = recorder.decided(request.subject, channel.record)
        Relay(request, verdict, channel.site, way.pool).start()


class Newcomer:
    """A request whose token is new, until others like it have been read."""

    def __init__(self, door: Door, request: ClientRequest, way: Way) -> None:
        self._door = door
        self._request = request
        self._way = way
        self._refusal: GateError | None = None

    def prepare(self) -> None:
        """Verify the token."""
        self._refusal = self._door.learn(self._request)

    def act(self) -> None:
        """Decide, if the client still waits."""
        request = self._request
        if not request.waits:
            return
        if self._refusal is not None:
            request.refuse(self._refusal)
            return
        try:
            self._door.forward(request, self._way)
        except GateError as error:
            request.refuse(error)

    def abort(self) -> None:
        """The gate itself failed, as the present exception says: answer 500."""
        self._request.fault(Failure())
