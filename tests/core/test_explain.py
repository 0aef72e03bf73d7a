"""Explanations: the gate's own verdict, and the steps that lead to it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from couchgate.core.cors import Cors
from couchgate.core.errors import Forbidden, GateError
from couchgate.core.explain import explain
from couchgate.core.gate import Gate
from couchgate.core.identity import BasicIntroduction, JwtIntroduction
from couchgate.core.policy import Policy
from couchgate.core.target import Kind, classify
from couchgate.core.verdict import NeedKeys
from couchgate.http1.requests import take_head
from tests.core.test_gate_properties import heads, people

__all__ = ["people"]


def own(head, target, principal):
    """The gate's own pages, reduced to what makes a difference here."""
    if target.kind == Kind.SESSION and head.method != b"GET":
        raise Forbidden("There are no cookie sessions here.", code="session")
    return 0 if principal is None else 200


def explained(world, head, gate=None, facts=None, now=None):
    """The explanation of a head in the small world."""
    return explain(gate or world.gate(), head, world.peer, facts or world.facts(), now or world.now, own)


def steps_of(told):
    return {step.name: step.found for step in told.steps}


def verdict(world, head, now):
    """What a face would be told about `head`: how it ends, and the code of a refusal."""
    gate = world.gate()
    try:
        if gate.screen(head).preflight:
            return ("answered", "") if gate.preflight(head)[0] < 400 else ("refused", "")
        target = classify(head.method, head.target)
        if target.kind == Kind.GATE:
            return "answered", ""
        if target.kind == Kind.SESSION:
            own(head, target, gate.admit(head, world.facts(), now, asked=True).principal)
            return "answered", ""
        forward = gate.decide(head, target, world.peer, world.facts(), now, asked=True)
    except GateError as error:
        return "refused", error.code
    assert not isinstance(forward, NeedKeys)
    return "forwarded", ""


def forwards(world, *pairs, name="alice", **how):
    """The explanation of a request that is let through."""
    told = explained(world, world.head(*pairs, token=world.token(name), **how))
    assert (told.outcome, told.refusal) == ("forwarded", None)
    return told


def refusal(world, *args, code, last, **how):
    """The explanation of a request that is refused with `code`, in the step `last`."""
    told = explained(world, *args, **how)
    assert (told.outcome, told.refusal.code, told.steps[-1].name) == ("refused", code, last)
    assert told.sent is None
    return told


@settings(max_examples=400)
@given(st.data())
def test_the_explanation_says_what_the_gate_says(world, people, data):
    """For any request the verdict is the gate's, its step is the last, and neither holds the token or a secret."""
    raw = data.draw(heads(people))
    now = world.now + data.draw(st.sampled_from([-100, 0, 50, 150, 1000]))
    try:
        taken = take_head(raw, 8192, 50)
    except GateError:
        return
    if taken is None:
        return
    told = explained(world, taken[0], now=now)
    expected = verdict(world, taken[0], now)
    assert (told.outcome, "" if told.refusal is None else told.refusal.code) == expected
    refused = [step for step in told.steps if step.refusal is not None]
    assert [step.refusal.code for step in refused] == ([expected[1]] if expected[1] else [])
    assert refused in ([], [told.steps[-1]])
    assert (told.sent is not None) == (told.outcome == "forwarded")
    shown = json.dumps([step.found for step in told.steps])
    if told.sent is not None:
        shown += repr(told.sent)
    assert not any(token[0] in shown for token in people.tokens.values() if len(token[0]) > 20)


def test_a_forwarded_request_is_told_from_host_to_couchdb(world):
    """Every step of a request that is let through is there, in the gate's order."""
    head = world.head((b"Origin", world.app.encode()), target=b"/lab/a%20b?rev=1", token=world.token("dora", azp="app"))
    told = explained(world, head)
    assert [step.name for step in told.steps] == [
        "host", "origin", "target", "token", "issuer", "key", "claims", "principal", "rule",
    ]  # fmt: skip
    steps = steps_of(told)
    assert steps["host"] == {"host": "gate.example.com"}
    assert steps["origin"] == {"origin": world.app, "allowed": True}
    assert steps["target"] == {"database": "lab", "document": "a b", "endpoint": "document", "kind": "read"}
    assert steps["issuer"] == {"issuer": world.first.issuer, "table": "1"}
    assert steps["key"] == {
        "kid": "key-1", "algorithm": "ES256", "type": "elliptic curve", "allowed": ["ES256"], "known": ["key-1"],
        "fitting": 1,
    }  # fmt: skip
    assert {"iss", "aud", "exp", "iat", "azp", "sub"} == set(steps["claims"])
    assert steps["principal"] == {"name": "dora", "roles": []}
    assert told.rule == 1
    assert steps["rule"] == {
        "kind": "read", "rule": 2, "databases": ["notes-{name}", "lab"], "roles": None, "allow": ["read", "write"],
        "not_applying": [{"rule": 1, "because_of": "roles"}],
    }  # fmt: skip
    assert told.sent.start == b"GET /lab/a%20b?rev=1 HTTP/1.1"
    assert (b"X-Auth-CouchDB-UserName", b"dora") in told.sent.fields
    assert (b"X-Auth-CouchDB-Token", b"***") in told.sent.fields


