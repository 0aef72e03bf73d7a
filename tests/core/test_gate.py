"""The whole decision about one request, case by case."""

from __future__ import annotations

import contextlib
import gc
import weakref

import pytest

from couchgate.core.errors import BadRequest, Forbidden, Misdirected, Unauthorized, Unavailable
from couchgate.core.message import Fields
from couchgate.core.target import classify
from couchgate.core.verdict import Forward, NeedKeys, NeedVerdict
from tests.core.heads import changed, told


def refused(kind, call, *args, **how):
    with pytest.raises(kind) as caught:
        call(*args, **how)
    return caught.value.code


def test_a_valid_token_is_forwarded_in_its_persons_name(world):
    """The head that goes up has the client's line and fields, the gate's Host, the identity and the peer."""
    head = world.head((b"Accept", b"*/*"), target=b"/shared/%61?rev=1-a", token=world.token("alice", jti="t-1"))
    forward = world.decide(world.gate(), head)
    assert isinstance(forward, Forward)
    lines = forward.head.split(b"\r\n")
    assert lines[:4] == [
        b"GET /shared/%61?rev=1-a HTTP/1.1",
        b"Host: 127.0.0.1:5984",
        b"Accept: */*",
        b"X-Forwarded-Host: gate.example.com",
    ]
    assert b"X-Auth-CouchDB-UserName: alice" in lines
    assert lines[-3:] == [b"X-Forwarded-Proto: https", b"X-Forwarded-For: 192.0.2.7", b""]
    assert forward.principal[:3] == ("https://first.example/", "alice", ())
    assert forward.principal.token_id == "t-1"
    assert forward.target == classify(b"GET", head.target)
    assert forward.expires == world.now + 300 + world.leeway
    assert (forward.judge, forward.follower) == (False, None)


def test_who_is_patient_learns_a_new_token_first_and_is_told_the_same(world):
    """A token that is not known yet is a question; once learned it is decided, and a refusal is that of a decision."""
    gate, facts = world.gate(), world.facts()
    head = world.head(target=b"/shared", token=world.token("alice"))
    assert world.decide(gate, head, facts, patient=True) == NeedVerdict()
    assert (gate.verified, gate.verdicts) == (0, 0)
    assert gate.learn(head, facts, world.now) is None
    assert (gate.verified, gate.verdicts) == (1, 1)
    assert told(world.decide(gate, head, facts, patient=True)) == told(world.decide(world.gate(), head))
    assert gate.verified == 1
    late = world.now + 400 + world.leeway
    assert refused(Unauthorized, world.decide, gate, head, facts, now=late, patient=True) == "token_expired"
    assert gate.learn(world.head(token="a.b.c"), facts, world.now).code == "token_malformed"
    unknown = world.head(token=world.token("alice", world.stranger))
    assert gate.learn(unknown, facts, world.now) is None
    assert world.decide(gate, unknown, facts) == NeedKeys("1", "key-2")
    assert refused(Unauthorized, world.decide, gate, unknown, facts, asked=True, patient=True) == "key_unknown"


def test_who_is_patient_waits_for_tokens_only(world):
    """Without one a decision is made at once."""
    assert refused(Unauthorized, world.decide, world.gate(), world.head(), patient=True) == "token_missing"


def test_each_issuer_names_its_own_people(world):
    """The same subject of two issuers is two principals, and each token counts only for its own issuer."""
    gate = world.gate()
    first = world.decide(gate, world.head(token=world.token("bob"))).principal
    second = world.decide(gate, world.head(token=world.token("bob", world.second))).principal
    assert (first.name, second.name) == ("bob", "second-bob")
    forged = world.first.token("bob", now=world.now, iss=world.second.issuer)
    assert refused(Unauthorized, world.decide, gate, world.head(token=forged)) == "token_algorithm"


