"""What the gate sends to CouchDB, read back by the strict judge: one request, said by the gate alone."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from couchgate.core.cors import Cors
from couchgate.core.errors import GateError
from couchgate.core.gate import Gate
from couchgate.core.identity import BasicIntroduction, JwtIntroduction, ProxyIntroduction
from couchgate.core.keys import KeySet
from couchgate.core.message import Peer
from couchgate.core.policy import Pattern, Policy, Rule
from couchgate.core.target import classify
from couchgate.core.token import TokenRules
from couchgate.core.verdict import Forward
from couchgate.http1.requests import take_head
from couchgate.testing import Minter

NOW = 1_700_000_000.0
NAME = "\u00e4lice"
MINTER = Minter("ES256", None)
TOKEN = MINTER.token(NAME, now=NOW, **{"_couchdb.roles": ["r1", "r2"]}).encode()
PEER = Peer.of("192.0.2.7", secure=False)
INTRODUCTIONS = {
    "proxy": ProxyIntroduction(b"secret"),
    "jwt": JwtIntroduction(b"a secret of more than thirty-two bytes"),
    "basic": BasicIntroduction("gate", "password"),
}
RULE = Rule(frozenset({MINTER.issuer}), (Pattern.parse("*"),), None, frozenset({"read", "write"}))


class Facts:
    """Keys that never change."""

    keysets = {"r": KeySet.from_jwks(MINTER.jwks(), ["ES256"])}  # noqa: RUF012 - nobody changes it


def gate(introduction):
    rules = TokenRules("r", MINTER.issuer, frozenset({"couchgate"}), frozenset({"ES256"}))
    return Gate(
        rules=[rules],
        policy=Policy([RULE]),
        cors=Cors([]),
        hosts=frozenset(),
        introduction=INTRODUCTIONS[introduction],
        authority="couch.internal:5984",
    )


def forwarded(introduction, data):
    """The head that goes up for the request in `data`, with what a face adds, or None for a refusal."""
    try:
        head, _ = take_head(data, 8192, 100)
        judge = gate(introduction)
        judge.screen(head)
        verdict = judge.decide(head, classify(head.method, head.target), PEER, Facts, NOW)
    except GateError:
        return None
    assert isinstance(verdict, Forward)
    return verdict.head + b"Content-Length: 0\r\n\r\n"


OWN = {
    "proxy": {
        b"x-auth-couchdb-username": NAME.encode(),
        b"x-auth-couchdb-roles": b"r1,r2",
        b"x-auth-couchdb-token": None,
    },
    "jwt": {b"authorization": None},
    "basic": {b"authorization": None},
}
ALWAYS = {
    b"host": b"couch.internal:5984",
    b"x-forwarded-host": b"localhost",
    b"x-forwarded-proto": b"http",
    b"x-forwarded-for": b"192.0.2.7",
    b"content-length": b"0",
}
EVIL = [
    b"Connection:",
    b"Connection: ,",
    b"connection: close, ,x-auth-couchdb-username,host",
    b"Connection: X-Forwarded-Host, authorization, Content-Length",
    b"X-Auth-CouchDB-UserName: admin",
    b"x_auth_couchdb_roles: _admin",
    b"X-Auth-CouchDB_Token:x",
    b"X_Forwarded-Host: evil",
    b"X-Forwarded-For: 1.1.1.1",
    b"x-forwarded-proto:https",
    b"Content_Length: 7",
    b"Transfer_Encoding: chunked",
    b"Cookie: AuthSession=x",
    b"Proxy-Authorization: Basic x",
    b"X-HTTP-Method-Override: DELETE",
    b"Expect: 100-continue",
    b"TE: trailers",
    b"Accept: */*",
    b"X: \xff\t\x80 ",
    b"Y:",
    b"If-Match: \"a\", 'b'",
]
PASSED = {b"accept", b"x", b"y", b"if-match"}


@settings(max_examples=500)
@given(
    st.sampled_from(sorted(INTRODUCTIONS)),
    st.lists(st.sampled_from(EVIL), max_size=8),
    st.sampled_from([b"", b"?", b"?a=%20&b=c?d"]),
)
def test_the_forwarded_head_is_one_request_in_the_gates_words(wire, introduction, lines, query):
    """The judge reads one request; Host, identity and peer are the gate's, each said once; the client's are gone."""
    sent = [b"GET /db/x" + query + b" HTTP/1.1", *lines, b"Host: localhost", b"Authorization: Bearer " + TOKEN]
    head = forwarded(introduction, b"\r\n".join([*sent, b"", b""]))
    (request,), error, rest = wire.strict_requests(head)
    assert (error, rest) == (None, b"")
    assert (request["method"], request["target"], request["version"]) == (b"GET", b"/db/x" + query, b"1.1")
    own = {**ALWAYS, **OWN[introduction]}
    said = [(name, value) for name, value in request["headers"] if name in own]
    assert sorted(name for name, _ in said) == sorted(own)
    assert all(own[name] in (None, value) for name, value in said)
    passed = [(name, value) for name, value in request["headers"] if name not in own]
    client = [line.split(b":", 1) for line in lines]
    assert passed == [(name.lower(), value.strip(b" \t")) for name, value in client if name.lower() in PASSED]
    assert TOKEN not in head


EDITS = [b"\r\n", b"\n", b"\r", b"\0", b":", b" ", b"_", b"-", b",", b"\r\n ", b"\r\n\r\n", b"Host: x\r\n"]


@settings(max_examples=500)
@given(
    st.lists(st.sampled_from(EVIL), max_size=3),
    st.lists(st.tuples(st.integers(0, 10**6), st.sampled_from(EDITS)), max_size=3),
)
def test_whatever_is_forwarded_is_one_request_to_the_judge(wire, lines, edits):
    """Whatever a mangled head becomes, CouchDB gets one request with one Host and one user, or none."""
    data = b"\r\n".join(
        [b"PUT /db/x HTTP/1.1", b"Host: localhost", *lines, b"Authorization: Bearer " + TOKEN, b"", b""]
    )
    for at, edit in edits:
        place = at % (len(data) - 2)
        data = data[:place] + edit + data[place:]
    head = forwarded("proxy", data)
    if head is not None:
        (request,), error, rest = wire.strict_requests(head)
        assert (error, rest) == (None, b"")
        names = [name.replace(b"_", b"-") for name, _ in request["headers"]]
        assert all(names.count(name) == 1 for name in {**ALWAYS, **OWN["proxy"]})
        assert (b"x-auth-couchdb-username", NAME.encode()) in request["headers"]
