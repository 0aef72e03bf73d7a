"""Resources for what the gate answers itself: an endpoint coroutine under a name of the tree."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from twisted.internet import defer
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from couchgate.core.errors import GateError
from couchgate.core.pages import Admins, check_person, needs_person, no_page
from couchgate.core.principal import Principal
from couchgate.core.verdict import Admission
from couchgate.web.door import Door
from couchgate.web.request import ClientRequest


class Answer(Protocol):
    """What an endpoint gives back."""

    @property
    def status(self) -> int: ...
    @property
    def content_type(self) -> bytes: ...
    @property
    def body(self) -> bytes: ...


Ask = Callable[[bytes, bytes, "Principal | None"], Awaitable[Answer]]


class PageResource(Resource):
    """A leaf that answers with the endpoint `ask(method, query, principal)` to whom `access` admits (`core.pages`).

    `query` is what follows the `?`, raw. `admins()` says who is an administrator.
    """

    isLeaf = True
    renders_lean = True

    def __init__(self, name: str, ask: Ask, access: str, door: Door, admins: Callable[[], Admins]) -> None:
        super().__init__()
        self._name = name
        self._ask = ask
        self._access = access
        self._door = door
        self._admins = admins

    def render(self, request: Any) -> Any:
        """Answer, now or later. Raises GateError."""
        asks = needs_person(self._access, self._admins().role, admin_listener=request.channel.site.admin)
        request.endpoint = self._name
        request.code = "own"
        if asks:
            self._admit(request, self._door, asked=False)
        else:
            self._answer(request, None)
        return NOT_DONE_YET

    def _admit(self, request: ClientRequest, door: Door, *, asked: bool, person: Principal | None = None) -> None:
        verdict = door.gate.admit(request.head, door.facts, request.started, asked=asked, person=person)
        if not isinstance(verdict, Admission):
            door.once_more(
                request, verdict, lambda asked, person: self._admit(request, door, asked=asked, person=person)
            )
            return
        request.principal = verdict.principal.name
        check_person(self._access, verdict.principal, self._admins())
        self._answer(request, verdict.principal)

    def _answer(self, request: ClientRequest, principal: Principal | None) -> None:
        async def answer() -> None:
            try:
                given = await self._ask(request.method, request.head.target.partition(b"?")[2], principal)
            except GateError as error:
                if request.waits:
                    request.refuse(error)
                return
            if request.waits:
                lines = b"Content-Type: %b\r\nCache-Control: no-store\r\n" % given.content_type
                request.respond(given.status, lines, given.body)

        defer.ensureDeferred(answer()).addErrback(request.fault)


class OwnResource(Resource):
    """`/_gate`: its children, and nothing else."""

    renders_lean = True

    def getChild(self, path: bytes, request: Any) -> Resource:  # noqa: ARG002  # Twisted's signature
        """There is no such page. Raises NotFound."""
        raise no_page()

    def render(self, request: Any) -> Any:  # noqa: ARG002  # Twisted's signature
        """There is no page at `/_gate` itself. Raises NotFound."""
        raise no_page()
