"""What passes through arrives byte for byte, in both directions and both modes."""

import gzip
import os

import pytest

from tests.web.live import HELLO, OK, ORIGIN

MODES = pytest.mark.parametrize("mode", ["keepalive", "close", "threaded"])
HOP = {b"connection", b"content-length", b"transfer-encoding", b"date"}


def relayed(gate, upstream, mode, answer, *head, body=b"", **options):
    """One exchange: the request as CouchDB had it, and the response as the client had it."""
    client = gate.client(*head, mode=mode, **options)
    client.send(body)
    peer = upstream.accept()
    request = peer.message()
    peer.send(answer)
    response = client.answer(head[0])
    client.close()
    return request, response


@MODES
@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("GET", "/db/a%2Fb%2fc"),
        ("GET", "/db/doc?"),
        ("GET", "/db/doc?rev=1-a&open_revs=[%221-a%22]&x=%E2%82%AC+&&="),
        ("GET", "//db///doc//att/with/slashes.txt"),
        ("GET", "/db/_design%2Fx"),
        ("PUT", "/db/_local/a%3D%3D"),
        ("GET", "/db/doc?attachments=true&att_encoding_info=%00"),
    ],
)
def test_the_target_reaches_couchdb_as_it_was_sent(gate, upstream, mode, method, target):
    """Escapes, empty segments, a lone question mark: not one byte of a target changes."""
    request, response = relayed(gate, upstream, mode, HELLO, method, target)
    assert request.start == f"{method} {target} HTTP/1.1".encode()
    assert response.status == 200
    assert response.body == b'{"ok":true}'


@MODES
def test_an_attachment_passes_both_ways_unchanged(gate, upstream, mode):
    """All byte values pass up and down with their type, length and digest."""
    data = bytes(range(256)) * 2000
    fields = b'Content-Type: image/png\r\nContent-MD5: abc==\r\nETag: "m"\r\nAccept-Ranges: none\r\n'
    answer = b"HTTP/1.1 200 OK\r\n" + fields + b"Content-Length: %d\r\n\r\n" % len(data) + data
    request, response = relayed(
        gate, upstream, mode, answer,
        "PUT", "/db/doc/a.png?rev=1-a", "Content-Type: image/png", f"Content-Length: {len(data)}", body=data,
    )  # fmt: skip
    assert request.body == data
    assert request.first(b"content-type") == b"image/png"
    assert request.framing == "length"
    assert response.body == data
    assert [response.first(name) for name in (b"content-type", b"content-md5", b"etag", b"content-length")] == [
        b"image/png", b"abc==", b'"m"', b"512000"
    ]  # fmt: skip
    assert response.first(b"content-security-policy") == b"sandbox"
    assert response.first(b"x-content-type-options") == b"nosniff"


@MODES
def test_a_range_passes(gate, upstream, mode):
    """A range is asked for and answered with 206 and its Content-Range."""
    answer = b"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 2-4/9\r\nContent-Length: 3\r\n\r\ncde"
    request, response = relayed(gate, upstream, mode, answer, "GET", "/db/doc/a", "Range: bytes=2-4", 'If-Range: "m"')
    assert request.first(b"range") == b"bytes=2-4"
    assert request.first(b"if-range") == b'"m"'
    assert (response.status, response.body) == (206, b"cde")
    assert response.first(b"content-range") == b"bytes 2-4/9"


@MODES
def test_head_keeps_the_length_of_the_body_that_it_leaves_out(gate, upstream, mode):
    """HEAD is answered with CouchDB's Content-Length and no body, and the next exchange is in step."""
    request, response = relayed(gate, upstream, mode, OK, "HEAD", "/db/doc")
    assert request.start == b"HEAD /db/doc HTTP/1.1"
    assert response.first(b"content-length") == b"11"
    assert response.body == b""


