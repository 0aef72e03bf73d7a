"""Who may see the gate's own pages."""

from types import SimpleNamespace

import pytest

from couchgate.core.errors import Forbidden, NotFound
from couchgate.core.pages import ADMIN, ANYONE, PERSON, check_person, needs_person, no_page
from couchgate.core.principal import Principal

ISSUER = "https://id.example.com/"


@pytest.mark.parametrize("role", ["", "ops"])
@pytest.mark.parametrize("admin_listener", [False, True])
def test_a_page_for_anyone_asks_nobody_and_one_for_persons_everybody(role, admin_listener):
    """Roles of administrators and their listeners change nothing about the other pages."""
    assert not needs_person(ANYONE, role, admin_listener=admin_listener)
    assert needs_person(PERSON, role, admin_listener=admin_listener)


def test_a_page_for_administrators_is_there_for_those_only():
    """Without a role it exists on their listeners alone, which ask nobody; with one, others ask for a token."""
    assert not needs_person(ADMIN, "", admin_listener=True)
    assert not needs_person(ADMIN, "ops", admin_listener=True)
    assert needs_person(ADMIN, "ops", admin_listener=False)
    with pytest.raises(NotFound) as caught:
        needs_person(ADMIN, "", admin_listener=False)
    assert caught.value.reason == no_page().reason


@pytest.mark.parametrize(
    ("issuer", "roles", "welcome"),
    [
        (ISSUER, ("a", "ops"), True),
        (ISSUER, ("a",), False),
        (ISSUER, (), False),
        ("https://other.example/", ("ops",), False),
    ],
)
def test_an_administrator_has_the_role_from_the_right_issuer(issuer, roles, welcome):
    """The same role from another issuer is nothing."""
    person = Principal(issuer, "alice", roles, None, "")
    admins = SimpleNamespace(role="ops", issuers=frozenset({ISSUER}))
    check_person(PERSON, person, admins)
    if welcome:
        check_person(ADMIN, person, admins)
    else:
        with pytest.raises(Forbidden) as caught:
            check_person(ADMIN, person, admins)
        assert caught.value.code == "admin"
