"""`couchgate.core.principal`: whom a verified token stands for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from couchgate.core.errors import Unauthorized
from couchgate.core.principal import Principal, person_of, principal_of
from couchgate.core.token import ClaimNames, TokenRules


def rules(prefix="", reserved=(), **names):
    return TokenRules(
        "r",
        "https://id.example.com/",
        frozenset(),
        frozenset({"RS256"}),
        claims=ClaimNames(**names),
        name_prefix=prefix,
        reserved_prefixes=reserved,
    )


def test_usual_claims():
    """Name, roles, tenant and jti are taken from the usual claims."""
    claims = {"sub": "alice", "_couchdb.roles": ["editor"], "tenant": "acme", "jti": "t1"}
    assert principal_of(claims, rules()) == Principal("https://id.example.com/", "alice", ("editor",), "acme", "t1")


def test_least_claims():
    """A name alone is enough."""
    assert principal_of({"sub": "alice"}, rules()) == ("https://id.example.com/", "alice", (), None, None)


def test_hashable():
    """A principal can be a key, and the issuer is part of it."""
    here = principal_of({"sub": "alice", "_couchdb.roles": ["a"]}, rules())
    assert {here: 1}[here] == 1
    assert here != here._replace(issuer="https://other.example.com/")


def test_dotted_path():
    """A dotted name that is no literal claim is a path into objects."""
    claims = {"sub": "alice", "_couchdb": {"roles": ["editor"]}, "org": {"unit": {"id": "acme"}}}
    principal = principal_of(claims, rules(tenant="org.unit.id"))
    assert (principal.roles, principal.tenant) == (("editor",), "acme")


def test_literal_name_wins():
    """The literal claim `_couchdb.roles` is taken before the path of that name, even if it is null."""
    path = {"roles": ["path"]}
    assert principal_of({"sub": "a", "_couchdb.roles": ["flat"], "_couchdb": path}, rules()).roles == ("flat",)
    assert principal_of({"sub": "a", "_couchdb.roles": None, "_couchdb": path}, rules()).roles == ()


@pytest.mark.parametrize("claims", [{"org": "acme"}, {"org": {}}, {"org": ["id"]}, {"org": None}, {}])
def test_path_to_nothing(claims):
    """A path that leads to nothing is an absent claim."""
    assert principal_of({"sub": "alice", **claims}, rules(tenant="org.id")).tenant is None


@pytest.mark.parametrize(
    "name",
    [
        None,
        7,
        True,
        ["alice"],
        "",
        " alice",
        "alice ",
        "\u00a0alice",
        "alice\u2003",
        "alice\u3000",
        "\t",
        "a\nb",
        "a\x00b",
        "a\x7f",
        "a\x85b",
        "a\x9f",
        "a\ud800",
        "\udc00\ud800",
        "x" * 257,
        "é" * 129,
    ],
)
def test_name_refused(name):
    """A name that CouchDB could read as another one is a 401."""
    with pytest.raises(Unauthorized) as caught:
        principal_of({"sub": name}, rules())
    assert caught.value.code == "token_claims"


@pytest.mark.parametrize(
    "name", ["alice", "Ålice Ørsted", "a:b@c", "_alice", "x" * 256, "é" * 128, "用户", "\U0001f600"]
)
def test_name_accepted(name):
    """Any other name is taken as it is."""
    assert principal_of({"sub": name}, rules()).name == name


def test_prefix():
    """The prefix comes before the name and counts toward its length."""
    assert principal_of({"sub": "alice"}, rules(prefix="corp/")).name == "corp/alice"
    with pytest.raises(Unauthorized):
        principal_of({"sub": "x" * 252}, rules(prefix="corp/"))


@pytest.mark.parametrize("name", ["", " alice"])
def test_prefix_mends_nothing(name):
    """A name that is refused by itself is refused with a prefix too."""
    with pytest.raises(Unauthorized):
        principal_of({"sub": name}, rules(prefix="corp/"))


@pytest.mark.parametrize("name", ["b:", "b:alice", "corp/alice", "corp/"])
def test_reserved_prefix_refused(name):
    """A name that begins like those of another issuer is a 401."""
    with pytest.raises(Unauthorized) as caught:
        principal_of({"sub": name}, rules(reserved=("b:", "corp/")))
    assert caught.value.code == "token_claims"


@pytest.mark.parametrize("name", ["b", "B:alice", "alice@b:", "corp"])
def test_reserved_prefix_elsewhere(name):
    """Another issuer's prefix counts at the beginning only, in its own case, and whole."""
    assert principal_of({"sub": name}, rules(reserved=("b:", "corp/"))).name == name


