"""Checkers that Twisted's strcred knows, behind portals of the gate."""

import pytest
from twisted.cred.checkers import ANONYMOUS
from twisted.cred.error import UnauthorizedLogin
from twisted.internet.defer import maybeDeferred

from couchgate.core.credential import BasicCredential
from couchgate.core.errors import Unauthorized
from couchgate.core.principal import Principal
from couchgate.facts.people import Login
from couchgate.interfaces import IPrincipal
from couchgate.portal import PersonRealm, portal_of

REALM = PersonRealm("auth:file", "staff-", ("id:",))


def login(portal, name, password):
    """Whom the portal lets in, or the error."""
    outcome = []
    maybeDeferred(portal.login, Login(BasicCredential(name, password)), None, IPrincipal).addBoth(outcome.append)
    return getattr(outcome[0], "value", None) or outcome[0][1]


@pytest.fixture
def passwords(tmp_path):
    """A file of names and passwords."""
    path = tmp_path / "passwd"
    path.write_text("alice:wonder\nj\u00f6rg:p\u00e4ss\nnobody:\nbroken\n", "utf-8")
    return path


@pytest.mark.parametrize(("name", "password"), [("alice", "wonder"), ("j\u00f6rg", "p\u00e4ss")])
def test_twisteds_file_checker_knows_who_is_in_its_file(passwords, name, password):
    """Its people have the issuer and the prefix that were given, and nothing else."""
    portal = portal_of("file", str(passwords), issuer="auth:file", name_prefix="f:")
    assert login(portal, name, password) == Principal("auth:file", f"f:{name}", (), None, None)
    for wrong in [(name, password + "x"), (name.upper(), password), (name, ""), ("broken", "x"), ("f:alice", "wonder")]:
        assert isinstance(login(portal, *wrong), UnauthorizedLogin)


def test_a_change_of_the_file_counts_at_once(passwords):
    """It is read for each question."""
    portal = portal_of("file", str(passwords), issuer="auth:file", name_prefix="")
    passwords.write_text("alice:other\n")
    assert isinstance(login(portal, "alice", "wonder"), UnauthorizedLogin)
    assert login(portal, "alice", "other").name == "alice"


def test_a_file_that_is_gone_is_no_wrong_password(passwords):
    """It is an OSError, which the gate answers with 503: a 401 would end every sync for good."""
    portal = portal_of("file", str(passwords), issuer="auth:file", name_prefix="")
    passwords.unlink()
    assert isinstance(login(portal, "alice", "wonder"), FileNotFoundError)


def test_twisteds_memory_checker_lets_in_whom_it_names():
    """Several people may be in its argument, in UTF-8."""
    portal = portal_of("memory", "alice:wonder:j\u00f6rg:p\u00e4ss", issuer="auth:memory", name_prefix="m:")
    assert login(portal, "alice", "wonder") == Principal("auth:memory", "m:alice", (), None, None)
    assert login(portal, "j\u00f6rg", "p\u00e4ss").name == "m:j\u00f6rg"
    assert isinstance(login(portal, "alice", "x"), UnauthorizedLogin)


@pytest.mark.parametrize(
    ("kind", "argument", "said"),
    [
        ("nonsense", "secret", 'has the kind "nonsense", which is not installed'),
        ("memory", "secret", 'has an argument that "memory" cannot use (InvalidAuthArgumentString)'),
        ("file", " ", 'has an argument that "file" cannot use (ValueError)'),
        ("anonymous", "secret", 'has the kind "anonymous", which takes no name and password'),
    ],
)
def test_a_checker_that_will_not_do_is_told_without_its_argument(kind, argument, said):
    """The argument may hold passwords."""
    with pytest.raises(ValueError, match="has ") as caught:
        portal_of(kind, argument, issuer=f"auth:{kind}", name_prefix="")
    assert str(caught.value).startswith(said)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("avatar", [ANONYMOUS, b"\xff"])
def test_nobody_is_let_in_without_a_name(avatar):
    """Neither the anonymous avatar nor bytes that are no text are a person."""
    with pytest.raises(UnauthorizedLogin):
        REALM.requestAvatar(avatar, None, IPrincipal)


@pytest.mark.parametrize("avatar", [b"", "al\x00ice", b" alice"])
def test_a_name_that_couchdb_could_not_be_told_is_refused(avatar):
    """Whatever a checker calls them."""
    with pytest.raises(Unauthorized):
        REALM.requestAvatar(avatar, None, IPrincipal)


def test_the_realm_gives_principals_only_and_logs_nobody_out():
    """It is asked for IPrincipal, and its logout does nothing."""
    _, person, logout = REALM.requestAvatar("alice", None, IPrincipal)
    assert (person.name, logout()) == ("staff-alice", None)
    with pytest.raises(NotImplementedError):
        REALM.requestAvatar("alice", None)