@MODES
def test_copy_carries_its_destination(gate, upstream, mode):
    """COPY arrives with its Destination, and its Location comes back."""
    answer = b"HTTP/1.1 201 Created\r\nLocation: http://127.0.0.1/db/other\r\nContent-Length: 0\r\n\r\n"
    request, response = relayed(gate, upstream, mode, answer, "COPY", "/db/doc", "Destination: other?rev=2-b")
    assert request.start == b"COPY /db/doc HTTP/1.1"
    assert request.all(b"destination") == [b"other?rev=2-b"]
    assert (response.status, response.first(b"location")) == (201, b"http://127.0.0.1/db/other")


@MODES
def test_encoded_bodies_stay_encoded(gate, upstream, mode):
    """A gzip body passes up and down without being touched."""
    packed = gzip.compress(os.urandom(3000))
    answer = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(packed) + packed
    request, response = relayed(
        gate, upstream, mode, answer,
        "PUT", "/db/doc/a", "Content-Encoding: gzip", "Accept-Encoding: gzip", f"Content-Length: {len(packed)}",
        body=packed,
    )  # fmt: skip
    assert request.body == response.body == packed
    assert request.first(b"content-encoding") == response.first(b"content-encoding") == b"gzip"
    assert request.first(b"accept-encoding") == b"gzip"


@MODES
def test_chunked_bodies_pass(gate, upstream, mode):
    """A chunked request stays chunked; a chunked answer stays so for HTTP/1.1 and ends by close in mode close."""
    chunked = b"5\r\nhello\r\n1;x=y\r\n \r\n5\r\nworld\r\n0\r\nX-Trailer: 1\r\n\r\n"
    answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked
    request, response = relayed(
        gate, upstream, mode, answer, "PUT", "/db/doc", "Transfer-Encoding: chunked", body=chunked
    )
    assert (request.body, request.framing) == (b"hello world", "chunked")
    assert (response.body, response.framing) == (b"hello world", "chunked" if mode == "keepalive" else "close")


@MODES
@pytest.mark.parametrize("status", [b"304 Not Modified", b"204 No Content"])
def test_answers_without_a_body_end_with_their_head(gate, upstream, mode, status):
    """A conditional request reaches CouchDB, and 304 or 204 ends at its head with its ETag."""
    answer = b"HTTP/1.1 " + status + b'\r\nETag: "1-a"\r\n\r\n'
    request, response = relayed(gate, upstream, mode, answer, "GET", "/db/doc", 'If-None-Match: "1-a"')
    assert request.first(b"if-none-match") == b'"1-a"'
    assert response.start.split(b" ", 1)[1] == status
    assert response.first(b"etag") == b'"1-a"'


@MODES
def test_repeated_fields_are_neither_folded_nor_sorted(gate, upstream, mode):
    """Set-Cookie comes twice, other fields in CouchDB's order; what tells about CouchDB or its login is gone."""
    answer = (
        b"HTTP/1.1 200 Fine by me\r\nX-B: 1\r\nX-A: 2\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nX-B: 3\r\n"
        b"Set-Cookie: AuthSession=x\r\nServer: CouchDB\r\nWWW-Authenticate: Basic\r\nX-Couch-Stack-Hash: 1\r\n"
        b"Access-Control-Allow-Origin: *\r\nContent-Length: 0\r\n\r\n"
    )
    request, response = relayed(gate, upstream, mode, answer, "GET", "/db/doc", "X-B: 1", "X-a: 2", "X-B: 3")
    assert [pair for pair in request.fields if pair[0] in {b"x-b", b"x-a"}] == [
        (b"x-b", b"1"), (b"x-a", b"2"), (b"x-b", b"3")
    ]  # fmt: skip
    assert b"authorization" not in dict(request.fields)
    assert response.start.endswith(b" 200 Fine by me")
    assert response.all(b"set-cookie") == [b"a=1", b"b=2"]
    assert [pair for pair in response.fields if pair[0] in {b"x-b", b"x-a"}] == [
        (b"x-b", b"1"), (b"x-a", b"2"), (b"x-b", b"3")
    ]  # fmt: skip
    gone = {b"server", b"www-authenticate", b"x-couch-stack-hash", b"access-control-allow-origin"}
    assert gone.isdisjoint(dict(response.fields))


