"""The corpus: requests as data, what CouchDB answers to each, and what comes of it in every face and mode.

A target that is answered without CouchDB has no `answer`.
"""

import gzip
from typing import NamedTuple

ORIGIN = "Origin: https://app.example.com"
STRANGER = "Origin: https://evil.example.com"
PACKED = gzip.compress(b'{"packed":true}' * 50, mtime=0)
DOCS = b'{"docs":[{"_id":"a","n":1},{"_id":"b"}]}'
DESIGN = b'{"docs":[{"_id":"a"},{"_id":"_des\\u0069gn/x"}]}'
LARGE = b'{"docs":[' + b",".join(b'{"_id":"%06d","text":"%b"}' % (n, b"x" * 1000) for n in range(1500)) + b"]}"
BINARY = bytes(range(256)) * 1000


def answer(body=b'{"ok":true}', *lines, status="200 OK", length=True):
    fields = ["Server: CouchDB/3.5.0", "X-Couch-Request-ID: couchdbs", "Content-Type: application/json", *lines]
    if length:
        fields.append(f"Content-Length: {len(body)}")
    return "\r\n".join([f"HTTP/1.1 {status}", *fields, "", ""]).encode() + body


def chunked(*pieces, status="200 OK"):
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    return head + b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


OK = answer()


class Case(NamedTuple):
    """One request. `raw` is sent as it is, in place of head and body; `token` None: without one, "" a good one, else it
    is "expired", "foreign" or the token.

    `cut`: CouchDB resets the connection behind `answer`; `ends`: it closes it. `begun`: CouchDB may hear of the request
    before it is refused, and never has the whole of it.
    """

    name: str
    method: str = "GET"
    target: str = "/db/doc"
    lines: tuple = ()
    body: bytes = b""
    answer: bytes | None = OK
    token: str | None = ""
    raw: bytes | None = None
    cut: bool = False
    ends: bool = False
    begun: bool = False


def refused(name, *args, **more):
    return Case(name, *args, **{"answer": None, **more})


def posted(name, target, body, **more):
    lines = ("Content-Type: application/json", f"Content-Length: {len(body)}", ORIGIN)
    return Case(name, "POST", target, lines, body, **more)


def streamed(name, target, body, **more):
    coded = b"".join(
        b"%x\r\n%b\r\n" % (len(body[at : at + 9000]), body[at : at + 9000]) for at in range(0, len(body), 9000)
    )
    lines = ("Content-Type: application/json", "Transfer-Encoding: chunked")
    return Case(name, "POST", target, lines, coded + b"0\r\n\r\n", **more)


