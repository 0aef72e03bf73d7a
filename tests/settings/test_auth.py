"""`[auth]`: people with a password, who are never taken for those with a token."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from couchgate.core.errors import Unauthorized
from couchgate.core.principal import person_of, principal_of
from couchgate.settings import SettingsError, load
from couchgate.settings.issuers import apart

FILE = '\n[[auth.checkers]]\nchecker = "file:password"\n'
MEMORY = '\n[[auth.checkers]]\nchecker = "memory:alice:secret"\n'


def test_nobody_comes_with_a_password_unless_it_is_written(settle, minimal):
    """Without [auth] there are no checkers, and no token may stand in a password's place."""
    auth = settle(minimal).auth
    assert (auth.checkers, auth.token_as_password) == ((), False)


def test_a_checker_has_an_issuer_and_a_prefix_of_its_own(settle, folder, minimal):
    """A relative path starts at the settings file; the prefix is the issuer's name unless another is written."""
    settings = settle(minimal + FILE + MEMORY)
    file, memory = settings.auth.checkers
    assert (file.kind, file.argument, file.issuer) == ("file", str(folder / "password"), "auth:file")
    assert (file.name_prefix, memory.name_prefix) == ("auth:file:", "auth:memory:")
    assert settings.issuers[0].rules.reserved_prefixes == ("auth:file:", "auth:memory:")
    assert "secret" not in repr(settings)


def test_passwords_in_the_settings_are_a_warning(settle, minimal):
    """`memory` is for a try: its passwords are in the file, or in the list of processes."""
    (warning,) = settle(minimal + MEMORY).warnings
    assert "auth.checkers[0].checker keeps passwords where others may see them" in warning
    assert "secret" not in warning


def test_a_password_file_that_others_may_read_is_a_warning(settle, folder, minimal):
    """It is a secret as any other."""
    (folder / "password").chmod(0o644)
    (warning,) = settle(minimal + FILE).warnings
    assert "auth.checkers[0].checker names" in warning