@pytest.mark.parametrize(
    "target",
    [b"/", b"/shared", b"/nowhere", b"/_users", b"/_all_dbs", b"/_utils/", b"/shared/_rewrite/x", b"/lab/_design/a"],
)
def test_without_a_valid_token_every_target_is_a_401(world, target):
    """Whether it exists or is allowed does not show to somebody without a token."""
    gate = world.gate()
    assert refused(Unauthorized, world.decide, gate, world.head(target=target)) == "token_missing"
    for token, code in [
        ("x", "token_malformed"),
        (world.token(expires_in=-31), "token_expired"),
        (world.token(aud="other"), "token_audience"),
        (world.token(iss="https://else.example/"), "token_issuer"),
        (world.token(sub=" alice"), "token_claims"),
    ]:
        head = world.head(target=target, token=token)
        assert refused(Unauthorized, world.decide, gate, head) == code
        assert refused(Unauthorized, gate.admit, head, world.facts(), world.now) == code


def test_two_credentials_are_a_400(world):
    """Two Authorization fields are refused, even if both hold the same valid token, as often as they come."""
    gate, token = world.gate(), world.token()
    head = world.head((b"authorization", b"Bearer " + token.encode()), token=token)
    errors = []
    for _ in range(3):
        with pytest.raises(BadRequest) as caught:
            world.decide(gate, head)
        errors.append(caught.value)
    assert {error.code for error in errors} == {"credential_duplicate"}
    assert len(set(map(id, errors))) == 3  # one instance raised again and again would collect tracebacks


def test_the_policy_decides_for_whom_the_token_is_valid(world):
    """What no rule allows is 403, and so is what the gate never forwards."""
    gate, token = world.gate(), world.token("alice")
    assert isinstance(world.decide(gate, world.head(target=b"/notes-alice/x", token=token)), Forward)
    for target in (b"/notes-bob/x", b"/nowhere", b"/_all_dbs", b"/shared/_rewrite/x", b"/shared/_security"):
        assert refused(Forbidden, world.decide, gate, world.head(target=target, token=token)) == "policy"
    assert refused(Forbidden, world.decide, gate, world.head(method=b"TRACE", token=token)) == "policy"


# -- COPY, bodies, feeds


def test_a_copy_needs_one_destination_that_the_policy_allows(world):
    """COPY is decided for its Destination too, and the checked one is what goes up."""
    gate, token = world.gate(), world.token("alice")

    def copy(*values, target=b"/lab/x", token=token):
        pairs = [(b"Destination", value) for value in values]
        return world.decide(gate, world.head(*pairs, method=b"COPY", target=target, token=token))

    assert copy(b"y?rev=1-a").head.count(b"\r\nDestination: y?rev=1-a\r\n") == 1
    assert refused(BadRequest, copy) == "destination"
    assert refused(BadRequest, copy, b"y", b"y") == "destination"
    assert refused(BadRequest, copy, b"http://evil.example/x") == "destination"
    assert refused(Forbidden, copy, b"_design/y") == "policy"
    assert refused(Forbidden, copy, b"y", target=b"/shared/x") == "policy"
    designer = world.token("dora", **{"_couchdb.roles": ["designer"]})
    assert b"\r\nDestination: _design/y\r\n" in copy(b"_design/y", token=designer).head


def test_a_destination_on_another_method_is_refused(world):
    """Only COPY has a Destination; whatever else CouchDB made of it is not tried."""
    head = world.head((b"Destination", b"y"), method=b"PUT", target=b"/lab/x", token=world.token())
    assert refused(BadRequest, world.decide, world.gate(), head) == "destination"


def test_bodies_are_judged_unless_design_documents_are_allowed(world):
    """`_bulk_docs` and POST to a database are judged for whom the policy does not grant `design`."""
    gate = world.gate()
    designer = world.token("dora", **{"_couchdb.roles": ["designer"]})
    for target in (b"/lab/_bulk_docs", b"/lab"):
        assert world.decide(gate, world.head(method=b"POST", target=target, token=world.token())).judge
        assert not world.decide(gate, world.head(method=b"POST", target=target, token=designer)).judge
    assert not world.decide(gate, world.head(method=b"PUT", target=b"/lab/x", token=world.token())).judge


def test_a_feed_gets_a_follower_of_its_own(world):
    """Each `_changes` answer is followed by itself, so that it can end when the token does."""
    gate = world.gate()
    head = world.head(target=b"/shared/_changes?feed=longpoll&since=5", token=world.token())
    one, two = (world.decide(gate, head).follower for _ in range(2))
    assert one is not None
    assert one is not two


# -- keys