PREFLIGHT = (ORIGIN, "Access-Control-Request-Method: PUT", "Access-Control-Request-Headers: authorization,content-type")
READS = [
    Case(f"GET {target}", "GET", target)
    for target in (
        *(
            "/",
            "/db",
            "/db/",
            "//db//doc",
            "/db/doc?rev=1-a&attachments=true",
            "/db/doc?",
            "/db/a%2Fb",
            "/db/_all_docs",
        ),
        *(
            "/db/_local/a%3D%3D",
            "/db/_design/x",
            "/db/_design/x/_view/y?key=1",
            "/db/_changes?since=0",
            "/db/doc/att/a.txt",
        ),
        *("/db/_design_docs", "/db/_partition/a/_all_docs", "/db/_index", "/db/_revs_limit"),
    )
]
WRITES = [
    posted("_revs_diff", "/db/_revs_diff", b'{"a":["1-a"]}'),
    posted("_bulk_get", "/db/_bulk_get?revs=true", DOCS),
    posted("_find", "/db/_find", b'{"selector":{}}'),
    posted("_all_docs by keys", "/db/_all_docs", b'{"keys":["a"]}'),
    posted("_changes by ids", "/db/_changes?filter=_doc_ids", b'{"doc_ids":["a"]}'),
    posted("_ensure_full_commit", "/db/_ensure_full_commit", b"{}"),
    Case("a POST without a body", "POST", "/db/_ensure_full_commit", ("Content-Type: application/json",)),
    Case("PUT of a document", "PUT", "/db/doc", ("Content-Length: 2", ORIGIN), b"{}", answer(status="201 Created")),
    Case("DELETE", "DELETE", "/db/doc?rev=1-a"),
    Case("COPY", "COPY", "/db/doc", ("Destination: other?rev=2-b",), answer=answer(status="201 Created")),
    Case("an attachment up", "PUT", "/db/doc/a.png", (f"Content-Length: {len(BINARY)}",), BINARY),
    Case("an attachment down", "GET", "/db/doc/a.png", answer=answer(BINARY, 'ETag: "m"')),
    Case("a checkpoint", "PUT", "/db/_local/x", ("Content-Length: 2",), b"{}"),
    streamed("an attachment in chunks", "/db/_bulk_get", BINARY),
]
JUDGED = [
    posted("good documents", "/db/_bulk_docs", DOCS),
    posted("a design document", "/db/_bulk_docs", DESIGN, answer=None),
    posted("a design document by POST", "/db", b'{"_id":"_design/x"}', answer=None),
    posted("a body that ends too soon", "/db/_bulk_docs", DOCS[:-3], answer=None),
    posted("many good documents", "/db/_bulk_docs", LARGE),
    streamed("good documents in chunks", "/db/_bulk_docs", LARGE),
    streamed("few documents in chunks", "/db/_bulk_docs", DOCS),
    refused("packed documents", "POST", "/db/_bulk_docs", ("Content-Encoding: gzip", "Content-Length: 3"), b"abc"),
    refused("documents of another type", "POST", "/db", ("Content-Type: text/plain", "Content-Length: 2"), b"{}"),
]
ANSWERS = [
    Case("HEAD", "HEAD", "/db/doc", answer=answer(b"", "Content-Length: 11", 'ETag: "1"', length=False)),
    Case("204", "DELETE", "/db/doc", answer=b"HTTP/1.1 204 No Content\r\nX-Couch-Stack-Hash: 1\r\n\r\n"),
    Case("304", lines=('If-None-Match: "1"',), answer=b'HTTP/1.1 304 Not Modified\r\nETag: "1"\r\n\r\n'),
    Case(
        "206",
        lines=("Range: bytes=1-2",),
        answer=answer(b"ok", "Content-Range: bytes 1-2/9", status="206 Partial Content"),
    ),
    Case("gzip", lines=("Accept-Encoding: gzip",), answer=answer(PACKED, "Content-Encoding: gzip")),
    Case("chunks", answer=chunked(b'{"rows":[', b"1,2", b"]}")),
    Case("no length", answer=answer(b'{"rows":[]}', "Connection: close", length=False)),
    Case("an interim answer first", answer=b"HTTP/1.1 100 Continue\r\n\r\n" + OK),
    Case("what CouchDB refuses", answer=answer(b'{"error":"not_found"}', "WWW-Authenticate: Basic", status="404 No")),
    Case("cookies", answer=answer(b"{}", "Set-Cookie: AuthSession=x", "Set-Cookie: theme=dark")),
    Case("CouchDB's own CORS", lines=(ORIGIN,), answer=answer(b"{}", "Access-Control-Allow-Origin: *", "Vary: Accept")),
    Case("no HTTP", answer=b"nonsense\r\n\r\n"),
    Case("two lengths", answer=b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"),
    Case("no answer", lines=(ORIGIN,), method="PUT", answer=b""),
    Case("a reset before the answer", method="DELETE", answer=b"", cut=True),
    Case("a part of an answer", answer=OK[:-3]),
    Case("a reset in the answer", answer=OK[:-3], cut=True),
    Case("a malformed chunk", answer=chunked(b"abc")[:-9] + b"zz\r\n"),
]
FEEDS = [
    Case(
        "a longpoll",
        "GET",
        "/db/_changes?feed=longpoll&since=1",
        (ORIGIN,),
        answer=chunked(b'{"results":[', b'],"last_seq":"1"}'),
    ),
    Case("a continuous feed", "GET", "/db/_changes?feed=continuous", answer=chunked(b'{"seq":1}\n', b"\n")),
    Case("an eventsource", "GET", "/db/_changes?feed=eventsource", answer=chunked(b"data: {}\n\n")),
]
CORS = [
    Case("an origin", lines=(ORIGIN,)),
    Case("a foreign origin", lines=(STRANGER,)),
    refused("a preflight", "OPTIONS", "/db/doc", PREFLIGHT, token=None),
    refused("a foreign preflight", "OPTIONS", "/db/doc", (STRANGER, *PREFLIGHT[1:]), token=None),
    refused("OPTIONS without CORS", "OPTIONS", "/db"),
]
REFUSALS = [
    refused("no token", lines=(ORIGIN,), token=None),
    refused("no token for nothing", target="/nothing/there", token=None),
    refused("a bad token", token="a.b.c"),
    refused("garbage for a token", lines=("Authorization: Bearer",), token=None),
    refused("basic without checkers", lines=("Authorization: Basic YTpi", ORIGIN), token=None),
    refused("two tokens", lines=("Authorization: Bearer x",)),
    refused("another database", target="/secret"),
    refused("another database, with a body", "PUT", "/secret/doc", ("Content-Length: 5", ORIGIN), b"hello"),
    refused("no token, with a large body", "PUT", "/db/doc/a", (f"Content-Length: {len(BINARY)}",), BINARY, token=None),
    refused("a design document by path", "PUT", "/db/_design/x", ("Content-Length: 2",), b"{}"),
    refused("security", target="/db/_security"),
    refused("the server", target="/_all_dbs"),
    refused("utilities", target="/_utils/"),
    refused("making a database", "PUT", "/db"),
    refused("COPY to a design document", "COPY", lines=("Destination: _design/x",)),
    refused("COPY without a place", "COPY"),
    refused("an upgrade", lines=("Connection: upgrade", "Upgrade: websocket")),
    refused("a method of nobody", "BREW"),
    refused("TRACE", "TRACE"),
]
OWN = [
    refused(f"{method} {target}", method, target, (ORIGIN,), token=token)
    for method, target, token in (
        *(("GET", "/_gate/health", None), ("HEAD", "/_gate/health", None), ("POST", "/_gate/health", None)),
        *(
            ("GET", "/_gate", None),
            ("GET", "/_gate/nothing", None),
            ("GET", "/_gate/metrics", ""),
            ("GET", "/_gate/syncs", None),
        ),
        *(
            ("GET", "/_session", ""),
            ("GET", "/_session", None),
            ("HEAD", "/_session", ""),
            ("GET", "/_session", "a.b.c"),
        ),
        *(("POST", "/_session", ""), ("DELETE", "/_session", ""), ("GET", "/_gate/refusals?limit=1", "")),
    )
]
RAW = [
    refused(name, raw=raw)
    for name, raw in {
        "no HTTP": b"\x16\x03\x01\x02\x00",
        "a bare newline": b"GET / HTTP/1.1\nHost: 127.0.0.1\n\n",
        "no host": b"GET /db HTTP/1.1\r\n\r\n",
        "a foreign host": b"GET /db HTTP/1.1\r\nHost: evil.example.com\r\n\r\n",
        "two hosts": b"GET /db HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: localhost\r\n\r\n",
        "HTTP/2": b"GET / HTTP/2.0\r\nHost: 127.0.0.1\r\n\r\n",
        "an absolute target": b"GET http://127.0.0.1/db HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        "length and chunks": b"POST /db HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n0",
        "another coding": b"POST /db HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        "a folded field": b"GET /db HTTP/1.1\r\nHost: 127.0.0.1\r\nA: b\r\n c\r\n\r\n",
        "too long a head": b"GET /db HTTP/1.1\r\nHost: 127.0.0.1\r\nA: " + b"a" * 40000 + b"\r\n\r\n",
        "too many fields": b"GET /db HTTP/1.1\r\nHost: 127.0.0.1\r\n" + b"A: b\r\n" * 200 + b"\r\n",
        "a body beyond all": b"PUT /db/a HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 99999999999999\r\n\r\n",
        "a token as query": b"GET /db?access_token=a.b.c HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    }.items()
]
CASES = [*READS, *WRITES, *JUDGED, *ANSWERS, *FEEDS, *CORS, *REFUSALS, *OWN, *RAW]