BAD = {
    "no kind": ('checker = "./passwd"', "checker must be a kind and its argument"),
    "no argument": ('checker = "file:"', "checker must be a kind and its argument"),
    "a strange kind": ('checker = "fi le:x"', "checker must be a kind and its argument"),
    "a control character": (
        'checker = "memory:alice:s\\u0001cret"',
        "checker must be a text without control characters",
    ),
    "jwt": ('checker = "jwt:issuer.toml"', 'checker may not be "jwt": write the issuer as [[issuers]]'),
    "no file": ('checker = "file:gone"', "checker names"),
    "a prefix with a blank": ('checker = "file:password"\nname_prefix = " a"', "name_prefix must be at most 64 bytes"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_checker_is_one_sentence_that_does_not_show_it(name, refusal, minimal):
    """The sentence names the key; what was written may be a password."""
    text, sentence = BAD[name]
    said = refusal(f"{minimal}\n[[auth.checkers]]\n{text}\n")
    assert said.startswith(f"auth.checkers[0].{sentence}")
    assert "alice" not in said
    assert "cret" not in said


def test_two_checkers_of_one_kind_are_refused(refusal, minimal):
    """Their people would have one issuer, so that alice of the one would be alice of the other."""
    assert refusal(minimal + FILE + FILE).startswith("auth.checkers[1].checker is a second one of the kind")


@pytest.mark.parametrize(("one", "other"), [("x", "x"), ("x", "xy"), ("xy", "x"), ("", "")])
def test_prefixes_that_let_two_people_meet_are_refused(one, other, refusal, minimal, issuer_text):
    """Neither two checkers nor a checker and an issuer may have prefixes that begin with each other."""
    first = FILE + f'name_prefix = "{one}"\n'
    assert refusal(minimal + first + MEMORY + f'name_prefix = "{other}"\n').startswith("auth.checkers give auth:memory")
    with_prefix = minimal.replace('"couchgate"]', f'"couchgate"]\nname_prefix = "{other}"')
    assert refusal(with_prefix + first).startswith("auth.checkers give auth:file the name_prefix")


def test_a_checker_may_go_without_a_prefix_where_every_issuer_has_one(settle, minimal):
    """Then none of its people may be named like one of the others."""
    with_prefix = minimal.replace('"couchgate"]', '"couchgate"]\nname_prefix = "id:"')
    settings = settle(with_prefix + FILE + 'name_prefix = ""\n' + MEMORY)
    assert [each.reserved_prefixes for each in settings.auth.checkers] == [("auth:memory:", "id:"), ()]
    assert settings.issuers[0].rules.reserved_prefixes == ()


def test_no_token_is_from_an_issuer_of_passwords(refusal, minimal):
    """An issuer that calls itself like a checker would be let in by its rules."""
    assert refusal(minimal.replace("https://id.example.com/", "auth:file") + FILE).startswith(
        "issuers[0].issuer must not"
    )


def test_a_rule_without_issuers_is_for_tokens_alone(settle, minimal):
    """What was written before there were passwords does not open to them."""
    assert settle(minimal + FILE).rules[0].issuers == {"https://id.example.com/"}


def test_a_rule_names_people_with_passwords_by_their_issuer(settle, refusal, minimal, rule_text):
    """It may name them beside others, if there is such a checker."""
    rule = rule_text.replace("databases", 'issuers = ["https://id.example.com/", "auth:file"]\ndatabases')
    assert settle(minimal + rule + FILE).rules[1].issuers == {"https://id.example.com/", "auth:file"}
    assert refusal(minimal + rule).startswith("rules[1].issuers[1] must be the issuer of one of the [[issuers]]")


def test_there_may_be_passwords_and_no_tokens(settle, refusal, upstream_text, rule_text):
    """Then every rule must say that it is for people with a password."""
    named = rule_text.replace("databases", 'issuers = ["auth:file"]\ndatabases')
    assert settle(upstream_text + named + FILE).issuers == ()
    assert refusal(upstream_text + rule_text + FILE).startswith(
        "rules[0].issuers is missing; without [[issuers]] a rule"
    )


def test_auth_flags_join_the_checkers_of_the_file(folder, minimal, monkeypatch):
    """Their paths start at the working directory, and what is wrong with them is said of the flag."""
    path = folder / "couchgate.toml"
    path.write_text(minimal + MEMORY)
    (folder / "below").mkdir()
    (folder / "below" / "users").write_bytes(b"a:b\n")
    monkeypatch.chdir(folder / "below")
    checkers = load(path, checkers=["file:users"]).auth.checkers
    assert [each.kind for each in checkers] == ["memory", "file"]
    assert checkers[1].argument == str(folder / "below" / "users")
    for flag, said in [
        ("file:gone", f"--auth: checker names {folder / 'below' / 'gone'}, which does not exist"),
        ("memory:a:b", "--auth: checker is a second one"),
        ("file", "--auth: checker must be a kind and its argument"),
    ]:
        with pytest.raises(SettingsError) as caught:
            load(path, checkers=[flag])
        assert str(caught.value).startswith(said)


NAMES = st.text("ab:-", min_size=1, max_size=6)


@given(prefixes=st.tuples(st.text("ab:", max_size=3), st.text("ab:", max_size=3)), names=st.tuples(NAMES, NAMES))
def test_people_of_prefixes_that_are_apart_never_meet(prefixes, names):
    """Whatever they are called, a person with a password and one with a token are two CouchDB users."""
    from couchgate.core.token import TokenRules

    if not apart(*prefixes):
        return
    reserved = tuple(sorted({*prefixes} - {""}))
    rules = TokenRules(
        "i", "https://i/", frozenset(), frozenset(), name_prefix=prefixes[0],
        reserved_prefixes=() if prefixes[0] else reserved,
    )  # fmt: skip
    try:
        with_token = principal_of({"sub": names[0]}, rules)
        with_password = person_of(names[1], "auth:file", prefixes[1], () if prefixes[1] else reserved)
    except Unauthorized:
        return
    assert with_token.name != with_password.name
