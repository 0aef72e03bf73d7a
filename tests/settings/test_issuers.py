"""Several issuers: no token fits two, and no two people are one CouchDB user."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from couchgate.core.errors import Unauthorized
from couchgate.core.principal import principal_of
from couchgate.settings import SettingsError, load
from couchgate.testing import Minter

MINTER = Minter("ES256")


def second_issuer(**changes):
    """A second [[issuers]] table, with `changes` as TOML text."""
    keys = {
        "issuer": '"https://other.example.com/"',
        "audiences": '["other"]',
        "algorithms": '["ES256"]',
        "keys": '"key.pub.pem"',
        "name_prefix": '"b:"',
        **changes,
    }
    return "\n[[issuers]]\n" + "".join(f"{key} = {value}\n" for key, value in keys.items())


@pytest.mark.parametrize(("first", "second"), [("a", "a"), ("a", "ab"), ("ab", "a"), ("", "")])
def test_prefixes_that_let_two_people_meet_are_refused(first, second, refusal, upstream_text, issuer_text):
    """If one prefix begins the other, a user of one issuer can be named like one of the other."""
    text = upstream_text + issuer_text + f'name_prefix = "{first}"\n' + second_issuer(name_prefix=f'"{second}"')
    assert refusal(text).startswith("issuers[1].name_prefix and issuers[0].name_prefix")


@pytest.mark.parametrize(("first", "second"), [("", "b:"), ("b:", "")])
def test_one_issuer_may_go_without_a_prefix(first, second, settle, upstream_text, issuer_text):
    """The issuer with "" gets the prefixes of the others as reserved, and no other issuer has such."""
    text = upstream_text + issuer_text + f'name_prefix = "{first}"\n' + second_issuer(name_prefix=f'"{second}"')
    text += second_issuer(issuer='"https://third.example.com/"', name_prefix='"c:"')
    rules = [issuer.rules for issuer in settle(text).issuers]
    assert [each.name_prefix for each in rules] == [first, second, "c:"]
    assert [each.reserved_prefixes for each in rules if each.name_prefix] == [(), ()]
    assert [each.reserved_prefixes for each in rules if not each.name_prefix] == [("b:", "c:")]


def test_two_tables_of_one_issuer_without_a_prefix_both_reserve(settle, upstream_text, issuer_text):
    """Tables that have the same people give up the same names to a third."""
    third = second_issuer(issuer='"https://third.example.com/"', name_prefix='"c:"')
    rules = [issuer.rules for issuer in settle(upstream_text + issuer_text + second_issuer(**SAME) + third).issuers]
    assert [each.reserved_prefixes for each in rules] == [("c:",), ("c:",), ()]


def test_a_single_issuer_reserves_nothing(settle, minimal):
    """Where there is nobody else every name may be had."""
    assert settle(minimal).issuers[0].rules.reserved_prefixes == ()


def test_two_issuers_without_a_prefix_are_refused_beside_a_third(refusal, upstream_text, issuer_text):
    """At most one issuer may have "", however many there are."""
    text = (
        upstream_text + issuer_text + second_issuer() + second_issuer(issuer='"https://x.example/"', name_prefix='""')
    )
    assert refusal(text).startswith("issuers[2].name_prefix and issuers[0].name_prefix ('' and '')")


NAMES = st.text(st.sampled_from("abx:-"), min_size=1, max_size=6)


@given(st.lists(st.sampled_from(["", "a", "b:", "ab:", "x-"]), unique=True, min_size=2), NAMES, NAMES, st.data())
def test_no_two_people_of_accepted_issuers_are_one_couchdb_user(prefixes, one, other, data):
    """Whatever prefixes are accepted together: if both tokens are good, the two names differ."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "key.pub.pem").write_bytes(MINTER.public_pem())
        path = Path(folder) / "couchgate.toml"
        tables = [
            second_issuer(issuer=f'"https://{i}.example.com/"', name_prefix=f'"{prefix}"')
            for i, prefix in enumerate(prefixes)
        ]
        path.write_text('[upstream]\nurl = "http://127.0.0.1:5984"\nauth = "none"\n' + "".join(tables))
        try:
            issuers = load(path).issuers
        except SettingsError:
            return
    first, second = data.draw(st.permutations(issuers))[:2]
    try:
        names = [principal_of({"sub": n}, issuer.rules).name for n, issuer in ((one, first), (other, second))]
    except Unauthorized:
        return
    assert names[0] != names[1]


@given(st.sampled_from(["a:", "b:", "ab:", "x-"]), st.sampled_from(["a:", "b:", "ab:", "x-"]), st.text(), st.text())
def test_prefixes_that_are_accepted_keep_all_names_apart(first, second, name, other):
    """Where neither prefix begins the other, no two names meet, whatever they are."""
    if not first.startswith(second) and not second.startswith(first):
        assert first + name != second + other


def test_two_issuers_with_prefixes_of_their_own_are_accepted(settle, upstream_text, issuer_text, rule_text):
    """Two issuers, two prefixes, and rules that say whose people they are for."""
    text = upstream_text + issuer_text + 'name_prefix = "a:"\n' + second_issuer()
    text += rule_text + 'issuers = ["https://other.example.com/"]\n'
    settings = settle(text)
    assert [issuer.rules.id for issuer in settings.issuers] == ["issuers[0]", "issuers[1]"]
    assert settings.rules[0].issuers == {"https://other.example.com/"}


def test_with_several_issuers_a_rule_names_its_own(refusal, upstream_text, issuer_text, rule_text):
    """A rule without `issuers` would let one issuer's people in where only the other's may go."""
    text = upstream_text + issuer_text + 'name_prefix = "a:"\n' + second_issuer() + rule_text
    assert refusal(text).startswith("rules[0].issuers is missing; with several issuers")


SAME = {"issuer": '"https://id.example.com/"', "name_prefix": '""'}


def test_one_issuer_in_two_tables_needs_no_prefix(settle, upstream_text, issuer_text, rule_text):
    """Tables that share an issuer have the same people, so they share names, and a rule need not name the issuer."""
    settings = settle(upstream_text + issuer_text + second_issuer(**SAME) + rule_text)
    assert settings.rules[0].issuers == {"https://id.example.com/"}


@pytest.mark.parametrize("audiences", ["[]", '["couchgate"]', '["x", "couchgate"]'])
def test_one_issuer_in_two_tables_needs_disjoint_audiences(audiences, refusal, upstream_text, issuer_text):
    """A token must not fit two tables."""
    text = upstream_text + issuer_text + second_issuer(**SAME, audiences=audiences)
    assert refusal(text).startswith("issuers[1].audiences must not be empty and must differ from issuers[0].audiences")


def test_one_issuer_with_two_claims_for_the_name_needs_two_prefixes(refusal, upstream_text, issuer_text):
    """One person's e-mail address may be another's subject."""
    text = upstream_text + issuer_text + second_issuer(**SAME) + '[issuers.claims]\nname = "email"\n'
    assert refusal(text).startswith("issuers[1].name_prefix and issuers[0].name_prefix")


def test_with_several_issuers_the_administrators_name_theirs(refusal, upstream_text, issuer_text, rule_text):
    """A role alone would let every issuer make administrators."""
    text = upstream_text + issuer_text + 'name_prefix = "a:"\n' + second_issuer() + rule_text
    text += 'issuers = ["https://other.example.com/"]\n[admin]\nrole = "ops"\n'
    assert refusal(text).startswith("admin.issuers is missing; with several issuers the role must say")
