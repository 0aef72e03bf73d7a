"""The first rule that applies decides, and a pattern never leads two people to one database."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from couchgate.core.errors import Forbidden
from couchgate.core.policy import Pattern, Policy, Rule
from couchgate.core.principal import Principal
from couchgate.core.target import Target, classify

ISSUER = "https://id.example.com/"


def who(name="alice", roles=(), tenant=None, issuer=ISSUER):
    """A principal."""
    return Principal(issuer, name, tuple(roles), tenant, None)


def rule(*databases, allow=("read",), roles=None, issuers=(ISSUER,)):
    """A rule; without databases it is for the server."""
    patterns = tuple(map(Pattern.parse, databases)) or None
    return Rule(frozenset(issuers), patterns, None if roles is None else frozenset(roles), frozenset(allow))


def passes(policy, principal, method, raw):
    """Whether the policy lets a request through."""
    return allows(policy, principal, classify(method, raw))


def allows(policy, principal, target):
    """Whether the policy lets this target be reached."""
    try:
        policy.check(principal, target)
    except Forbidden:
        return False
    return True


@pytest.mark.parametrize(
    ("pattern", "database", "fits"),
    [
        ("shared", "shared", True),
        ("shared", "shared2", False),
        ("notes-{name}", "notes-alice", True),
        ("notes-{name}", "notes-bob", False),
        ("userdb-{name:hex}", "userdb-616c696365", True),
        ("userdb-{name:hex}", "userdb-616C696365", False),
        ("{tenant}/{name}", "acme/alice", True),
        ("{tenant:hex}-x", "61636d65-x", False),
        ("b{tenant:hex}-x", "b61636d65-x", True),
        ("*", "anything/at-all$(+)", True),
        ("*", "_users", False),
        ("*", "Illegal", False),
        ("a*z", "az", True),
        ("a*z", "a", False),
        ("aba*ba", "aba", False),
        ("a*b*c", "axbyc", True),
        ("a*b*c", "axyc", False),
        ("a*b*b*c", "abc", False),
        ("x**y", "xy", True),
        ("_users", "_users", True),
        ("_users", "_replicator", False),
        ("{name}", "{name}", False),
    ],
)
def test_patterns_are_expanded_and_compared(pattern, database, fits):
    """A pattern fits the database whose name it is once expanded, byte for byte."""
    assert Pattern.parse(pattern).matches(database, who(tenant="acme")) is fits


@pytest.mark.parametrize("name", ["", "Alice", "a.b", "a/b", "é", "a\nb", "alice\n", "*", "{tenant}"])
def test_a_raw_placeholder_needs_a_plain_value(name):
    """`{name}` applies only to values of lower-case letters, digits, `_` and `-`."""
    pattern = Pattern.parse("d{name}")
    assert not pattern.matches("d" + name, who(name))
    assert not pattern.matches("d", who(name))


def test_hex_is_that_of_utf8():
    """`{name:hex}` takes any text that has a UTF-8 form, and never an empty one."""
    pattern = Pattern.parse("userdb-{name:hex}")
    assert pattern.matches("userdb-c3a92f", who("é/"))
    assert not pattern.matches("userdb-", who(""))
    assert not pattern.matches("userdb-eda080", who("\ud800"))


def test_an_absent_tenant_fits_nothing():
    """A pattern with `{tenant}` does not apply to a principal without one."""
    assert not Pattern.parse("t{tenant}").matches("t", who())
    assert not Pattern.parse("t{tenant}").matches("tnone", who())


def test_no_value_reaches_a_system_database():
    """A user called `_users` gets no way into the database of that name."""
    assert not Pattern.parse("{name}").matches("_users", who("_users"))
    assert not Pattern.parse("*{name}").matches("_users", who("users"))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Notes",
        "1abc",
        "-x",
        "a b",
        "a.b",
        "{user}",
        "{name",
        "{name:HEX}",
        "{{name}}",
        "_dbs",
        "_users*",
        "_{name}",
        "a%2Fb",
        "{name}{tenant}",
        "{name}-{tenant}",
        "{name}-{name}",
        "{name}*{tenant}",
        "{tenant}-{name:hex}-{name}",
        "{name}{tenant:hex}",
        "{name:hex}{tenant}",
        "{name:hex}{tenant:hex}",
        "{name:hex}a0{tenant:hex}",
    ],
)
def test_patterns_that_could_mix_people_up_are_refused(text):
    """What cannot be read, names no database, or leads two people to one, is refused with one sentence."""
    with pytest.raises(ValueError, match=r"^[^\n]+\.$"):
        Pattern.parse(text)


@pytest.mark.parametrize(
    ("text", "warned"),
    [
        ("{name}-*", True),
        ("*-{name}", True),
        ("*{name}*", True),
        ("*/{name}/*", True),
        ("x{name:hex}*", True),
        ("x{name:hex}a*", True),
        ("{name}-{tenant:hex}-*", True),
        ("{name}/*", False),
        ("*/{name}", False),
        ("{name}/x-*", False),
        ("{name}/{tenant:hex}-*", False),
        ("x{name:hex}-*-{tenant:hex}", False),
        ("notes-*", False),
        ("{name}", False),
    ],
)
def test_a_star_that_can_swallow_a_value_is_told(text, warned):
    """A pattern whose star can reach into a value has a warning, any other has none."""
    assert (Pattern.parse(text).ambiguous is not None) is warned


def _legal(items):
    try:
        return Pattern.parse("x" + "".join(items))
    except ValueError:
        return None


PATTERN = (
    st.lists(
        st.sampled_from(["{name}", "{tenant}", "{name:hex}", "{tenant:hex}", "*", "-", "/", "a", "6", "a-", "0/"]),
        min_size=1,
        max_size=6,
    )
    .map(_legal)
    .filter(lambda pattern: pattern is not None)
)
VALUE = st.text("a6-", min_size=1, max_size=3)


def _filled(text, name, tenant, stars):
    for placeholder, value in (
        ("{name}", name),
        ("{tenant}", tenant),
        ("{name:hex}", name.encode().hex()),
        ("{tenant:hex}", tenant.encode().hex()),
    ):
        text = text.replace(placeholder, value)
    for star in stars:
        text = text.replace("*", star, 1)
    return text


@given(
    PATTERN,
    st.tuples(VALUE, VALUE),
    st.tuples(VALUE, VALUE),
    st.lists(st.text("a6-/", max_size=6), min_size=6, max_size=6),
)
def test_two_people_never_share_what_an_unambiguous_pattern_names(pattern, one, two, stars):
    """What a pattern without a warning names for one person it names for nobody with other values."""
    text = pattern.text
    (name, tenant), (other, another) = one, two
    database = _filled(text, name, tenant, stars)
    assert pattern.matches(database, who(name, tenant=tenant))
    same = ("{name" not in text or name == other) and ("{tenant" not in text or tenant == another)
    if pattern.ambiguous is None:
        assert pattern.matches(database, who(other, tenant=another)) is same


@given(PATTERN, VALUE, st.text("a6-/_", min_size=1, max_size=12))
def test_a_star_pattern_fits_exactly_what_some_filling_gives(pattern, name, database):
    """Matching with stars agrees with trying every way to fill them."""
    parts = _filled(pattern.text, name, name, ()).split("*")

    def reachable(rest, index):
        if index == len(parts):
            return not rest
        starts = range(len(rest) + 1) if index else (0,)
        return any(
            rest[at:].startswith(parts[index]) and reachable(rest[at + len(parts[index]) :], index + 1) for at in starts
        )

    database = "x" + database
    assert pattern.matches(database, who(name, tenant=name)) is reachable(database, 0)


def test_the_first_rule_that_applies_decides_alone():
    """A later rule that would grant more is not asked."""
    policy = Policy([rule("a*", allow=["read"]), rule("abc", "other", allow=["read", "write"])])
    assert passes(policy, who(), b"GET", b"/abc/doc")
    assert not passes(policy, who(), b"PUT", b"/abc/doc")
    assert passes(policy, who(), b"PUT", b"/other/doc")


def test_check_gives_the_deciding_rule():
    """The rule that let a request through is the answer of `check`."""
    rules = [rule("b"), rule("a", allow=["write"])]
    assert Policy(rules).check(who(), classify(b"PUT", b"/a/doc")) is rules[1]


def test_a_rule_needs_issuer_and_any_of_its_roles():
    """Another issuer's user of the same name and a user without the role are not let in."""
    policy = Policy([rule("a", roles=["editor", "boss"])])
    assert passes(policy, who(roles=["boss", "x"]), b"GET", b"/a")
    assert not passes(policy, who(roles=["x"]), b"GET", b"/a")
    assert not passes(policy, who(), b"GET", b"/a")
    assert not passes(policy, who(roles=["boss"], issuer="https://other.example/"), b"GET", b"/a")
    assert not passes(Policy([rule("a", roles=[])]), who(roles=["boss"]), b"GET", b"/a")


