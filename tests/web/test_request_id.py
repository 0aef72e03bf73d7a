"""One id for a request, wherever it is seen."""

import re

import pytest

from tests.web.live import HELLO, running_gate
from tests.web.sockets import Client, Upstream, eventually

MODES = pytest.mark.parametrize("mode", ["keepalive", "close", "threaded"])
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{TRACE}-00f067aa0ba902b7-00"


@pytest.fixture(scope="module")
def upstream():
    listening = Upstream()
    yield listening
    listening.close()


@pytest.fixture(scope="module")
def gate(upstream):
    with running_gate(upstream) as running:
        yield running


def exchange(gate, upstream, *lines, mode="keepalive"):
    """What CouchDB saw and what the client was answered."""
    client = gate.client("GET", "/db/doc", *lines, mode=mode)
    peer = upstream.accept()
    asked = peer.message()
    peer.send(HELLO.replace(b"\r\n\r\n", b"\r\nX-Request-ID: couchdbs\r\n\r\n", 1))
    answered = client.message()
    upstream.settle()
    return dict(asked.fields), [value.decode() for name, value in answered.fields if name == b"x-request-id"]


@MODES
def test_client_couchdb_and_log_are_told_the_same_id(gate, upstream, mode):
    """The gate starts a trace; CouchDB's own `X-Request-ID` does not contradict it."""
    before = len(gate.access())
    asked, (told,) = exchange(gate, upstream, "X-Couch-Request-ID: forged", mode=mode)
    assert re.fullmatch(r"[0-9a-f]{32}", told)
    assert asked[b"x-couch-request-id"].decode() == told
    assert asked[b"traceparent"].decode().split("-")[1] == told
    assert [line["id"] for line in eventually(lambda: gate.access()[before:])] == [told]


@MODES
def test_a_clients_trace_is_passed_on(gate, upstream, mode):
    """CouchDB sees the very field that the client sent, and the answer names its trace."""
    asked, told = exchange(gate, upstream, f"traceparent: {PARENT}", "tracestate: a=1", mode=mode)
    assert (asked[b"traceparent"].decode(), asked[b"tracestate"], told) == (PARENT, b"a=1", [TRACE])
    assert asked[b"x-couch-request-id"].decode() == TRACE


@pytest.mark.parametrize("sent", [b"GET /db/doc HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", b"garbage\r\n\r\n"])
def test_a_refusal_has_an_id_too(gate, sent):
    """Whoever asks why can name the request, also one that could not be read."""
    client = Client(gate.port)
    client.send(sent)
    assert re.fullmatch(rb"[0-9a-f]{32}", dict(client.message().fields)[b"x-request-id"])
    client.close()


def test_switched_off_nobody_is_told_but_the_log(upstream):
    """`trace = false`: no field of the gate's own, and a line that has an id all the same."""
    with running_gate(upstream, more_log="trace = false") as gate:
        asked, told = exchange(gate, upstream)
        assert told == []
        assert not {b"x-couch-request-id", b"traceparent"} & set(asked)
        assert all(re.fullmatch(r"[0-9a-f]{32}", line["id"]) for line in eventually(gate.access))
