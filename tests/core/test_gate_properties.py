"""What holds of every decision: only refusals leave it, nothing passes without a token, and no two people mix."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from couchgate.core.errors import GateError
from couchgate.core.message import Fields
from couchgate.core.verdict import Forward, NeedKeys
from couchgate.http1.requests import take_head
from tests.core.heads import Told, changed, told


class People:
    """Tokens by name; its repr shows none of them."""

    def __init__(self, tokens):
        self.tokens = tokens
        self.names = sorted(tokens)


@pytest.fixture(scope="session")
def people(world):
    """Tokens by name, and which of them are valid when, with every key: (principal's name, from, until)."""
    end = world.now + 300 + world.leeway
    later = {"nbf": world.now + 100, "iat": world.now}
    tokens = {
        "alice": (world.token("alice"), "alice", 0, end),
        "again": (world.token("alice", jti="another"), "alice", 0, end),
        "bob": (world.token("bob"), "bob", 0, end),
        "dora": (world.token("dora", **{"_couchdb.roles": ["designer"]}), "dora", 0, end),
        "second": (world.token("alice", world.second), "second-alice", 0, end),
        "brief": (world.token("brief", expires_in=10), "brief", 0, world.now + 10 + world.leeway),
        "later": (world.token("later", **later), "later", world.now + 100 - world.leeway, end),
        "stranger": (world.token("alice", world.stranger), None, 0, 0),
        "nobody": (world.token(""), None, 0, 0),
        "elsewhere": (world.token("alice", aud="elsewhere"), None, 0, 0),
        "forged": (world.token("alice")[:-8] + "AAAAAAAA", None, 0, 0),
        "garbage": ("garbage", None, 0, 0),
    }
    return People(tokens)


def outcome(call, *args, **how):
    """What a decision says, in a form that can be compared: a verdict, or the refusal's status, code and reason."""
    try:
        verdict = call(*args, **how)
    except GateError as error:
        return error.status, error.code, error.reason, error.headers
    if isinstance(verdict, Forward):
        return told(verdict)
    return verdict


def serve(world, gate, data):
    """Everything that a face does with bytes before it relays them; None where they are no whole head."""
    taken = take_head(data, 8192, 50)
    return None if taken is None else (taken[0], world.decide(gate, taken[0]))


LINES = [
    b"Host: gate.example.com",
    b"Host: evil.example",
    b"host: localhost:1",
    b"Authorization: Bearer <alice>",
    b"authorization:bearer   <bob>",
    b"Authorization: Bearer <forged>",
    b"Authorization: Bearer <stranger>",
    b"Authorization: Basic YTpi",
    b"Authorization_: Bearer <alice>",
    b"Proxy-Authorization: Bearer <alice>",
    b"Cookie: AuthSession=<alice>",
    b"Connection: authorization, host",
    b"Connection: upgrade, ,",
    b"Upgrade: websocket",
    b"Origin: https://app.example.com",
    b"Access-Control-Request-Method: PUT",
    b"Destination: _design/x",
    b"Content-Length: 3",
    b"Transfer-Encoding: chunked",
    b"X-Auth-CouchDB-UserName: admin",
    b"X: \xff\t",
]
METHODS = [b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"COPY", b"OPTIONS", b"TRACE", b"CONNECT", b"!"]
TARGETS = [b"/", b"/shared", b"/lab/_bulk_docs", b"/shared/_changes?since=%00", b"/%", b"*", b"/_users", b"//lab///a"]
TARGETS += [
    b"http://x/shared",
    b"/lab/_design/a?access_token=<alice>",
    b"/notes-alice/_local/x",
    b"/notes-bob",
    b"/\xff",
]
VISIBLE = st.lists(st.sampled_from(list(range(0x21, 0x7F))), max_size=20).map(bytes)


@st.composite
def heads(draw, people):
    """The bytes of a request's head, more or less sound; `<alice>` in a line stands for her token."""
    target = draw(st.sampled_from(TARGETS) | VISIBLE.map(lambda path: b"/" + path))
    start = draw(st.sampled_from(METHODS)) + b" " + target + b" HTTP/1.1"
    sound = [LINES[0], draw(st.sampled_from([LINES[3], LINES[4]]))] if draw(st.booleans()) else []
    lines = draw(st.permutations(sound + draw(st.lists(st.sampled_from(LINES), max_size=4))))
    data = b"\r\n".join([start, *lines, b"", b""])
    for name, token in people.tokens.items():
        data = data.replace(b"<%b>" % name.encode(), token[0].encode())
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 3]))):
        at = draw(st.integers(0, len(data)))
        cut = draw(st.sampled_from([0, 1, 1, 30]))
        data = (
            data[:at]
            + draw(st.sampled_from([b"", b"\r\n", b" ", b":", b"_", b"-"]) | st.binary(max_size=3))
            + data[at + cut :]
        )
    return data


