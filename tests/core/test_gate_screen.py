"""What is known of a request before anybody looks at its token: its Host, its page, its connection."""

from __future__ import annotations

import pytest

from couchgate.core.errors import BadRequest, Forbidden, Misdirected
from couchgate.core.host import HOSTS_SEEN
from couchgate.core.message import Fields
from couchgate.core.target import classify


def refused(kind, call, *args, **how):
    with pytest.raises(kind) as caught:
        call(*args, **how)
    return caught.value.code


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
    errors = []
    for _ in range(2):
        with pytest.raises(kind) as caught:
            gate.screen(head)
        errors.append(caught.value)
        assert caught.value.code == code
    assert errors[0] is not errors[1]  # one instance raised again and again would collect tracebacks
    target = classify(b"GET", b"/shared")
    assert refused(kind, gate.decide, head, target, world.peer, world.facts(), world.now) == code


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
