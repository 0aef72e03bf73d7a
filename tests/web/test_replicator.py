"""What CouchDB's own replicator sends (couch_replicator_api_wrap.erl, CouchDB 3.5), with a token in its `headers`."""

import json
import re

import pytest

from tests.web.sockets import eventually

BOUNDARY = "9f2c7a0b1d"
DOCUMENT = b'{"_id":"doc","_rev":"2-b","_revisions":{"start":2,"ids":["b","a"]},"_attachments":{"a":{"follows":true}}}'
RELATED = (
    (
        f"--{BOUNDARY}\r\nContent-Type: application/json\r\n\r\n{DOCUMENT.decode()}\r\n--{BOUNDARY}\r\n"
        'Content-Disposition: attachment; filename="a"\r\nContent-Type: image/png\r\nContent-Length: 4\r\n\r\n'
    ).encode()
    + bytes((0, 13, 10, 255))
    + f"\r\n--{BOUNDARY}--".encode()
)
MIXED = b'--x\r\nContent-Type: application/json; error="true"\r\n\r\n{"missing":"3-c"}\r\n--x--'
JSON = "Content-Type: application/json"
REVS = json.dumps({"doc": ["2-b"]}).encode()
BULK = json.dumps({"new_edits": False, "docs": [json.loads(DOCUMENT)]}).encode()
LOCAL = "/db/_local/4d5c6b7a%2Bcontinuous"

# Method, target, further lines, body; status, content type and body of the answer.
EXCHANGES = {
    "open": ("GET", "/db/", [], b"", 200, "application/json", b'{"db_name":"db","update_seq":"5-x"}'),
    "checkpoint": ("GET", LOCAL, [], b"", 404, "application/json", b'{"error":"not_found","reason":"missing"}'),
    "changes": (
        *("GET", "/db/_changes?feed=normal&style=all_docs&since=0&timeout=10000", [], b""),
        *(200, "application/json", b'{"results":[\n\n],\n"last_seq":"5-x","pending":0}\n'),
    ),
    "changes of some": (
        *("POST", "/db/_changes?filter=_doc_ids&feed=normal&style=all_docs&since=0", [JSON], b'{"doc_ids":["doc"]}'),
        *(200, "application/json", b'{"results":[\n\n],\n"last_seq":"5-x","pending":0}\n'),
    ),
    "missing": ("POST", "/db/_revs_diff", [JSON], REVS, 200, "application/json", b'{"doc":{"missing":["2-b"]}}'),
    "many": (
        *("POST", "/db/_bulk_get?latest=true&revs=true&attachments=false", [JSON], b'{"docs":[{"id":"doc"}]}'),
        *(200, "application/json", b'{"results":[]}'),
    ),
    "revisions": (
        *("GET", "/db/doc?revs=true&open_revs=%5B%222-b%22%5D&latest=true", ["Accept: multipart/mixed"], b""),
        *(200, 'multipart/mixed; boundary="x"', MIXED),
    ),
    "document with attachments": (
        "PUT",
        "/db/doc?new_edits=false",
        [f'Content-Type: multipart/related; boundary="{BOUNDARY}"'],
        *(RELATED, 201, "application/json", b'{"ok":true,"id":"doc","rev":"2-b"}'),
    ),
    "documents": ("POST", "/db/_bulk_docs", [JSON, "X-Couch-Full-Commit: false"], BULK, 201, "application/json", b"[]"),
    "commit": ("POST", "/db/_ensure_full_commit", [JSON], b"", 201, "application/json", b'{"ok":true}'),
    "checkpoint written": ("PUT", LOCAL, [JSON], b'{"history":[]}', 201, "application/json", b'{"ok":true}'),
}


@pytest.mark.parametrize("mode", ["keepalive", "close"])
@pytest.mark.parametrize("name", EXCHANGES)
def test_each_request_of_the_replicator_reaches_couchdb_as_it_was_sent(gate, upstream, name, mode):
    """Method, target, its own fields and body go up unchanged, without the token; so does the answer come down."""
    method, target, lines, body, status, kind, said = EXCHANGES[name]
    accepted = [] if name == "revisions" else ["Accept: application/json"]
    lines = ["User-Agent: CouchDB-Replicator/3.5.0", *accepted, *lines]
    length = [f"Content-Length: {len(body)}"] if method != "GET" else []
    client = gate.client(mode=mode)
    client.send(gate.head(method, target, *lines, *length), body)
    answer = f"HTTP/1.1 {status} OK\r\nContent-Type: {kind}\r\nContent-Length: {len(said)}\r\n\r\n".encode() + said
    _, request = upstream.exchange(answer)
    assert request.start == f"{method} {target} HTTP/1.1".encode()
    assert request.body == body
    for line in lines:
        field, _, value = line.partition(": ")
        assert request.all(field.lower().encode()) == [value.encode()]
    assert not request.all(b"authorization")
    heard = client.message()
    assert (heard.status, heard.body, heard.first(b"content-type")) == (status, said, kind.encode())


def test_a_body_in_chunks_is_passed_on(gate, upstream):
    """The replicator streams large documents in chunks of a size of its own."""
    lines = ["Transfer-Encoding: chunked", f'Content-Type: multipart/related; boundary="{BOUNDARY}"']
    client = gate.client()
    client.send(gate.head("PUT", "/db/doc?new_edits=false", *lines))
    for at in range(0, len(RELATED), 50):
        piece = RELATED[at : at + 50]
        client.send(b"%x\r\n%b\r\n" % (len(piece), piece))
    client.send(b"0\r\n\r\n")
    peer = upstream.accept()
    assert peer.message().body == RELATED
    peer.send(b"HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\n{}")
    assert client.message().status == 201


def test_the_continuous_feed_comes_line_by_line(gate, upstream):
    """Heartbeats and rows arrive as CouchDB sends them; when the token expires the feed ends between two lines."""
    token = gate.token(expires_in=3)
    client = gate.client(
        "GET", "/db/_changes?feed=continuous&style=all_docs&since=%225-x%22&heartbeat=10000", token=token
    )
    peer = upstream.accept()
    peer.message()
    peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    client.head()
    row = b'{"seq":"6-x","id":"doc","changes":[{"rev":"2-b"}]}\n'
    for line in (b"\n", row, b"\n"):
        peer.send(b"%x\r\n%b\r\n" % (len(line), line))
        assert client.chunk() == line
    assert client.chunk() == b""
    client.send(gate.head("GET", "/db/", token=token))
    answer = client.message()
    assert answer.status == 401
    assert re.search(rb'"error": ?"unauthorized"', answer.body)
    eventually(peer.gone)
