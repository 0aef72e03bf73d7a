"""The whole decision about one request, case by case."""

from __future__ import annotations

import pytest

from couchgate.core.errors import BadRequest, Forbidden, Misdirected, Unauthorized, Unavailable
from couchgate.core.gate import HOSTS_SEEN, Forward, NeedKeys
from couchgate.core.message import Fields
from couchgate.core.target import classify


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


# -- Host


@pytest.mark.parametrize(
    "host",
    [
        b"gate.example.com",
        b"GATE.example.com:443",
        b"gate.example.com:1",
        b"port.example.com:8443",
        b"localhost",
        b"LocalHost:5985",
        b"127.0.0.1:80",
        b"[::1]",
        b"[::1]:5985",
    ],
)
def test_a_served_host_is_screened_in_and_told_to_couchdb(world, host):
    """Names in any case, with any port unless one was configured, and loopback names are served."""
    head = world.head(host=host, token=world.token())
    forward = world.decide(world.gate(), head)
    assert b"\r\nX-Forwarded-Host: " + host + b"\r\n" in forward.head
    assert forward.head.count(b"\r\nHost: 127.0.0.1:5984\r\n") == 1


@pytest.mark.parametrize(
    ("host", "kind", "code"),
    [
        (b"evil.example.com", Misdirected, "host"),
        (b"gate.example.com.evil.example", Misdirected, "host"),
        (b"gate.example.com.", Misdirected, "host"),
        (b"port.example.com", Misdirected, "host"),
        (b"port.example.com:8444", Misdirected, "host"),
        (b"127.0.0.2", Misdirected, "host"),
        (b"::1", Misdirected, "host"),
        (b"", Misdirected, "host"),
        (b"a@gate.example.com", Misdirected, "host"),
        (b"gate.example.com:", BadRequest, "host_malformed"),
        (b"gate.example.com:x", BadRequest, "host_malformed"),
        (b"gate.example.com:80:80", Misdirected, "host"),
        (b"g\xc3\xa4te.example.com", BadRequest, "host_malformed"),
        (None, BadRequest, "host_count"),
    ],
)
def test_any_other_host_is_refused_and_never_forwarded(world, host, kind, code):
    """An unknown Host is 421, a malformed or missing one 400; `decide` alone would not forward it either."""
    gate, head = world.gate(), world.head(host=host, token=world.token())
    for _ in range(2):
        assert refused(kind, gate.screen, head) == code
    target = classify(b"GET", b"/shared")
    refused(Unauthorized, gate.decide, head, target, world.peer, world.facts(), world.now)


def test_two_hosts_are_refused(world):
    """Two Host fields are 400, even if both are the same served one."""
    gate = world.gate()
    gate.screen(world.head())
    assert refused(BadRequest, gate.screen, world.head((b"host", b"gate.example.com"))) == "host_count"


def test_many_spellings_of_a_host_are_served(world):
    """What the gate remembers of spellings is bounded, and decides nothing."""
    gate = world.gate()
    for port in range(1, HOSTS_SEEN + 20):
        gate.screen(world.head(host=b"localhost:%d" % port))
    assert refused(Misdirected, gate.screen, world.head(host=b"localhos:1")) == "host"


# -- CORS and connections


def test_answers_to_an_allowed_page_carry_its_origin(world):
    """The lines for every answer follow the Origin, before and after anything was decided."""
    allowed, foreign = (b"Origin", world.app.encode()), (b"Origin", b"https://evil.example")
    line = b"Access-Control-Allow-Origin: " + world.app.encode() + b"\r\n"
    for head, expected in [(world.head(allowed), True), (world.head(foreign), False), (world.head(), False)]:
        gate = world.gate()
        lines = gate.cors_lines(head.fields)
        assert (line in lines) is expected
        assert b"Vary: Origin\r\n" in lines
        assert gate.screen(head).lines == gate.cors_lines(head.fields) == lines
    assert line in world.gate().cors_lines(Fields.of(allowed))  # an answer to a head that was refused


def test_a_preflight_is_recognised_and_needs_no_token(world):
    """OPTIONS of a page with the wanted method is a preflight: 204 to an allowed page, 403 to another."""
    gate = world.gate()
    asked = (b"Access-Control-Request-Method", b"PUT")
    allowed = world.head((b"Origin", world.app.encode()), asked, method=b"OPTIONS")
    foreign = world.head((b"Origin", b"null"), asked, method=b"OPTIONS")
    assert gate.screen(allowed).preflight
    assert gate.screen(foreign).preflight
    assert not gate.screen(world.head(asked, method=b"OPTIONS")).preflight
    assert not gate.screen(world.head((b"Origin", world.app.encode()), asked)).preflight
    status, pairs = gate.preflight(allowed)
    assert (status, dict(pairs)[b"Access-Control-Allow-Origin"]) == (204, world.app.encode())
    assert gate.preflight(foreign)[0] == 403


@pytest.mark.parametrize(
    ("value", "close"),
    [(b"close", True), (b"X, CLOSE", True), (b"keep-alive", False), (b"x-close", False), (b"", False)],
)
def test_the_screen_tells_who_wants_to_close(world, value, close):
    """`Connection: close` in any list and case closes after the answer."""
    assert world.gate().screen(world.head((b"Connection", value))).close is close


@pytest.mark.parametrize("value", [b"Upgrade", b"keep-alive, upgrade"])
def test_an_upgrade_is_never_relayed(world, value):
    """A request for another protocol is 403; the field alone, which asks nothing, is dropped."""
    gate, token = world.gate(), world.token()
    head = world.head((b"Connection", value), (b"Upgrade", b"websocket"), token=token)
    assert refused(Forbidden, world.decide, gate, head) == "upgrade"
    for pair in ((b"Connection", value), (b"Upgrade", b"websocket")):
        assert b"pgrade" not in world.decide(gate, world.head(pair, token=token)).head


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
    """Before an issuer's keys were ever fetched its tokens are 503, and others are served."""
    gate = world.gate()
    assert refused(Unavailable, world.decide, gate, world.head(token=world.token()), world.facts("2")) == "keys_missing"
    assert world.decide(gate, world.head(token=world.token("bob", world.second)), world.facts("2"))


def test_a_verdict_is_kept_until_the_very_end(world):
    """A returning token is admitted without another verification up to `exp` plus leeway, and not at it."""
    gate, facts, token = world.gate(), world.facts(), world.token(expires_in=60)
    end = world.now + 60 + world.leeway
    first = gate.admit(world.head(token=token), facts, world.now)
    assert gate.admit(world.head((b"Accept", b"x"), token=token), facts, end - 0.001) is first
    assert refused(Unauthorized, gate.admit, world.head(token=token), facts, end) == "token_expired"
    assert refused(Unauthorized, world.decide, gate, world.head(token=token), facts, end + 1e9) == "token_expired"


def test_a_verdict_is_dropped_when_any_key_set_changes(world):
    """A key that is gone takes all its verdicts along at once, and one that is back counts again."""
    gate, head = world.gate(), world.head(token=world.token())
    before = world.facts()
    first = gate.admit(head, before, world.now)
    assert refused(Unavailable, world.decide, gate, head, world.facts("2")) == "keys_missing"
    again = gate.admit(head, world.facts(), world.now)
    assert again == first
    assert again is not first


def test_two_gates_do_not_share_what_they_derived(world):
    """Fields that one gate has seen are analysed anew by another, in turn and again."""
    head = world.head(token=world.token())
    one, two = world.gate(), world.gate()
    expected = world.decide(one, head)
    for gate in (two, one, two):
        assert world.decide(gate, head) == expected
        assert head.fields.prepared.gate is gate