@pytest.mark.parametrize("roles", ["editor", 7, {"editor": True}, ["a", 7], ["a", None], [["a"]], False])
def test_roles_refused(roles):
    """Roles that are not a list of strings are a 401."""
    with pytest.raises(Unauthorized) as caught:
        principal_of({"sub": "alice", "_couchdb.roles": roles}, rules())
    assert caught.value.code == "token_claims"


@pytest.mark.parametrize(
    "role",
    [
        "",
        "_admin",
        " _admin",
        "_admin ",
        "a,_admin",
        ",",
        "a\n",
        "\ta",
        "a\u00a0",
        "\u2003a",
        "a\x00",
        "a\x9fb",
        "\ud800",
    ],
)
def test_role_dropped(role):
    """A role that CouchDB would split, trim or take for its own is dropped, and the others stay."""
    assert principal_of({"sub": "alice", "_couchdb.roles": ["x", role, "y"]}, rules()).roles == ("x", "y")


def test_roles_order():
    """Roles keep their order and lose their repeats; an underscore inside is nothing special."""
    claims = {"sub": "alice", "_couchdb.roles": ["b", "a_b", "b", "Rôle 1"]}
    assert principal_of(claims, rules()).roles == ("b", "a_b", "Rôle 1")


@pytest.mark.parametrize("claim", ["tenant", "jti"])
@pytest.mark.parametrize("value", [None, 7, ["acme"], {}, True, "a\nb", "\ud800"])
def test_tenant_and_jti_refused(claim, value):
    """A tenant or a jti that is not a plain string is a 401."""
    with pytest.raises(Unauthorized) as caught:
        principal_of({"sub": "alice", claim: value}, rules())
    assert caught.value.code == "token_claims"


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec=None), max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["roles", "id", "x"]), inner, max_size=2)
    ),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from(["sub", "_couchdb.roles", "_couchdb", "tenant", "jti"]), VALUES))
def test_only_safe_principals(claims):
    """Whatever the claims, the outcome is a refusal or a principal that header parsing leaves as it is."""
    try:
        principal = principal_of(claims, rules())
    except Unauthorized:
        return
    assert principal.name == principal.name.strip() != ""
    assert len(principal.name.encode()) <= 256
    for role in principal.roles:
        assert role == role.strip() != ""
        assert "," not in role
        assert role[0] != "_"
    for text in (principal.name, *principal.roles, principal.tenant or "", principal.token_id or ""):
        assert not any(ord(c) < 32 or 127 <= ord(c) < 160 for c in text)
        text.encode()
    hash(principal)


def test_a_person_with_a_password_has_a_name_and_nothing_else():
    """No roles, no tenant, no token; the issuer is the checker's."""
    assert person_of("alice", "auth:file", "staff:") == Principal("auth:file", "staff:alice", (), None, None)


@pytest.mark.parametrize("name", ["", " alice", "alice\u00a0", "al\x00ice", "al\x85ice", "\udc80", "b:ob", "a" * 255])
def test_a_persons_name_is_held_to_the_rules_of_tokens(name):
    """What CouchDB would read as another name, or is another issuer's, is a 401 that does not speak of tokens."""
    with pytest.raises(Unauthorized) as caught:
        person_of(name, "auth:file", "" if name == "b:ob" else "x:", ("b:",))
    assert caught.value.code == "password_name"
    assert caught.value.headers == ((b"WWW-Authenticate", b"Bearer"),)
    assert "token" not in caught.value.reason
