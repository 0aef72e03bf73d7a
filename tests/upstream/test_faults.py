"""What the gate makes of an upstream that refuses, hangs, breaks off, lies or answers too early."""

import json

import pytest

from tests.web.live import HELLO, OK, ORIGIN, running_gate
from tests.web.sockets import SOON, Upstream, eventually

MODES = pytest.mark.parametrize("mode", ["keepalive", "close", "threaded"])


def error_of(answer):
    """CouchDB's error word of a refusal, which is JSON of the gate's."""
    assert answer.first(b"content-type") == b"application/json"
    value = json.loads(answer.body)
    assert set(value) == {"error", "reason"}
    return value["error"]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_an_upstream_that_refuses_is_503_for_a_while(host):
    """Nobody listens: 503 with Retry-After, in JSON and with CORS, by address and by name."""
    upstream = Upstream()
    upstream.url = f"http://{host}:{upstream.port}"
    with running_gate(upstream) as gate:
        upstream.close()
        for method, mode in (("GET", "keepalive"), ("PUT", "keepalive"), ("GET", "close"), ("PUT", "close")):
            client = gate.client(method, "/db/doc", f"Origin: {ORIGIN.decode()}", mode=mode)
            answer = client.answer()
            assert answer.status == 503
            assert int(answer.first(b"retry-after")) > 0
            assert error_of(answer) == "service_unavailable"
            assert answer.first(b"access-control-allow-origin") == ORIGIN


def test_a_client_that_tires_of_a_hanging_upstream_ends_the_exchange(gate, upstream):
    """CouchDB takes the request and is mute: when the client leaves, CouchDB's connection is cut."""
    client = gate.client("GET", "/db/doc")
    peer = upstream.accept()
    peer.message()
    client.reset()
    assert peer.ending(SOON)[1] == b""


def test_a_silent_upstream_is_504_after_first_byte_seconds(own_upstream):
    """CouchDB takes the request and does not begin to answer in time: 504, and its connection is cut."""
    with running_gate(own_upstream, more_upstream="first_byte_seconds = 0.5") as gate:
        client = gate.client("GET", "/db/doc")
        peer = own_upstream.accept()
        peer.message()
        answer = client.answer()
        assert (answer.status, error_of(answer)) == (504, "gateway_timeout")
        assert peer.ending(SOON)[1] == b""


@MODES
@pytest.mark.parametrize("end", ["half_close", "reset"])
@pytest.mark.parametrize("part", [b"HTTP/1.1 200 OK\r\nContent-Le", b"HT", b"HTTP/1.1 100 Continue\r\n\r\n"])
def test_an_answer_that_breaks_off_in_its_head_is_502(gate, upstream, mode, end, part):
    """A part of a head, then the end: 502, and nothing of that part reaches the client."""
    client = gate.client("GET", "/db/doc", mode=mode)
    peer, _ = upstream.exchange(part)
    eventually(lambda: not peer.unacknowledged())
    getattr(peer, end)()
    answer = client.answer()
    assert (answer.status, error_of(answer)) == (502, "bad_gateway")


@MODES
@pytest.mark.parametrize("end", ["half_close", "reset"])
@pytest.mark.parametrize(
    "framing", [b"Content-Length: 1000\r\n\r\nhello", b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"]
)
def test_an_answer_that_breaks_off_in_its_body_never_looks_whole(gate, upstream, mode, end, framing):
    """The client has the bytes that came, then a reset: no last chunk, no clean end."""
    client = gate.client("GET", "/db/doc", mode=mode)
    peer, _ = upstream.exchange(b"HTTP/1.1 200 OK\r\n" + framing)
    client.head()
    client.until(b"hello")
    getattr(peer, end)()
    how, rest = client.ending()
    assert how == "reset"
    assert rest in {b"", b"\r\n"}


@MODES
def test_a_reset_in_a_body_without_length_never_looks_whole(gate, upstream, mode):
    """A body that ends by close is cut by a reset, and the client sees a reset, too."""
    client = gate.client("GET", "/db/doc", mode=mode)
    peer, _ = upstream.exchange(b"HTTP/1.1 200 OK\r\n\r\nhello")
    client.head()
    client.until(b"hello\r\n" if mode == "keepalive" else b"hello")
    peer.reset()
    assert client.ending() == ("reset", b"")


@pytest.mark.parametrize(
    "garbage",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/2 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: a\r\n folded\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX\x00: a\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70000 + b"\r\n\r\n",
        b"\x00" * 100,
    ],
)
def test_garbage_is_502(gate, upstream, garbage):
    """What is not one valid HTTP response is a 502, and its connection is never used again."""
    client = gate.client("GET", "/db/doc")
    peer, _ = upstream.exchange(garbage)
    assert error_of(client.answer()) == "bad_gateway"
    assert peer.ending()[1] == b""
    client.send(gate.head())
    upstream.exchange(HELLO)
    assert client.answer().status == 200


def test_a_malformed_chunk_cuts_the_client(gate, upstream):
    """Garbage between chunks after a good start: the client is cut."""
    client = gate.client("GET", "/db/doc")
    peer, _ = upstream.exchange(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
    client.head()
    assert client.chunk() == b"hello"
    peer.send(b"5\r\nhelloXX5\r\nworld\r\n0\r\n\r\n")
    assert client.ending()[0] == "reset"


@pytest.mark.parametrize("late", [False, True])
def test_surplus_bytes_never_reach_the_next_request(gate, upstream, late):
    """Bytes behind an answer, sent with it or later, end that connection; the next request has a fresh one."""
    surplus = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwrong"
    client = gate.client("GET", "/db/doc")
    peer, _ = upstream.exchange(HELLO + (b"" if late else surplus))
    assert client.answer().body == b'{"ok":true}'
    if late:
        peer.send(surplus)
    assert peer.ending()[1] == b""
    client.send(gate.head())
    upstream.exchange(OK + b"right-right")
    assert client.answer().body == b"right-right"


@MODES
@pytest.mark.parametrize("framing", ["Content-Length: 100000", "Transfer-Encoding: chunked"])
def test_an_answer_before_the_end_of_the_body_is_passed_on(gate, upstream, mode, framing):
    """CouchDB refuses in the middle of an upload: the client reads the refusal in full, and the rest goes nowhere."""
    client = gate.client("PUT", "/db/doc", framing, mode=mode)
    client.send(b"3e8\r\n" if "chunked" in framing else b"", b"x" * 1000)
    peer = upstream.accept()
    peer.head()
    peer.until(b"x" * 1000)
    peer.send(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\n{}")
    answer = client.answer()
    assert (answer.status, answer.body) == (413, b"{}")
    assert answer.first(b"connection") == b"close"
    assert peer.ending()[1] in {b"", b"\r\n"}
    client.send(b"y" * 50000)
    client.half_close()
    assert client.ending() == ("fin", b"")


def test_an_upstream_that_ends_in_the_middle_of_an_upload_is_noticed(gate, upstream):
    """CouchDB closes without an answer while it takes no more of the upload: 503, although nothing can be sent."""
    client = gate.client("PUT", "/db/doc", "Content-Length: 100000000")
    peer = upstream.accept()
    peer.head()
    client.send_until_stuck(bytes(1 << 16), 100000000, 0.5)
    peer.half_close()
    assert client.answer().status in {502, 503}
