"""Uploads are decided by their head: who may not upload is told so before a byte of the body is asked for."""

import json
import re
import time

import pytest

from tests.web.live import HELLO, ORIGIN
from tests.web.sockets import SOON, eventually

MODES = pytest.mark.parametrize("mode", ["keepalive", "close", "threaded"])
EXPECT = "Expect: 100-continue"
JSON = "Content-Type: application/json"


def refusals(gate):
    """Heads of uploads that are refused, by status."""
    length = "Content-Length: 1000000"
    return {
        401: gate.head("PUT", "/db/doc/a", length, EXPECT, token=None),
        403: gate.head("PUT", "/other/doc/a", length, EXPECT),
        415: gate.head("POST", "/db/_bulk_docs", length, EXPECT, JSON, "Content-Encoding: gzip"),
    }


@MODES
@pytest.mark.parametrize("status", [401, 403, 415])
def test_a_refused_upload_is_never_asked_to_continue(gate, upstream, mode, status):
    """Whoever expects 100 and may not upload gets the refusal as the first byte, with CORS or not, and then the end."""
    client = gate.client(mode=mode)
    client.send(refusals(gate)[status])
    answer = client.message()
    assert answer.status == status
    assert answer.first(b"connection") == b"close"
    client.half_close()
    assert client.ending() == ("fin", b"")
    assert upstream.untouched


def test_an_allowed_upload_is_asked_to_continue_once_after_the_decision(gate, upstream):
    """100 Continue comes when the decision is made, once; CouchDB never sees the expectation."""
    client = gate.client("PUT", "/db/doc/a", "Content-Length: 5", EXPECT)
    assert client.until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    client.send(b"hello")
    _, request = upstream.exchange(HELLO)
    assert request.body == b"hello"
    assert b"expect" not in dict(request.fields)
    assert client.message().status == 200


def test_a_body_that_is_already_there_needs_no_100(gate, upstream):
    """A client that sends its body with the head gets the answer alone."""
    client = gate.client()
    client.send(gate.head("PUT", "/db/doc/a", "Content-Length: 5", EXPECT), b"hello")
    upstream.exchange(HELLO)
    assert client.message().status == 200


@pytest.mark.parametrize(("mode", "version"), [("close", "1.1"), ("close", "1.0"), ("keepalive", "1.0")])
def test_http_1_0_knows_no_100(gate, upstream, mode, version):
    """In mode close, and toward an HTTP/1.0 client, there is no interim response: the body is simply read."""
    client = gate.client("PUT", "/db/doc/a", "Content-Length: 5", EXPECT, mode=mode, version=version)
    peer = upstream.accept()
    peer.head()
    assert client.quiet()
    client.send(b"hello")
    assert peer.take(5) == b"hello"
    peer.send(HELLO)
    assert client.message().status == 200


@MODES
@pytest.mark.parametrize("framing", ["Content-Length: 900000", "Transfer-Encoding: chunked"])
def test_a_refusal_survives_the_upload_that_it_meets(gate, upstream, mode, framing):
    """The client is still sending when it is refused: it can send on and then read all of the 401, then FIN."""
    client = gate.client("PUT", "/db/doc/a", framing, f"Origin: {ORIGIN.decode()}", token=None, mode=mode)
    for _ in range(9):
        client.send(b"186a0\r\n" + b"x" * 99991 + b"\r\n")
    client.half_close()
    answer = client.message()
    assert (answer.status, json.loads(answer.body)["error"]) == (401, "unauthorized")
    assert answer.first(b"access-control-allow-origin") == ORIGIN
    assert client.ending() == ("fin", b"")
    assert upstream.untouched


def test_a_refused_client_that_goes_on_and_on_is_cut(gate, upstream):
    """Of a refused upload no more than a megabyte or two seconds is read: then the connection ends, the 401 unhurt."""
    client = gate.client("PUT", "/db/doc/a", "Content-Length: 100000000", token=None)
    assert client.message().status == 401
    began = time.monotonic()
    with pytest.raises((ConnectionResetError, BrokenPipeError)):
        while time.monotonic() < began + 10:
            client.send(bytes(100000))
    quiet = gate.client("PUT", "/db/doc/a", "Content-Length: 100000000", token=None)
    assert quiet.message().status == 401
    eventually(quiet.gone)


