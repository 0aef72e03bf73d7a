"""Who may see the gate's own pages: anyone, whoever has a valid token, or administrators."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final, Protocol

from couchgate.core.errors import Forbidden, NotFound
from couchgate.core.principal import Principal

ANYONE: Final = "anyone"
PERSON: Final = "person"
ADMIN: Final = "admin"


class Admins(Protocol):
    """Who is an administrator: people of these issuers with this role; an empty role is nobody's."""

    @property
    def role(self) -> str:
        """The role."""

    @property
    def issuers(self) -> Collection[str]:
        """Each as in `Principal.issuer`."""


def no_page() -> NotFound:
    """There is no page of the gate's under this name."""
    return NotFound("The gate has no page of this name.")


def needs_person(access: str, role: str, *, admin_listener: bool) -> bool:
    """Whether a token is asked for before a page with this `access` is shown.

    `role` is that of administrators. A listener for administrators asks nobody; on others, while no role is named,
    their pages do not exist. Raises NotFound.
    """
    if access != ADMIN:
        return access == PERSON
    if not admin_listener and not role:
        raise no_page()
    return not admin_listener


def check_person(access: str, principal: Principal, admins: Admins) -> None:
    """Whether this person, whose token was asked for, may see the page. Raises Forbidden."""
    if access == ADMIN and (admins.role not in principal.roles or principal.issuer not in admins.issuers):
        raise Forbidden("This page is for administrators of the gate only.", code="admin")
