"""Resources for what the gate answers itself: an endpoint coroutine under a name of the tree."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from twisted.internet import defer
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from couchgate.core.errors import GateError, NotFound
from couchgate.core.gate import NeedKeys
from couchgate.core.principal import Principal
from couchgate.web.request import JSON, ClientRequest
from couchgate.web.resources import Door


class Answer(Protocol):
    """What an endpoint gives back."""

    @property
    def status(self) -> int: ...
    @property
    def body(self) -> bytes: ...


Ask = Callable[[bytes, "Principal | None"], Awaitable[Answer]]


class EndpointResource(Resource):
    """A leaf that answers with the endpoint `ask(method, principal)`; with a `door` it asks for a token first."""

    isLeaf = True
    renders_lean = True

    def __init__(self, name: str, ask: Ask, door: Door | None = None) -> None:
        super().__init__()
        self._name = name
        self._ask = ask
        self._door = door

    def render(self, request: Any) -> Any:
        """Answer, now or later. Raises GateError."""
        request.endpoint = self._name
        request.code = "own"
        door = self._door
        if door is None:
            self._answer(request, None)
            return NOT_DONE_YET

        self._admit(request, door, asked=False)
        return NOT_DONE_YET

    def _admit(self, request: ClientRequest, door: Door, *, asked: bool) -> None:
        verdict = door.gate.admit(request.head, door.facts, request.started, asked=asked)
        if isinstance(verdict, NeedKeys):
            door.once_more(request, verdict, lambda: self._admit(request, door, asked=True))
            return
        request.principal = verdict.principal.name
        self._answer(request, verdict.principal)

    def _answer(self, request: ClientRequest, principal: Principal | None) -> None:
        async def answer() -> None:
            try:
                given = await self._ask(request.method, principal)
            except GateError as error:
                if request.waits:
                    request.refuse(error)
                return
            if request.waits:
                request.respond(given.status, JSON, given.body)

        defer.ensureDeferred(answer()).addErrback(request.fault)


class OwnResource(Resource):
    """`/_gate`: its children, and nothing else."""

    renders_lean = True

    def getChild(self, path: bytes, request: Any) -> Resource:  # noqa: ARG002  # Twisted's signature
        """There is no such page. Raises NotFound."""
        raise NotFound("The gate has no page of this name.")

    def render(self, request: Any) -> Any:  # noqa: ARG002  # Twisted's signature
        """There is no page at `/_gate` itself. Raises NotFound."""
        raise NotFound("The gate has no page of this name.")