@pytest.mark.parametrize("raw", [b"/", b"/_session", b"/_gate/ready"])
def test_some_targets_need_no_rule(raw):
    """The welcome page, the session and the gate's own pages are for every valid token."""
    assert Policy([]).check(who(), classify(b"GET", raw)) is None


@pytest.mark.parametrize(("method", "raw"), [(b"GET", b"/a/_temp_view"), (b"TRACE", b"/a"), (b"GET", b"/A")])
def test_never_is_never(method, raw):
    """No rule grants what the gate never forwards."""
    policy = Policy([rule("*", allow=["read", "write", "design", "security", "admin"]), rule(allow=["server"])])
    with pytest.raises(Forbidden) as caught:
        policy.check(who(), classify(method, raw))
    assert caught.value.code == "policy"


def test_the_server_is_for_rules_without_databases():
    """`server` is granted by a rule that names no databases, and such a rule grants no database."""
    everything = ["read", "write", "design", "security", "admin", "server"]
    assert not passes(Policy([rule("*", allow=everything)]), who(), b"GET", b"/_all_dbs")
    policy = Policy([rule(allow=everything)])
    assert passes(policy, who(), b"GET", b"/_all_dbs")
    assert not passes(policy, who(), b"GET", b"/a")
    assert not passes(policy, who(), b"GET", b"/_users/_all_docs")
    assert not allows(policy, who(), Target("read", None, None, None, (), "unknown"))