DESIGN = b'{"_id":"_design/app","views":{}}'
PLAIN = b'{"_id":"note","text":"%b"}'
MEGABYTE = 1 << 20


def documents(size, place):
    """A _bulk_docs body of at least `size` bytes with one design document at its start or end."""
    plain = [PLAIN % (b"x" * 50000)] * (size // 50000)
    rows = [DESIGN, *plain] if place == "first" else [*plain, DESIGN]
    return b'{"new_edits":false,"docs":[' + b",\n".join(rows) + b"]}"


def framed(body, framing, piece=40000):
    """The field that says the framing, and the body's bytes in it."""
    if framing == "length":
        return f"Content-Length: {len(body)}", body
    pieces = [body[at : at + piece] for at in range(0, len(body), piece)]
    return "Transfer-Encoding: chunked", b"".join(b"%x\r\n%b\r\n" % (len(each), each) for each in pieces) + b"0\r\n\r\n"


@MODES
@pytest.mark.parametrize("framing", ["length", "chunked"])
@pytest.mark.parametrize("place", ["first", "last"])
@pytest.mark.parametrize("size", [0, 900_000, 3_000_000])
def test_a_hidden_design_document_never_reaches_couchdb_whole(gate, upstream, mode, framing, place, size):
    """Whether the body is held or streamed: 403 for the writer, and CouchDB has at most a part of the body."""
    field, sent = framed(documents(size, place), framing)
    client = gate.client("POST", "/db/_bulk_docs", field, JSON, mode=mode)
    try:
        client.send(sent)
    except (ConnectionResetError, BrokenPipeError):
        assert (size, place) == (3_000_000, "first")  # more of it than the gate reads after a refusal
    answer = client.message()
    assert (answer.status, json.loads(answer.body)["error"]) == (403, "forbidden")
    if size < MEGABYTE or place == "first":
        assert upstream.untouched
        return
    peer = upstream.accept()
    peer.head()
    how, got = peer.ending(SOON)
    assert how == "reset"
    assert b"_design" not in got
    assert len(got) < len(sent)
    assert not got.endswith(b"0\r\n\r\n")


@MODES
@pytest.mark.parametrize("framing", ["length", "chunked"])
@pytest.mark.parametrize("size", [0, 900_000, 3_000_000])
def test_a_judged_body_without_design_documents_arrives_whole(gate, upstream, mode, framing, size):
    """What is held back while it is judged is sent in the end, byte for byte."""
    body = documents(size, "last").replace(b"_design/app", b"plain")
    field, sent = framed(body, framing)
    client = gate.client("POST", "/db/_bulk_docs", field, JSON, mode=mode)
    client.send(sent)
    _, request = upstream.exchange(HELLO)
    assert request.body == body
    assert client.message().status == 200


@pytest.mark.parametrize("size", [0, 3_000_000])
def test_who_may_design_may_send_design_documents(gate, upstream, size):
    """A principal with the kind `design` sends the same bodies, and they arrive."""
    field, sent = framed(documents(size, "last"), "length")
    token = gate.token(**{"_couchdb.roles": ["designer"]}, _couchdb={"roles": ["designer"]})
    client = gate.client("POST", "/db/_bulk_docs", field, JSON, token=token)
    client.send(sent)
    _, request = upstream.exchange(HELLO)
    assert re.search(rb"_design/app", request.body)
    assert request.body == sent
    assert client.message().status == 200


def test_many_small_pieces_of_a_judged_body_cost_no_more_than_their_bytes(gate, upstream):
    """A judged body that dribbles in a few bytes at a time is taken in about linear time."""
    body = b'{"docs":[' + b'{"_id":"a"},' * 60000 + b"{}]}"
    client = gate.client("POST", "/db/_bulk_docs", f"Content-Length: {len(body)}", JSON)
    other = gate.client()
    for at in range(0, len(body), 24):
        client.send(body[at : at + 24])
    other.send(gate.head("GET", "/_gate/health"))
    assert other.message().status == 200  # in quadratic time it would not come before the socket's patience ends
    _, request = upstream.exchange(HELLO)
    assert request.body == body
    assert client.message().status == 200
