"""What the gate reads as a request, two other parsers read in the same way: the strict judge, and llhttp.

The judge must accept whatever the gate accepts, with the same meaning; the gate may refuse more. llhttp is more
forgiving and knows fewer methods, so where it does not refuse it must agree, and on good messages it must not refuse.
"""

from __future__ import annotations

from typing import NamedTuple

import httptools
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from couchgate.core.errors import GateError
from couchgate.core.message import RequestHead
from couchgate.http1.requests import BodyReader, take_head

MAX_BYTES, MAX_COUNT = 4096, 40


class Request(NamedTuple):
    """A request and all that followed it."""

    head: RequestHead
    body: bytes
    rest: bytes


REFUSED, INCOMPLETE = "refused", "incomplete"


def read(*pieces):
    """The first request in `pieces`, as a channel reads it that gets one piece after the other."""
    buffer, body, head, reader = b"", b"", None, None
    try:
        for index, piece in enumerate(pieces):
            buffer += piece
            if head is None:
                taken = take_head(buffer, MAX_BYTES, MAX_COUNT)
                if taken is None:
                    continue
                head, used = taken
                buffer = buffer[used:]
                reader = BodyReader(head.framing)
            if not reader.done:
                body += reader.feed(buffer)
                buffer = reader.rest
            if reader.done:
                assert reader.size == len(body)
                return Request(head, body, buffer + b"".join(pieces[index + 1 :]))
    except GateError:
        return REFUSED
    return INCOMPLETE


class Ears:
    """What llhttp says."""

    def __init__(self):
        self.target = self.body = b""
        self.fields = []
        self.in_head = True
        self.complete = False

    def on_url(self, url):
        self.target += url

    def on_header(self, name, value):
        if self.in_head:  # trailers come here, too
            self.fields.append((name.lower(), value.strip(b" \t")))

    def on_headers_complete(self):
        self.in_head = False

    def on_body(self, data):
        self.body += data

    def on_message_complete(self):
        self.complete = True


def llhttp(data):
    """(method, target, fields, body) of a whole message, or None where llhttp refuses it."""
    ears = Ears()
    parser = httptools.HttpRequestParser(ears)
    try:
        parser.feed_data(data)
    except (httptools.HttpParserError, httptools.HttpParserUpgrade):
        return None
    assert ears.complete
    return parser.get_method(), ears.target, ears.fields, ears.body


def meaning(request):
    """The same four things of what the gate read."""
    head = request.head
    fields = [(name.lower(), value) for name, value in head.fields.pairs]
    apart = [(b"authorization", b"Bearer " + head.bearer)] if head.bearer else []
    return head.method, head.target, reordered(fields + apart), request.body


def reordered(fields):
    """`fields` with credentials last: the gate keeps one apart, so the place of these does not show."""
    credentials = [field for field in fields if field[0] == b"authorization"]
    return [field for field in fields if field[0] != b"authorization"] + sorted(credentials)


def judge(wire, data):
    """Compare what the gate reads in `data` with the strict judge and with llhttp; the gate's reading."""
    request = read(data)
    if not isinstance(request, Request):
        return request
    message = data[: len(data) - len(request.rest)]
    while message.startswith(b"\r\n"):
        message = message[2:]
    requests, error, rest = wire.strict_requests(message)
    if error is not None:
        # Reading is one thing; that there is one Host is `Gate.screen`'s to demand.
        assert error.endswith("Host fields")
        assert len(request.head.fields.all(b"host")) != 1
    else:
        (strict,) = requests
        assert rest == b""
        headers = reordered(strict["headers"])
        assert (strict["method"], strict["target"], headers, strict["body"]) == meaning(request)
        assert strict["version"] == (b"1.1" if request.head.version == 11 else b"1.0")
    second = llhttp(message)
    if second is not None:
        assert (*second[:2], reordered(second[2]), second[3]) == meaning(request)
    return request


def some(letters, **sizes):
    return st.lists(st.sampled_from(list(letters)), **sizes).map(bytes)


TOKEN = b"!#$%&'*+-.^_`|~0123456789ABCXYZabcxyz"
VISIBLE = bytes(range(0x21, 0x7F))
VALUE = bytes([9, *range(0x20, 0x7F), *range(0x80, 0x100)])
OWS = st.sampled_from([b"", b" ", b"\t", b" \t "])
COMMON = st.sampled_from(
    [
        (b"Accept", b"*/*"),
        (b"Connection", b"keep-alive"),
        (b"Authorization", b"Bearer a.b.c"),
        (b"Content_Length", b"7"),
        (b"Transfer_Encoding", b"chunked"),
        (b"Expect", b"100-continue"),
        (b"Cookie", b"a=b; c=d"),
    ]
)
OTHER = st.tuples(some(TOKEN, min_size=1, max_size=8).map(lambda name: b"X" + name), some(VALUE, max_size=20))