def test_an_unknown_key_is_asked_for_once(world):
    """A token of an unknown key asks for that key, and is a 401 when asked again."""
    gate, head = world.gate(), world.head(token=world.token("alice", world.stranger))
    assert world.decide(gate, head) == NeedKeys("1", "key-2")
    assert gate.admit(head, world.facts(), world.now) == NeedKeys("1", "key-2")
    assert refused(Unauthorized, world.decide, gate, head, asked=True) == "key_unknown"
    assert refused(Unauthorized, gate.admit, head, world.facts(), world.now, asked=True) == "key_unknown"


def test_without_any_key_of_the_issuer_it_will_pass(world):
    """Before an issuer's keys were ever fetched its tokens ask for them, then are 503; others are served."""
    gate, head = world.gate(), world.head(token=world.token())
    assert world.decide(gate, head, world.facts("2")) == NeedKeys("1", "key-1")
    assert refused(Unavailable, world.decide, gate, head, world.facts("2"), asked=True) == "keys_missing"
    assert world.decide(gate, world.head(token=world.token("bob", world.second)), world.facts("2"))


def test_a_verdict_is_kept_until_the_very_end(world):
    """A returning token is admitted without another verification up to `exp` plus leeway, and not at it."""
    gate, facts, token = world.gate(), world.facts(), world.token(expires_in=60)
    end = world.now + 60 + world.leeway
    first = gate.admit(world.head(token=token), facts, world.now)
    assert gate.admit(world.head((b"Accept", b"x"), token=token), facts, end - 0.001) is first
    assert refused(Unauthorized, gate.admit, world.head(token=token), facts, end) == "token_expired"
    assert refused(Unauthorized, world.decide, gate, world.head(token=token), facts, end + 1e9) == "token_expired"


def test_verdicts_and_verifications_are_counted(world):
    """A returning token adds nothing, a refused one is a verification without a verdict."""
    gate, facts, token = world.gate(), world.facts(), world.token()
    for _ in range(3):
        gate.admit(world.head(token=token), facts, world.now)
    assert (gate.verified, gate.verdicts) == (1, 1)
    refused(Unauthorized, gate.admit, world.head(token="nonsense"), facts, world.now)
    assert (gate.verified, gate.verdicts) == (2, 1)


def test_a_verdict_is_dropped_when_any_key_set_changes(world):
    """A key that is gone takes all its verdicts along at once, and one that is back counts again."""
    gate, head = world.gate(), world.head(token=world.token())
    before = world.facts()
    first = gate.admit(head, before, world.now)
    assert refused(Unavailable, world.decide, gate, head, world.facts("2"), asked=True) == "keys_missing"
    again = gate.admit(head, world.facts(), world.now)
    assert (again.principal, again.expires) == (first.principal, first.expires)
    assert again is not first


def test_what_is_derived_first_does_not_matter(world):
    """Whichever question comes first to a head (screen, admission, decision, CORS), the answers are the same."""
    head = world.head(token=world.token())
    target = classify(head.method, head.target)
    questions = [
        lambda gate, head: gate.screen(head),
        lambda gate, head: gate.cors_lines(head.fields),
        lambda gate, head: gate.admit(head, world.facts(), world.now).principal,
        lambda gate, head: told(gate.decide(head, target, world.peer, world.facts(), world.now)),
    ]
    expected = [ask(world.gate(), world.head(token=world.token())) for ask in questions]
    for first in range(4):
        gate, again = world.gate(), changed(head, fields=Fields(head.fields.block))
        order = questions[first:] + questions[:first]
        assert [ask(gate, again) for ask in order] == expected[first:] + expected[:first]


def test_two_gates_do_not_share_what_they_derived(world):
    """Fields that one gate has seen are analysed anew by another, in turn and again."""
    head = world.head(token=world.token())
    one, two = world.gate(), world.gate()
    expected = told(world.decide(one, head))
    for gate in (two, one, two):
        assert told(world.decide(gate, head)) == expected
        assert head.fields.prepared.gate is gate


def test_a_gate_that_was_replaced_keeps_no_verdicts(world):
    """What it remembers of tokens goes; a request that still asks it is decided anew, and alike."""
    gate = world.gate()
    head = world.head(token=world.token("alice"))
    first = world.decide(gate, head)
    gate.forget()
    again = world.decide(gate, head)
    assert told(again) == told(first)
    assert again.principal is not first.principal


