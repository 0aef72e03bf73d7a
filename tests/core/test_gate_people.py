"""People with a name and a password, and tokens in a password's place."""

from base64 import b64encode

import pytest

from couchgate.core.cors import Cors
from couchgate.core.credential import BasicRules
from couchgate.core.errors import BadRequest, Forbidden, Unauthorized
from couchgate.core.gate import Gate
from couchgate.core.identity import ProxyIntroduction
from couchgate.core.policy import Pattern, Policy, Rule
from couchgate.core.principal import person_of
from couchgate.core.verdict import Forward, NeedPrincipal
from tests.core.heads import told

ALICE = person_of("alice", "auth:file", "staff-")


def basic(name="alice", password="wonder"):
    return b"Authorization", b"Basic " + b64encode(f"{name}:{password}".encode())


@pytest.fixture
def gate(world):
    """A gate that takes passwords, and tokens as passwords; people of auth:file may read one database."""
    tokens = Rule(frozenset({world.first.issuer}), (Pattern.parse("shared"),), None, frozenset({"read"}))
    people = Rule(frozenset({"auth:file"}), (Pattern.parse("lab"),), None, frozenset({"read"}))
    return Gate(
        rules=world.rules,
        policy=Policy([tokens, people]),
        cors=Cors([world.app]),
        hosts=frozenset({"gate.example.com"}),
        introduction=ProxyIntroduction(b"a secret that CouchDB knows"),
        authority=world.authority,
        basic=BasicRules(passwords=True, tokens=True, feed_seconds=60.0),
    )


def test_a_password_makes_the_gate_ask_whose_it_is(world, gate):
    """The decision needs a principal, each time anew, and its repr shows nothing of the credential."""
    for _ in range(2):
        need = world.decide(gate, world.head(basic(), target=b"/lab"))
        assert isinstance(need, NeedPrincipal)
        assert (need.credential.name, need.credential.password) == ("alice", "wonder")
        assert "wonder" not in repr(need)


def test_the_person_is_forwarded_under_their_own_name(world, gate):
    """With the answer the request is decided as any other; a feed of theirs lives for the time that is set."""
    forward = world.decide(gate, world.head(basic(), target=b"/lab"), person=ALICE)
    assert isinstance(forward, Forward)
    assert b"X-Auth-CouchDB-UserName: staff-alice\r\nX-Auth-CouchDB-Roles: \r\n" in forward.head
    assert b"Basic" not in forward.head
    assert (forward.principal, forward.expires) == (ALICE, world.now + 60)


def test_the_person_opens_only_what_a_rule_of_theirs_allows(world, gate):
    """A rule for tokens is not for people with a password."""
    with pytest.raises(Forbidden):
        world.decide(gate, world.head(basic(), target=b"/shared"), person=ALICE)


def test_a_person_counts_only_beside_a_password(world, gate):
    """An answer that nobody asked for changes nothing: the token decides, or its absence."""
    with pytest.raises(Unauthorized) as caught:
        world.decide(gate, world.head(target=b"/lab"), person=ALICE)
    assert caught.value.code == "token_missing"
    forward = world.decide(gate, world.head(token=world.token("bob")), person=ALICE)
    assert forward.principal.name == "bob"


def test_admit_asks_and_admits_too(world, gate):
    """The gate's own pages know people with a password as well."""
    head = world.head(basic())
    assert isinstance(gate.admit(head, world.facts(), world.now), NeedPrincipal)
    admission = gate.admit(head, world.facts(), world.now, person=ALICE)
    assert (admission.principal, admission.expires) == (ALICE, world.now + 60)


def test_a_token_as_password_is_the_token(world, gate):
    """It is verified, remembered and refused as behind Bearer, and leads to the same person."""
    token = world.token("bob", jti="t")
    facts = world.facts()
    as_bearer = world.decide(gate, world.head(token=token), facts)
    as_password = world.decide(gate, world.head(basic("_jwt", token)), facts)
    assert told(as_password) == told(as_bearer)
    gate._rules = ()  # so that it can only come from what was remembered
    assert world.decide(gate, world.head(basic("_jwt", token), (b"X-Other", b"1")), facts).principal.name == "bob"
    with pytest.raises(Unauthorized) as caught:
        world.decide(gate, world.head(basic("_jwt", world.token(expires_in=-60))))
    assert caught.value.headers == ((b"WWW-Authenticate", b'Bearer error="invalid_token"'),)


def test_off_is_what_it_was(world):
    """A gate that was not told to take passwords refuses them as any other scheme."""
    with pytest.raises(Unauthorized) as caught:
        world.decide(world.gate(), world.head(basic()), person=ALICE)
    assert caught.value.code == "token_scheme"


def test_two_credentials_are_a_400_before_anybody_is_asked(world, gate):
    """Also if one of them is a good token."""
    with pytest.raises(BadRequest):
        world.decide(gate, world.head(basic(), token=world.token()), person=ALICE)