@pytest.mark.parametrize(
    ("introduction", "shown"),
    [(BasicIntroduction("gate", "pw"), b"Basic ***"), (JwtIntroduction(b"s" * 32), b"Bearer ***")],
)
def test_what_names_the_gate_to_couchdb_is_masked(world, introduction, shown):
    """Of a password or a token for CouchDB the scheme is shown and nothing else."""
    gate = Gate(
        rules=world.rules,
        policy=world.policy,
        cors=Cors(()),
        hosts=frozenset({"gate.example.com"}),
        introduction=introduction,
        authority="127.0.0.1:5984",
    )
    told = explained(world, world.head(token=world.token()), gate)
    assert (b"Authorization", shown) in told.sent.fields


def test_a_token_elsewhere_in_the_request_and_foreign_secrets_are_masked(world):
    """A token in the query is masked like one in a field, and so is a field that looks like a secret."""
    token = world.token()
    head = world.head((b"X-Api-Key", b"hush"), (b"X-Note", b"n"), target=b"/shared?t=" + token.encode(), token=token)
    told = explained(world, head)
    assert told.sent.start == b"GET /shared?t=*** HTTP/1.1"
    assert {(b"X-Api-Key", b"***"), (b"X-Note", b"n")} <= set(told.sent.fields)


def test_a_preflight_is_answered_or_refused_before_any_token(world):
    """An allowed origin gets its preflight, another one is refused, and no later step is told."""
    asks = (b"Access-Control-Request-Method", b"GET")
    told = explained(world, world.head((b"Origin", world.app.encode()), asks, method=b"OPTIONS"))
    assert (told.outcome, told.status) == ("answered", 204)
    assert [step.name for step in told.steps] == ["host", "origin", "preflight"]
    told = explained(world, world.head((b"Origin", b"https://other.example"), asks, method=b"OPTIONS"))
    assert (told.outcome, told.status, told.refusal) == ("refused", 403, None)


def test_the_gates_own_pages_are_answered(world):
    """`/_gate` needs no token, `/_session` does, and opens nothing."""
    told = explained(world, world.head(target=b"/_gate/ready"))
    assert (told.outcome, told.status, told.steps[-1].name) == ("answered", 0, "target")
    told = explained(world, world.head(target=b"/_session", token=world.token()))
    assert (told.outcome, told.status, told.steps[-1].name) == ("answered", 200, "principal")
    refusal(world, world.head(target=b"/_session"), code="token_missing", last="token")
    refusal(world, world.head(method=b"POST", target=b"/_session", token=world.token()), code="session", last="request")


def test_each_refusal_of_a_token_has_its_step(world):
    """Unreadable, of no issuer, by no key, out of time, for nobody: each ends in the step that it belongs to."""
    refusal(world, world.head(host=b"evil.example"), code="host", last="host")
    refusal(world, world.head(host=None), code="host_count", last="host")
    refusal(world, world.head(target=b"/%"), code="target_escape", last="target")
    refusal(world, world.head((b"Authorization", b"Basic YTpi")), code="token_scheme", last="token")
    refusal(world, world.head(token="a.b"), code="token_malformed", last="token")
    other = world.token(iss="https://other.example/")
    assert refusal(world, world.head(token=other), code="token_issuer", last="issuer").steps[-1].found["iss"]
    stranger = world.head(token=world.token(minter=world.stranger))
    found = refusal(world, stranger, code="key_unknown", last="key").steps[-1].found
    assert (found["kid"], found["known"], found["fitting"]) == ("key-2", ["key-1"], 0)
    away = refusal(world, world.head(token=world.token()), facts=world.facts("2"), code="keys_missing", last="key")
    assert away.steps[-1].found["known"] == []
    late = refusal(world, world.head(token=world.token()), now=world.now + 999, code="token_expired", last="claims")
    assert late.steps[-1].found["exp"] == world.now + 300
    refusal(world, world.head(token=world.token("")), code="token_claims", last="principal")


