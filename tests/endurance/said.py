"""Strategies for what clients and CouchDB say: good messages, good ones with edits, and what looks like neither."""

from hypothesis import strategies as st

from tests.endurance.face import TOKEN

_AUTHORIZED = b"Authorization: Bearer " + TOKEN
_TARGETS = [
    b"/db/doc",
    b"/db/_all_docs?keys=%5B%5D",
    b"/db/a%2Fb/c?",
    b"//db///x",
    b"/db/_bulk_docs",
    b"/",
    b"/_session",
]
_LINES = [
    b"Accept: */*",
    b"X-Two:  a \t",
    b"Connection: keep-alive",
    b"Connection: close",
    b"Connection: X-Auth-CouchDB-UserName, Host",
    b"X-Auth-CouchDB-UserName: admin",
    b"X_Forwarded_For: 1.1.1.1",
    b"Expect: 100-continue",
    b"Cookie: AuthSession=x",
    b"Origin: https://app.example.com",
    b"If-Match: \"a\", 'b'",
    b"Content-Type: application/json",
    b"Content-Type: multipart/related; boundary=b",
    b"Content_Length: 7",
    b"TE: trailers",
]
_NASTY = [b"\r\n", b"\n", b"\r", b"\0", b" ", b"\t", b":", b"\r\n\r\n", b"\x80", b"0", b"5", b";", b"-", b"+", b"_"]
_NASTY += [b"Content-Length: 3\r\n", b"Transfer-Encoding: chunked\r\n", b"Host: y\r\n", b"0\r\n\r\n", b"\r\n folded"]
_CLIENT = [*_NASTY, b"GET /db/in HTTP/1.1\r\nHost: localhost\r\n" + _AUTHORIZED + b"\r\n\r\n", b"HTTP/1.0", b"HTTP/2.0"]
_COUCH = [
    *_NASTY,
    b"HTTP/1.1 200 OK\r\n",
    b"HTTP/1.0 ",
    b"Connection: close\r\n",
    b"100",
    b"204",
    b"Content-Length: 0\r\n",
]


def _chunked(draw, body):
    at = draw(st.integers(0, len(body)))
    size = draw(st.sampled_from([b"%x", b"%X", b"0%x"]))
    wire = b"".join((size % len(p)) + b"\r\n" + p + b"\r\n" for p in (body[:at], body[at:]) if p)
    return wire + draw(st.sampled_from([b"0\r\n\r\n", b"0;x=y\r\nDigest: z\r\n\r\n"]))


@st.composite
def _request(draw):
    method = draw(st.sampled_from([b"GET", b"GET", b"HEAD", b"PUT", b"POST", b"DELETE", b"OPTIONS"]))
    lines = draw(st.lists(st.sampled_from(_LINES), max_size=3))
    if draw(st.integers(0, 9)):
        lines.append(_AUTHORIZED)
    how = draw(st.sampled_from(["none", "length", "chunked"]))
    body = draw(st.binary(max_size=40) | st.sampled_from(_CLIENT)) if how != "none" else b""
    if how == "length":
        lines.append(b"Content-Length: %d" % len(body))
    elif how == "chunked":
        lines.append(b"Transfer-Encoding: chunked")
        body = _chunked(draw, body)
    version = draw(st.sampled_from([b"1.1", b"1.1", b"1.1", b"1.0"])) if how != "chunked" else b"1.1"
    start = b"%b %b HTTP/%b" % (method, draw(st.sampled_from(_TARGETS)), version)
    return b"\r\n".join([start, b"Host: localhost", *lines, b"", body])


@st.composite
def _answer(draw):
    status = draw(st.sampled_from([200, 200, 201, 304, 204, 404, 500]))
    how = draw(st.sampled_from(["length", "chunked", "close"]))
    head = b"HTTP/1.1 100 Continue\r\n\r\n" * draw(st.sampled_from([0, 0, 0, 1, 9]))
    head += b'HTTP/1.%d %d OK\r\nETag: "x"\r\n' % (draw(st.sampled_from([1, 1, 1, 0])), status)
    head += draw(st.sampled_from([b"", b"Server: CouchDB\r\n", b"Connection: close\r\n", b"Set-Cookie: a=b\r\n"]))
    body = draw(st.binary(max_size=40) | st.sampled_from(_COUCH)) if status not in (204, 304) else b""
    if how == "length":
        return head + b"Content-Length: %d\r\n\r\n" % len(body) + body
    if how == "chunked" and status not in (204, 304):
        return head + b"Transfer-Encoding: chunked\r\n\r\n" + _chunked(draw, body)
    return head + b"\r\n" + body


@st.composite
def edited(draw, message, nasty):
    """A message of that kind; one in three with a few edits."""
    data = draw(message)
    for _ in range(draw(st.sampled_from([0, 0, 0, 0, 1, 2]))):
        at = draw(st.integers(0, len(data)))
        data = data[:at] + draw(st.sampled_from([b"", *nasty])) + data[at + draw(st.sampled_from([0, 0, 1, 2, 8])) :]
    return data


@st.composite
def _given(draw):
    """An answer, perhaps less its end, and what CouchDB does with the connection then: None, "fin" or "rst"."""
    data = draw(edited(_answer(), _COUCH))
    data = data[: len(data) - draw(st.sampled_from([0, 0, 0, 0, 1, 2, 5, 30]))]
    return data, draw(st.sampled_from([None, None, None, "fin", "rst"]))


requests = st.lists(edited(_request(), _CLIENT), min_size=2, max_size=5).map(b"".join)
answers = _given()
pieces = st.sampled_from([1, 2, 7, 40, 200, 10_000])
