"""`[admin]`: who may see the pages that are for administrators."""

from __future__ import annotations

from couchgate.settings.model import AdminSettings, IssuerSettings
from couchgate.settings.reader import Table
from couchgate.settings.rules import check_role, issuers_of

ADMIN_KEYS = ("role", "issuers")


def read_admin(table: Table, issuers: tuple[IssuerSettings, ...]) -> AdminSettings:
    """The whole table."""
    role = table.text("role", "", empty=True)
    if not role:
        if table.has("issuers"):
            raise table.error("issuers", "says whose role it is, and admin.role is empty; write the role, too")
        return AdminSettings()
    check_role(table, "role", role)
    return AdminSettings(role, issuers_of(table, issuers, "the role"))
