"""The gate's own pages, by the segments of their paths: one table for every face."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import NamedTuple

from couchgate.core.pages import ADMIN, ANYONE, PERSON
from couchgate.core.principal import Principal
from couchgate.endpoints import Answer, Endpoint, Question, Text
from couchgate.endpoints.session import session
from couchgate.endpoints.status import Readiness, health


class Page(NamedTuple):
    """A page: its `name` in logs, who may see it (`core.pages`), and what answers `ask(method, query, principal)`.

    `query` is what follows the `?`, raw.
    """

    name: str
    access: str
    ask: Callable[[bytes, bytes, Principal | None], Awaitable[Answer | Text]]


def pages_of(readiness: Readiness, for_admins: Mapping[str, Endpoint]) -> dict[tuple[bytes, ...], Page]:
    """Every page. `for_admins` are those for administrators, by name."""
    endpoints: list[tuple[str, str, Endpoint]] = [("health", ANYONE, health), ("ready", ANYONE, readiness)]
    endpoints += [(name, ADMIN, ask) for name, ask in for_admins.items()]
    pages: dict[tuple[bytes, ...], Page] = {(b"_session",): _page("_session", PERSON, session)}
    for name, access, ask in endpoints:
        pages[b"_gate", name.encode()] = _page(f"_gate/{name}", access, ask)
    return pages


def _page(name: str, access: str, ask: Endpoint) -> Page:
    return Page(name, access, lambda method, query, principal: ask(Question(method, principal, query)))