@settings(max_examples=600)
@given(st.data())
def test_only_refusals_leave_a_decision_and_only_the_tokens_person_enters(world, people, data):
    """Whatever a head holds, it is a GateError, or it is forwarded for the one valid token in the one right place."""
    raw = data.draw(heads(people) | st.binary(max_size=200))
    try:
        served = serve(world, world.gate(), raw)
    except GateError:
        return
    if served is None:
        return
    head, verdict = served
    (credential,) = [value for name, value in head.fields.pairs if name.lower() == b"authorization"] + (
        [b"Bearer " + head.bearer] if head.bearer else []
    )
    scheme, _, token = credential.partition(b" ")
    assert scheme.lower() == b"bearer"
    shown = [known for known in people.tokens.values() if known[0].encode() == token.strip(b" ")]
    if isinstance(verdict, NeedKeys):
        assert verdict == NeedKeys("1", "key-2")
    else:
        assert [known[1] for known in shown] == [verdict.principal.name]
        assert verdict.head.startswith(head.method + b" " + head.target + b" HTTP/1.1\r\nHost: 127.0.0.1:5984\r\n")
        assert b"\r\nauthorization:" not in verdict.head.lower()


@settings(max_examples=500)
@given(st.data())
def test_no_target_is_forwarded_without_a_valid_token(world, people, data):
    """For no method and path does a token that is not valid, or none, end in anything but 400, 401 or a question."""
    names = [name for name in people.names if people.tokens[name][1] is None]
    name = data.draw(st.sampled_from([None, *names]))
    method = data.draw(st.sampled_from(METHODS))
    target = b"/" + data.draw(VISIBLE)
    head = world.head(method=method, target=target, token=name and people.tokens[name][0])
    said = outcome(world.decide, world.gate(), head)
    assert said == NeedKeys("1", "key-2") or said[0] in (400, 401)


STEPS = st.tuples(
    st.integers(0, 1),  # which of two gates that see the same Fields
    st.integers(0, 11),  # who
    st.integers(0, 5),  # which other fields
    st.sampled_from([b"/shared", b"/notes-alice", b"/notes-bob", b"/lab/_bulk_docs", b"/nowhere", b"/"]),
    st.sampled_from([0, 0, 0, 1, 29, 30, 31, 69, 70, 230, 300]),  # seconds later
    st.sampled_from([None, None, None, None, (), ("1",), ("2",)]),  # the key sets change to these
    st.booleans(),  # asked
)
OTHERS = [(), ((b"Accept", b"x"),), ((b"Origin", b"https://app.example.com"),), ((b"Connection", b"close"),)]
OTHERS += [((b"X-Auth-CouchDB-UserName", b"bob"),), ((b"Connection", b","), (b"Accept", b"x"))]


@settings(max_examples=300)
@given(st.lists(STEPS, min_size=2, max_size=30))
def test_a_gate_with_a_past_decides_like_a_fresh_one(world, people, steps):
    """Nothing that a gate keeps (verdicts, derived fields, spellings) changes an answer: requests never mix."""
    gates, facts, now, seen = (world.gate(), world.gate()), world.facts(), world.now, {}
    for which, who, other, target, later, ids, asked in steps:
        now += later
        facts = facts if ids is None else world.facts(*ids)
        token, name, begin, end = people.tokens[people.names[who]]
        head = world.head(
            *OTHERS[other], method=b"POST" if target.endswith(b"docs") else b"GET", target=target, token=token
        )
        head = changed(head, fields=seen.setdefault(head.fields.block, head.fields))
        fresh = changed(head, fields=Fields(head.fields.block))
        said = outcome(world.decide, gates[which], head, facts, now, asked=asked)
        assert said == outcome(world.decide, world.gate(), fresh, facts, now, asked=asked)
        if isinstance(said, Told):
            assert (said.principal.name, said.expires) == (name, end)
            assert begin <= now < end
            assert b"X-Auth-CouchDB-UserName: " + name.encode() + b"\r\n" in said.head
        elif name is not None and begin <= now < end and len(facts.keysets) == 2:
            assert said[0] == 403