def test_a_refused_host_holds_on_to_nobody(world):
    """What is remembered of a refusal does not keep what the first one's frames held: a connection and its bytes."""
    gate, head = world.gate(), world.head(host=b"evil.example.com")

    class Connection:
        """What a frame holds."""

    def ask():
        connection = Connection()
        with contextlib.suppress(Misdirected):
            gate.screen(head)
        return weakref.ref(connection)

    asked = ask()
    gc.collect()
    assert asked() is None
    with pytest.raises(Misdirected):
        gate.screen(head)


def test_a_rule_that_is_kept_grants_what_it_grants_and_no_more(world):
    """After a request that was allowed, another kind on that database is still a 403, and one on another asked anew."""
    gate, token, facts = world.gate(), world.token(), world.facts()
    for _ in range(2):
        assert isinstance(world.decide(gate, world.head(target=b"/lab/a", token=token), facts), Forward)
        design = world.head(method=b"PUT", target=b"/lab/_design/a", token=token)
        assert refused(Forbidden, world.decide, gate, design, facts) == "policy"
        security = world.head(target=b"/lab/_security", token=token)
        assert refused(Forbidden, world.decide, gate, security, facts) == "policy"
        assert isinstance(world.decide(gate, world.head(token=token), facts), Forward)


def test_every_database_of_a_person_is_decided_as_the_first(world):
    """However many databases a person asks for in turn, each is allowed or refused by its own rule."""
    gate, token, facts = world.gate(), world.token(), world.facts()
    everywhere = world.gate()
    for turn in range(2):
        for number in range(40):
            name = (b"lab", b"shared", b"notes-alice", b"notes-bob-%d" % number, b"elsewhere%d" % number)[number % 5]
            for method, target in ((b"GET", b"/%b/a"), (b"PUT", b"/%b/a"), (b"PUT", b"/%b/_design/a")):
                head = world.head(method=method, target=target % name, token=token)
                first = None if turn else world.gate()
                outcomes = []
                for one in (gate, first or everywhere):
                    try:
                        outcomes.append(told(world.decide(one, head, facts)))
                    except Forbidden as error:
                        outcomes.append(error.reason)
                assert outcomes[0] == outcomes[1]


def test_a_token_that_was_cut_out_of_the_block_counts_like_one_that_was_not(world):
    """`RequestHead.bearer` is the token, long or short; one more in the block is a 400."""
    gate, head = world.gate(), world.head()
    for token in (world.token(), world.token(note="x" * 3000)):
        forward = world.decide(gate, changed(head, bearer=token.encode()))
        assert forward.principal.name == "alice"
        assert token.encode() not in forward.head
    both = changed(world.head(token=world.token()), bearer=world.token().encode())
    assert refused(BadRequest, world.decide, gate, both) == "credential_duplicate"


@pytest.mark.parametrize("sent", [(), ((b"traceparent", b"00-" + b"ab" * 16 + b"-00f067aa0ba902b7-01"),)])
def test_couchdb_is_told_the_requests_id(world, sent):
    """A trace of the client's keeps its field; without one the gate's id makes one. Without an id nothing is said."""
    gate, token = world.gate(), world.token()
    head = world.head(*sent, token=token)
    trace = gate.trace(head.fields) or b"cd" * 16
    lines = world.decide(gate, head, request_id=trace).head.split(b"\r\n")
    assert b"X-Couch-Request-ID: " + trace in lines
    assert [line.split(b"-")[1] for line in lines if line.startswith(b"traceparent: 00-")] == [trace]
    assert b"X-Couch-Request-ID" not in world.decide(gate, world.head(token=token)).head


def test_a_database_with_a_very_long_name_is_decided_each_time(world):
    """A name that is too long to be kept is allowed, and another refused, as often as they are asked for."""
    name = "a" * 250
    gate, token = world.gate(), world.token(name)
    for _ in range(2):
        assert isinstance(world.decide(gate, world.head(target=b"/notes-" + name.encode(), token=token)), Forward)
        assert refused(Forbidden, world.decide, gate, world.head(target=b"/x" + name.encode(), token=token)) == "policy"