def test_system_databases_are_for_rules_that_spell_them():
    """`_users` is reached by its name and not by a star."""
    assert not passes(Policy([rule("*")]), who(), b"GET", b"/_users/_all_docs")
    assert passes(Policy([rule("_users")]), who(), b"GET", b"/%5Fusers/_all_docs")


def test_a_refusal_names_the_kind_and_a_trimmed_database():
    """The reason says what was lacking, and a long name does not make it long."""
    policy = Policy([])
    with pytest.raises(Forbidden, match=r"are not granted 'write' on the database 'x{64}'"):
        policy.check(who(), classify(b"PUT", b"/" + b"x" * 300 + b"/doc"))
    with pytest.raises(Forbidden, match=r"are not granted 'server'\.$"):
        policy.check(who(), classify(b"GET", b"/_all_dbs"))


def test_it_answers_for_each_person_alone():
    """Asking for one person never answers for another, however often."""
    policy = Policy([rule("notes-{name}")])
    for _ in range(3):
        assert passes(policy, who("alice"), b"GET", b"/notes-alice")
        assert not passes(policy, who("bob"), b"GET", b"/notes-alice")


def test_a_rule_with_an_unknown_word_is_refused():
    """A word in `allow` that is no kind is an error, not a rule that silently grants less."""
    with pytest.raises(ValueError, match="'reed'"):
        rule("a", allow=["read", "reed"])
    with pytest.raises(ValueError, match="'never'"):
        rule("a", allow=["never"])