@st.composite
def good(draw):
    """A valid request: its bytes, and the body."""
    method = draw(st.sampled_from([b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"COPY", b"OPTIONS"]))
    lines = [b"%b /%b HTTP/1.%d" % (method, draw(some(VISIBLE, max_size=20)), draw(st.sampled_from([1, 1, 1, 0])))]
    how = draw(st.sampled_from(["none", "length", "chunked"] if lines[0].endswith(b"1") else ["none", "length"]))
    fields = [(b"Host", b"gate.example.com"), *draw(st.lists(COMMON | OTHER, max_size=5))]
    wire = body = b""
    if how == "length":
        wire = body = draw(st.binary(max_size=60))
        fields.append((b"Content-Length", b"%d" % len(body)))
    elif how == "chunked":
        fields.append((draw(st.sampled_from([b"Transfer-Encoding", b"transfer-ENCODING"])), b"chunked"))
        for chunk in draw(st.lists(st.binary(min_size=1, max_size=30), max_size=4)):
            size = draw(st.sampled_from([b"%x", b"%X", b"0%x"])) % len(chunk)
            wire += size + draw(st.sampled_from([b"", b";a", b";a=b;c=d"])) + b"\r\n" + chunk + b"\r\n"
            body += chunk
        wire += b"0\r\n" + draw(st.sampled_from([b"", b"Digest: x\r\n", b"X: y\r\nZ:\r\n"])) + b"\r\n"
    for name, value in draw(st.permutations(fields)):
        behind = OWS if name.startswith(b"X") else st.sampled_from([b"", b" "])  # llhttp knows no tab after a coding
        lines.append(name + b":" + draw(OWS) + value + draw(behind))
    return b"\r\n".join([*lines, b"", wire]), body


NASTY = [b"\r\n", b"\n", b"\r", b"\0", b" ", b"\t", b":", b",", b"\r\n\r\n", b"\x80", b"\x7f", b"0", b"5", b";", b"-"]
NASTY += [
    b"Content-Length: 3\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"HTTP/1.0",
    b"HTTP/2.0",
    b"Host: y\r\n",
    b"0\r\n\r\n",
]


@st.composite
def mutated(draw):
    """A valid request with a few edits, and perhaps another behind it."""
    data = draw(good())[0]
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(data)))
        cut = draw(st.sampled_from([0, 0, 1, 2, 8]))
        new = draw(st.sampled_from([b"", *NASTY]) | st.binary(max_size=3))
        data = data[:at] + new + data[at + cut :]
    return data + draw(st.sampled_from([b"", b"", b"GET /next HTTP/1.1\r\nHost: x\r\n\r\n"]))


WORDS = [*NASTY, b"GET", b"POST", b"/", b"/db", b"HTTP/1.1", b"GET / HTTP/1.1\r\n", b"PUT /a HTTP/1.1\r\nHost: x\r\n"]
SOUP = st.lists(st.sampled_from(WORDS), max_size=14).map(b"".join)
ANYTHING = mutated() | SOUP | st.binary(max_size=60)


@settings(max_examples=300)
@given(good())
def test_a_good_request_is_read_alike_by_all(wire, message):
    """Gate, judge and llhttp read a good request as the same method, target, fields and body."""
    data, body = message
    request = judge(wire, data)
    assert request.body == body
    assert request.rest == b""
    assert llhttp(data) is not None  # what it read, `judge` has compared


@settings(max_examples=1000)
@given(ANYTHING)
@example(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabcGET / HTTP/1.1\r\n\r\n")
@example(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n")
@example(b"\r\n\r\nGET / HTTP/1.0\r\n\r\n")
def test_whatever_is_accepted_is_accepted_by_the_judge_and_means_the_same(wire, data):
    """No bytes are read by the gate in a way in which a strict reader would not read them."""
    judge(wire, data)


@settings(max_examples=500)
@given(ANYTHING | good().map(lambda message: message[0]), st.data())
def test_it_does_not_matter_how_a_request_is_cut(data, draw):
    """Any fragmentation gives the same request, the same rest, or the same refusal."""
    cuts = sorted(draw.draw(st.lists(st.integers(0, len(data)), max_size=6)))
    pieces = [data[i:j] for i, j in zip([0, *cuts], [*cuts, len(data)], strict=True)]
    assert read(*pieces) == read(data)


EXHAUSTIVE = [
    b"\r\n\r\nPOST /db/_bulk_docs HTTP/1.1\r\nHost: x\r\nA:  b \r\nContent-Length: 4\r\n\r\n\r\n\r\nGET /",
    b"PUT /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n\r\n\r\n1\r\n0\r\n0\r\nT: x\r\n\r\n\r\nGET",
    b"!M / HTTP/1.0\r\n\r\nrest",
    b"GET / HTTP/1.1\r\nHost: x\r\nBad : y\r\n\r\n",
    b"PUT /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n",
    b"\r\n\r\n\r\n\r\n\r\nGET / HTTP/1.1\r\n\r\n",
]


@pytest.mark.parametrize("data", EXHAUSTIVE)
def test_every_cut_gives_the_same(data):
    """Every cut into two and three pieces, and into single bytes, gives what the whole gives."""
    whole = read(data)
    assert whole is not INCOMPLETE
    assert read(*(data[i : i + 1] for i in range(len(data)))) == whole
    for first in range(len(data)):
        for second in range(first, len(data), 7):
            assert read(data[:first], data[first:second], data[second:]) == whole


@pytest.mark.parametrize("data", EXHAUSTIVE[:3])
def test_a_part_is_never_taken_for_the_whole(data):
    """As long as a byte of a good request is missing, it is incomplete, and not refused."""
    request = read(data)
    for size in range(len(data) - len(request.rest)):
        assert read(data[:size]) is INCOMPLETE
