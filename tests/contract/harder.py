"""More of the corpus: who is refused at each kind of endpoint, bodies that lie, names in disguise, how CouchDB dies."""

from tests.contract.corpus import (
    BINARY,
    DESIGN,
    DOCS,
    LARGE,
    OK,
    ORIGIN,
    STRANGER,
    Case,
    answer,
    chunked,
    posted,
    refused,
    streamed,
)

JSON = "Content-Type: application/json"
IN_CHUNKS = "Transfer-Encoding: chunked"
LATE_DESIGN = LARGE[:-2] + b',{"_id":"_design\\/x"}]}'
CHUNKED_OK = chunked(b'{"rows":[', b"1,2", b"]}")

EVERYWHERE = [
    refused(f"{name} at {method} {target}", method, target, (ORIGIN, *lines), body, token=token)
    for name, token in (("no token", None), ("an expired token", "expired"), ("a stranger's token", "foreign"))
    for method, target, lines, body in (
        *(("GET", "/", (), b""), ("HEAD", "/db", (), b""), ("GET", "/db/_changes?feed=longpoll", (), b"")),
        *(("PUT", "/db", ("Content-Length: 0",), b""), ("COPY", "/db/doc", ("Destination: b",), b"")),
        *(("POST", "/db/_bulk_docs", (JSON, f"Content-Length: {len(DOCS)}"), DOCS),),
        *(("PUT", "/db/doc/a", (IN_CHUNKS,), b"5\r\nhello\r\n0\r\n\r\n"), ("DELETE", "/db/_local/x", (), b"")),
        *(("GET", "/db/_design/x/_view/y", (), b""), ("GET", "/db/_security", (), b""), ("GET", "/_all_dbs", (), b"")),
        *(("GET", "/_session", (), b""), ("OPTIONS", "/db", (), b""), ("GET", "/nowhere/at/all", (), b"")),
    )
    if name != "no token" or target != "/_session"  # which then is nobody's session
]
FORBIDDEN = [
    refused(f"forbidden: {method} {target}", method, target, (ORIGIN, *lines), body)
    for method, target, lines, body in (
        *(("GET", "/secret/_changes?feed=continuous", (), b""), ("HEAD", "/secret", (), b"")),
        *(("PUT", "/db/_design%2Fx", ("Content-Length: 2",), b"{}"), ("DELETE", "/db/%5Fdesign/x?rev=1-a", (), b"")),
        *(("COPY", "/db/doc", ("Destination: %5Fdesign/x",), b""), ("GET", "/%5Fusers/doc", (), b"")),
        *(("GET", "//_users", (), b""), ("GET", "/a%2Fb/doc", (), b""), ("GET", "/db%2Fdoc", (), b"")),
        *(("POST", "/db/_compact", (JSON, "Content-Length: 2"), b"{}"), ("PUT", "/db/_revs_limit", (), b"")),
        *(("POST", "/db/_purge", (JSON, "Content-Length: 2"), b"{}"), ("GET", "/_replicate", (), b"")),
        *(("POST", "/db/_temp_view", (JSON, "Content-Length: 2"), b"{}"), ("CONNECT", "/db", (), b"")),
        *(("PUT", "/secret/doc/a", (IN_CHUNKS, "Expect: 100-continue"), b""),),
    )
]
NAMES = [
    Case(f"{method} {target}", method, target, lines, body)
    for method, target, lines, body in (
        *(("GET", "/%64b/doc", (), b""), ("GET", "/db/a%2fb%2Fc", (), b""), ("GET", "/db/_design%2Fx", (), b"")),
        *(("PUT", "/db/_local%2Fx", ("Content-Length: 2",), b"{}"), ("GET", "/db/a+b", (), b"")),
        *(("GET", "/db/doc/one/two%2Fthree", (), b""), ("GET", "/db/%C3%A4", (), b""), ("GET", "/db/doc/", (), b"")),
        *(("COPY", "/db/a%2Fb", ("Destination: c%2Fd?rev=1-a",), b""), ("HEAD", "/db/doc/a", (), b"")),
    )
]
UPLOADS = [
    Case("asking first", "PUT", "/db/doc", ("Content-Length: 2", "Expect: 100-continue", ORIGIN), b"{}"),
    Case("asking first, in chunks", "PUT", "/db/doc/a", (IN_CHUNKS, "Expect: 100-continue"), b"2\r\nab\r\n0\r\n\r\n"),
    Case("expecting else", "PUT", "/db/doc", ("Content-Length: 2", "Expect: 200-ok", ORIGIN), b"{}"),
    Case("chunks with extensions", "PUT", "/db/doc/a", (IN_CHUNKS,), b"2;a=b\r\nab\r\n0\r\n\r\n"),
    Case("chunks with trailers", "PUT", "/db/doc/a", (IN_CHUNKS,), b"2\r\nab\r\n0\r\nX-Trailer: 1\r\n\r\n"),
    Case("no chunks", "PUT", "/db/doc/a", (IN_CHUNKS,), b"0\r\n\r\n"),
    streamed("a design document in chunks", "/db/_bulk_docs", DESIGN, answer=None),
    refused(
        "a design document in pieces of one byte",
        "POST",
        "/db/_bulk_docs",
        (JSON, IN_CHUNKS, ORIGIN),
        b"".join(b"1\r\n%c\r\n" % byte for byte in DESIGN) + b"0\r\n\r\n",
    ),
    posted("a design document behind a megabyte", "/db/_bulk_docs", LATE_DESIGN, answer=None, begun=True),
    streamed("a design document behind a megabyte of chunks", "/db/_bulk_docs", LATE_DESIGN, answer=None, begun=True),
    posted("documents that end too soon, behind a megabyte", "/db/_bulk_docs", LARGE[:-1], answer=None, begun=True),
    posted("a judged body of another encoding", "/db/_bulk_docs", DOCS.decode().encode("utf-16"), answer=None),
]
LIES = [
    refused(f"chunks: {name}", "PUT", target, (JSON, IN_CHUNKS, ORIGIN), body, begun=target == "/db/doc/a")
    for target in ("/db/doc/a", "/db/_bulk_docs")
    for name, body in (
        *(("no size", b"\r\n{}\r\n"), ("a negative size", b"-2\r\n{}\r\n0\r\n\r\n"), ("a prefix", b"0x2\r\n{}\r\n")),
        *(("a bare newline", b"2\n{}\n0\n\n"), ("more than its size", b"2\r\n{}}\r\n0\r\n\r\n")),
        *(("a huge size", b"fffffffffffffffff\r\n"), ("endless size", b"0" * 5000), ("NUL", b"\x00\r\n")),
        *(("trailers without an end", b"0\r\nX: " + b"y" * 40000),),
    )
    if target == "/db/doc/a" or name in {"no size", "more than its size"}
]
DEATHS = [
    Case("half a status line", lines=(ORIGIN,), answer=b"HTTP/1.1 20", ends=True),
    Case("half a head", lines=(ORIGIN,), answer=b"HTTP/1.1 200 OK\r\nContent-Le", ends=True),
    Case("a reset in the head", lines=(ORIGIN,), answer=b"HTTP/1.1 200 OK\r\nContent-Le", cut=True),
    Case("an end in a chunk", lines=(ORIGIN,), answer=CHUNKED_OK[:-9], ends=True),
    Case("a reset in a chunk", lines=(ORIGIN,), answer=CHUNKED_OK[:-9], cut=True),
    Case("an end before the last chunk", answer=CHUNKED_OK[:-5], ends=True),
    Case("a head and no body", answer=answer(b"x" * 10)[:-10], ends=True),
    Case("a reset in a body without length", answer=answer(b"abc", length=False), cut=True),
    Case("garbage", lines=(ORIGIN,), answer=BINARY[:3000], ends=True),
    Case("a TLS alert", lines=(ORIGIN,), answer=b"\x15\x03\x03\x00\x02\x02\x28", ends=True),
    Case("HTTP/2", lines=(ORIGIN,), answer=b"HTTP/2.0 200 OK\r\n\r\n", ends=True),
    Case("a status of four digits", lines=(ORIGIN,), answer=b"HTTP/1.1 2000 OK\r\n\r\n", ends=True),
    Case("switching protocols", lines=(ORIGIN,), answer=b"HTTP/1.1 101 Now\r\nUpgrade: x\r\n\r\n", ends=True),
    Case("a folded field", lines=(ORIGIN,), answer=b"HTTP/1.1 200 OK\r\nA: b\r\n c\r\nContent-Length: 0\r\n\r\n"),
    Case("an endless head", lines=(ORIGIN,), answer=b"HTTP/1.1 200 OK\r\nA: " + b"a" * 300_000, ends=True),
    Case(
        "length and chunks",
        lines=(ORIGIN,),
        answer=CHUNKED_OK.replace(b"\r\n\r\n", b"\r\nContent-Length: 9\r\n\r\n", 1),
    ),
    Case("another coding", lines=(ORIGIN,), answer=CHUNKED_OK.replace(b": chunked", b": gzip, chunked"), ends=True),
    Case("a negative length", lines=(ORIGIN,), answer=OK.replace(b"Length: 11", b"Length: -1"), ends=True),
    Case("more than its length", answer=OK + b"surplus", ends=True),
    Case("a body for HEAD", "HEAD", "/db/doc", answer=OK, ends=True),
    Case("a body for 304", answer=b"HTTP/1.1 304 Not Modified\r\n\r\nbody", ends=True),
    Case("no answer to a DELETE", "DELETE", lines=(ORIGIN,), answer=b""),
    Case("no answer to an upload", "PUT", "/db/doc", (ORIGIN, "Content-Length: 2"), b"{}", answer=b""),
    Case("an early refusal", "PUT", "/db/doc", (ORIGIN, "Content-Length: 2"), b"{}", answer(b"{}", status="413 No")),
]
FOREIGN = [
    refused("a refusal for a foreign page", lines=(STRANGER,), token=None),
    refused("a foreign page without rights", target="/secret", lines=(STRANGER,)),
    Case("CouchDB refuses a page", lines=(ORIGIN,), answer=answer(b'{"error":"conflict"}', status="409 Conflict")),
]
HARDER = [*EVERYWHERE, *FORBIDDEN, *NAMES, *UPLOADS, *LIES, *DEATHS, *FOREIGN]
