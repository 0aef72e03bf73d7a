"""Resources for what the gate answers itself: an endpoint coroutine under a name of the tree."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from twisted.internet import defer
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from couchgate.core.errors import Forbidden, GateError, NotFound
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


class Admins(Protocol):
    """Who is an administrator: people of these issuers with this role; an empty role is nobody's."""

    @property
    def role(self) -> str: ...
    @property
    def issuers(self) -> frozenset[str]: ...


Ask = Callable[[bytes, bytes, "Principal | None"], Awaitable[Answer]]
_NO_PAGE = "The gate has no page of this name."


class EndpointResource(Resource):
    """A leaf that answers with the endpoint `ask(method, query, principal)`; with a `door` it asks for a token first.

    `query` is what follows the `?`, raw.
    """

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

    def _admit(self, request: ClientRequest, door: Door, *, asked: bool, person: Principal | None = None) -> None:
        verdict = door.gate.admit(request.head, door.facts, request.started, asked=asked, person=person)
        if not isinstance(verdict, Admission):
            door.once_more(
                request, verdict, lambda asked, person: self._admit(request, door, asked=asked, person=person)
            )
            return
        request.principal = verdict.principal.name
        self._check(verdict.principal)
        self._answer(request, verdict.principal)

    def _check(self, principal: Principal) -> None:
        """Whether this person may see the page. Raises Forbidden."""

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


class AdminResource(EndpointResource):
    """A page for administrators: those whom `admins()` names, and whoever reaches an admin listener.

    While it names no role, there is no such page on other listeners.
    """

    def __init__(self, name: str, ask: Ask, door: Door, admins: Callable[[], Admins]) -> None:
        super().__init__(name, ask, door)
        self._admins = admins

    def render(self, request: Any) -> Any:
        """Answer, now or later. Raises GateError."""
        if not request.channel.site.admin:
            if not self._admins().role:
                raise NotFound(_NO_PAGE)
            return super().render(request)
        request.endpoint = self._name
        request.code = "own"
        self._answer(request, None)
        return NOT_DONE_YET

    def _check(self, principal: Principal) -> None:
        admins = self._admins()
        if admins.role not in principal.roles or principal.issuer not in admins.issuers:
            raise Forbidden("This page is for administrators of the gate only.", code="admin")


class OwnResource(Resource):
    """`/_gate`: its children, and nothing else."""

    renders_lean = True

    def getChild(self, path: bytes, request: Any) -> Resource:  # noqa: ARG002  # Twisted's signature
        """There is no such page. Raises NotFound."""
        raise NotFound(_NO_PAGE)

    def render(self, request: Any) -> Any:  # noqa: ARG002  # Twisted's signature
        """There is no page at `/_gate` itself. Raises NotFound."""
        raise NotFound(_NO_PAGE)
