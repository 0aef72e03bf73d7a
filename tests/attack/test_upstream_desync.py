"""Requests after which CouchDB and the gate disagree where the next request on a kept connection begins."""

import pytest

from tests.web.live import HELLO, OK
from tests.web.sockets import SOON, eventually

CREATED = b"HTTP/1.1 201 Created\r\nContent-Length: 11\r\n\r\n" + b'{"ok":true}'
CLOSING = b"connection"


@pytest.mark.parametrize(
    ("method", "kind"), [("PUT", "multipart/related"), ("POST", "multipart/form-data"), ("PUT", "Multipart/related")]
)
def test_couchdb_cannot_keep_a_connection_after_a_multipart_body(gate, upstream, method, kind):
    """CouchDB reads a multipart body to its last boundary only, and takes what follows for the next request
    (couch_doc:doc_from_multi_part_stream, mochiweb_multipart): so it is told to close, and nothing is sent after it.
    """
    smuggled = b"DELETE /other HTTP/1.1\r\nHost: x\r\nX: "
    body = b"--b\r\nContent-Type: application/json\r\n\r\n{}\r\n--b--" + b" " * 4096 + smuggled
    client = gate.client(method, "/db/doc", f'Content-Type: {kind}; boundary="b"', f"Content-Length: {len(body)}")
    client.send(body)
    peer = upstream.accept()
    request = peer.message()
    assert smuggled in request.body
    assert request.first(b"connection") == b"close"
    peer.send(CREATED)  # and CouchDB's answer does not say that it closes
    assert client.message().status == 201
    second = gate.client("GET", "/db/victim")
    other = upstream.accept()
    assert other.message().start == b"GET /db/victim HTTP/1.1"
    other.send(HELLO)
    assert second.message().status == 200


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("framing", ["Content-Length: 5", "Transfer-Encoding: chunked"])
def test_a_repeated_request_has_its_body_again_or_is_not_repeated(gate, upstream, method, framing):
    """A GET with a body on a kept connection that was just closed: no head goes up that announces a body which never
    comes, because the next request on that connection would be taken for it.
    """
    first = gate.client("GET", "/db/doc")
    peer, _ = upstream.exchange(HELLO)
    assert first.message().status == 200
    client = gate.client(method, "/db/doc", framing)
    client.send(b"hello" if "Length" in framing else b"5\r\nhello\r\n0\r\n\r\n")
    assert peer.message(bodiless=False).body == b"hello"
    peer.close()
    eventually(lambda: not upstream.untouched or not client.quiet())
    if upstream.untouched:
        assert client.message(bodiless=method == "HEAD").status == 503
        return
    again = upstream.accept()
    assert again.message().body == b"hello"


def test_a_connection_that_was_asked_to_close_is_not_kept(gate, upstream):
    """In mode close CouchDB is told `Connection: close`; even if its answer does not say so, nothing more is sent."""
    client = gate.client("GET", "/db/doc", mode="close")
    peer, request = upstream.exchange(HELLO)
    assert request.first(b"connection") == b"close"
    assert client.answer().status == 200
    second = gate.client("GET", "/db/second")
    other = upstream.accept()
    assert other.message().start == b"GET /db/second HTTP/1.1"
    other.send(OK + b'{"ok":true}')
    assert second.message().status == 200
    assert peer.quiet() or peer.ending(SOON)[1] == b""