@MODES
@pytest.mark.parametrize(
    "answer", [HELLO, b"HTTP/1.1 404 Object Not Found\r\nContent-Length: 0\r\n\r\n", b"garbage\r\n"]
)
def test_every_answer_is_readable_by_the_page_that_asked(gate, upstream, mode, answer):
    """CORS fields with credentials are on what CouchDB answers, errors and the gate's own 502 included."""
    _, response = relayed(gate, upstream, mode, answer, "GET", "/db/doc", f"Origin: {ORIGIN.decode()}")
    assert response.all(b"access-control-allow-origin") == [ORIGIN]
    assert response.all(b"access-control-allow-credentials") == [b"true"]
    assert b"ETag" in response.first(b"access-control-expose-headers")
    assert response.first(b"vary") == b"Origin"


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_mode_close_serves_one_request_per_connection(gate, upstream, version):
    """In mode close the status line is HTTP/1.0, the connection ends, and CouchDB is asked to close, too."""
    client = gate.client("GET", "/db/doc", "Connection: keep-alive", mode="close", version=version)
    client.send(gate.head())
    peer, request = upstream.exchange(HELLO)
    answer = client.message()
    assert answer.start == b"HTTP/1.0 200 OK"
    assert answer.first(b"connection") == b"close"
    assert client.ending() == ("fin", b"")
    assert request.first(b"connection") == b"close"
    peer.half_close()
    assert peer.ending()[1] == b""
    assert upstream.untouched


def test_an_http_1_0_client_gets_no_chunks(gate, upstream):
    """In mode keepalive, too, an HTTP/1.0 client gets a body that ends with the connection."""
    answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"
    _, response = relayed(gate, upstream, "keepalive", answer, "GET", "/db/doc", version="1.0")
    assert (response.body, response.framing) == (b"hi", "close")
    assert response.first(b"connection") == b"close"


@MODES
def test_a_body_that_ends_with_couchdbs_connection_is_whole(gate, upstream, mode):
    """An answer without a length is relayed to its end: to those who know chunks with an end that nobody can miss."""
    client = gate.client("GET", "/db/doc", mode=mode)
    peer, _ = upstream.exchange(b"HTTP/1.1 200 OK\r\n\r\nhello")
    peer.half_close()
    answer = client.answer()
    assert (answer.body, answer.framing) == (b"hello", "chunked" if mode == "keepalive" else "close")


def test_interim_responses_are_not_passed_on(gate, upstream):
    """A 100 or 103 from CouchDB before its answer is swallowed."""
    interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
    _, response = relayed(gate, upstream, "keepalive", interim + HELLO, "GET", "/db/doc")
    assert response.start == b"HTTP/1.1 200 OK"
    assert response.body == b'{"ok":true}'


@MODES
@pytest.mark.parametrize("feed", ["longpoll", "continuous", "eventsource"])
def test_heartbeats_and_rows_come_at_once(gate, upstream, mode, feed):
    """Each piece of a feed reaches the client before the next one is written."""
    client = gate.client("GET", f"/db/_changes?feed={feed}&heartbeat=10000&since=5", mode=mode)
    peer = upstream.accept()
    assert peer.message().start.endswith(f"feed={feed}&heartbeat=10000&since=5 HTTP/1.1".encode())
    peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    client.head()
    for piece in (b'{"results":[\n', b"\n", b"\n", b'{"seq":6,"id":"a","changes":[]}'):
        peer.send(b"%x\r\n%b\r\n" % (len(piece), piece))
        assert (client.chunk() if mode == "keepalive" else client.take(len(piece))) == piece
    peer.send(b"0\r\n\r\n")
    if mode == "keepalive":
        assert client.chunk() == b""
    else:
        assert client.ending() == ("fin", b"")