def test_keys_without_a_kid_are_told_as_such(world):
    """The key of a shared secret has no id, and says what it is."""
    told = explained(world, world.head(token=world.token(minter=world.second)))
    key = steps_of(told)["key"]
    assert (key["kid"], key["type"], key["known"]) == (None, "shared secret", ["(without kid)"])


def test_dropped_roles_are_told_with_the_reason(world):
    """A role that does not count is named, with what is wrong with it."""
    roles = ["editor", "", "_admin", "a,b", " x"]
    told = explained(world, world.head(token=world.token(**{"_couchdb.roles": roles})))
    assert steps_of(told)["principal"]["dropped"] == {
        "": "it is empty",
        "_admin": "it begins with _",
        "a,b": "it holds a comma or a control character",
        " x": "it has white space at an end",
    }


def test_a_403_tells_which_rule_decided_or_why_none_did(world):
    """The deciding rule lacks the kind, or each rule is told with the key by which it does not apply."""
    put = world.head(method=b"PUT", target=b"/shared/x", token=world.token())
    told = refusal(world, put, code="policy", last="rule")
    assert (told.rule, told.steps[-1].found["allow"]) == (2, ["read"])
    told = refusal(world, world.head(target=b"/other", token=world.token()), code="policy", last="rule")
    assert told.rule is None
    assert told.steps[-1].found["not_applying"] == [
        {"rule": 1, "because_of": "roles"}, {"rule": 2, "because_of": "databases"},
        {"rule": 3, "because_of": "databases"},
    ]  # fmt: skip
    second = world.token(minter=world.second)
    told = refusal(world, world.head(target=b"/_all_dbs", token=second), code="policy", last="rule")
    assert told.steps[-1].found["not_applying"][0] == {"rule": 1, "because_of": "issuers"}
    told = refusal(world, world.head(target=b"/lab/_temp_view", token=second), code="policy", last="rule")
    assert told.steps[-1].found == {"kind": "never"}


def test_a_rule_is_not_asked_for_the_root(world):
    """The welcome needs a valid token and no rule."""
    told = forwards(world, target=b"/")
    assert (told.rule, steps_of(told)["rule"]) == (None, {"kind": "welcome"})
    gate = Gate(
        rules=world.rules, policy=Policy(()), cors=Cors(()), hosts=frozenset({"gate.example.com"}),
        introduction=BasicIntroduction("a", "b"), authority="x",
    )  # fmt: skip
    told = refusal(world, world.head(token=world.token()), gate=gate, code="policy", last="rule")
    assert told.steps[-1].found == {"kind": "read", "rule": None}


def test_a_copy_is_decided_twice(world):
    """A COPY is told with its destination and the rule for that, too."""
    told = forwards(world, (b"Destination", b"b"), method=b"COPY", target=b"/lab/a")
    assert [step.name for step in told.steps][-3:] == ["rule", "destination", "rule"]
    copy = {"method": b"COPY", "target": b"/lab/a", "token": world.token()}
    refusal(world, world.head((b"Destination", b"_design/b"), **copy), code="policy", last="rule")
    refusal(world, world.head((b"Destination", b"http://x/b"), **copy), code="destination", last="destination")
    refusal(world, world.head(**copy), code="destination", last="request")
    upgrade = ((b"Connection", b"upgrade"), (b"Upgrade", b"websocket"), (b"Destination", b"_design/b"))
    refusal(world, world.head(*upgrade, **copy), code="upgrade", last="request")


def test_a_fault_is_a_500_and_nothing_is_sent(world):
    """Whatever breaks inside a decision is told as the refusal that a face would answer with."""

    class Broken:
        def lines(self, principal, now):
            raise ZeroDivisionError

    gate = Gate(
        rules=world.rules, policy=world.policy, cors=Cors(()), hosts=frozenset({"gate.example.com"}),
        introduction=Broken(), authority="x",
    )  # fmt: skip
    told = refusal(world, world.head(token=world.token()), gate=gate, code="internal", last="request")
    assert told.status == 500


def test_a_token_in_a_field_of_any_name_is_not_shown(world):
    """Who sends a second token in a field that nobody knows sees that field, and the token masked."""
    other = world.token("bob").encode()
    told = forwards(world, (b"X-Copy", b"old: " + other), target=b"/lab/a")
    assert (b"X-Copy", b"old: ***") in told.sent.fields
    assert other not in repr(told).encode()
