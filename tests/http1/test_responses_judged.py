"""What the gate reads as CouchDB's answer, the strict judge and llhttp read in the same way, however it is cut."""

from __future__ import annotations

from typing import NamedTuple

import httptools
from hypothesis import given, settings
from hypothesis import strategies as st

from couchgate.core.errors import BadGateway
from couchgate.core.message import UNTIL_CLOSE, ResponseHead
from couchgate.http1.responses import ResponseReader


class Answer(NamedTuple):
    """What a reader says after all bytes came."""

    head: ResponseHead | None
    body: bytes
    done: bool
    reusable: bool
    ended: bool


REFUSED = "refused"


def read(method, *pieces):
    reader = ResponseReader(method)
    try:
        body = b"".join([reader.feed(piece) for piece in pieces])
    except BadGateway:
        return REFUSED
    return Answer(reader.head, body, reader.done, reader.done and reader.reusable, reader.ended())


def fields_of(head):
    """All fields of a head, in no order: those passed on unread and those looked at."""
    lines = (line.partition(b":") for line in head.lines.split(b"\r\n")[1:])
    return sorted([*head.special, *((name.lower(), value.strip(b" \t")) for name, _, value in lines)])


class Ears:
    """What llhttp says."""

    def __init__(self):
        self.reason = self.body = b""
        self.fields = []
        self.in_head = True
        self.complete = False

    def on_status(self, reason):
        self.reason += reason

    def on_header(self, name, value):
        if self.in_head:
            self.fields.append((name.lower(), value.strip(b" \t")))

    def on_headers_complete(self):
        self.in_head = False

    def on_body(self, data):
        self.body += data

    def on_message_complete(self):
        self.complete = True


def llhttp(data):
    """(status, reason, fields, body, complete) of one answer to GET."""
    ears = Ears()
    parser = httptools.HttpResponseParser(ears)
    parser.feed_data(data)
    return parser.get_status_code(), ears.reason, sorted(ears.fields), ears.body, ears.complete


def some(letters, **sizes):
    return st.lists(st.sampled_from(list(letters)), **sizes).map(bytes)


VALUE = bytes([9, *range(0x20, 0x7F), *range(0x80, 0x100)])
OTHER = st.tuples(
    some(b"!#$%&'*+-.^_`|~09AZaz", min_size=1, max_size=8).map(lambda n: b"X" + n), some(VALUE, max_size=20)
)
COMMON = st.sampled_from(
    [(b"Server", b"CouchDB"), (b"ETag", b'"1-x"'), (b"set-cookie", b"a=b"), (b"Connection", b"keep-alive")]
)
INTERIM = b"HTTP/1.1 100 Continue\r\nX-Hint: 1\r\n\r\n"


@st.composite
def good(draw, statuses=(200, 201, 206, 204, 304, 401, 404, 500), interims=2):
    """A valid answer to GET: its bytes, the body, and how it came on the wire."""
    status = draw(st.sampled_from(statuses))
    how = draw(st.sampled_from(["length", "chunked", "close"]))
    fields = draw(st.lists(COMMON | OTHER, max_size=5))
    wire = body = b""
    if status not in (204, 304):
        wire = body = draw(st.binary(max_size=50))
    if how == "length":
        fields.append((b"Content-Length", b"%d" % len(body)))
    elif how == "chunked" and status not in (204, 304):
        fields.append((b"Transfer-Encoding", b"chunked"))
        at = draw(st.integers(0, len(body)))
        wire = b"".join(b"%X\r\n%b\r\n" % (len(part), part) for part in (body[:at], body[at:]) if part)
        wire += b"0\r\n" + draw(st.sampled_from([b"", b"Digest: x\r\n"])) + b"\r\n"
    reason = draw(st.sampled_from([b" OK", b" Not Found", b" "]))
    lines = [b"HTTP/1.1 %d%b" % (status, reason), *(b"%b: %b" % field for field in draw(st.permutations(fields)))]
    return INTERIM * draw(st.integers(0, interims)) + b"\r\n".join([*lines, b"", wire]), body, wire


NASTY = [
    b"\r\n",
    b"\n",
    b"\r",
    b"\0",
    b" ",
    b":",
    b"\r\n\r\n",
    b"\x80",
    b"0",
    b"5",
    b"HTTP/1.0",
    b"HTTP/1.1 200 OK\r\n",
]
NASTY += [
    b"Content-Length: 3\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Connection: close\r\n",
    b"0\r\n\r\n",
    b"100",
    b"204",
]


@st.composite
def mutated(draw):
    """A valid answer with a few edits."""
    data = draw(good())[0]
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(data)))
        cut = draw(st.sampled_from([0, 0, 1, 3, 8]))
        data = data[:at] + draw(st.sampled_from([b"", *NASTY]) | st.binary(max_size=3)) + data[at + cut :]
    return data


SOUP = st.lists(st.sampled_from(NASTY), max_size=10).map(b"".join)
ANYTHING = mutated() | SOUP | st.binary(max_size=40)
METHODS = st.sampled_from([b"GET", b"HEAD", b"POST"])


def judge(wire, method, data):
    """Compare the gate's reading of `data`, which the peer then closes, with the judge's."""
    answer = read(method, data)
    if answer is REFUSED or answer.head is None:
        return answer
    responses, error, _ = wire.strict_responses(data, [method.decode()], "fin")
    final = next(response for response in responses if response["status"] >= 200)
    assert (final["status"], sorted(final["headers"])) == (answer.head.status, fields_of(answer.head))
    assert final["version"] == (b"1.1" if answer.head.version == 11 else b"1.0")
    if answer.done or answer.ended:
        assert final["complete"]
        assert final["body"] == answer.body
    else:
        assert not final["complete"]
    if answer.reusable:
        assert error is None
        assert final is responses[-1]
    return answer


@settings(max_examples=300)
@given(METHODS, good())
def test_a_good_answer_is_read_to_its_end(wire, method, message):
    """A good answer is read to its end, and the connection is kept if it ended by itself and nothing followed."""
    data, body, wire_body = message
    answer = judge(wire, method, data)
    assert answer.body == (b"" if method == b"HEAD" else body)
    assert answer.done is (answer.head.framing is not UNTIL_CLOSE)
    assert answer.reusable is (answer.done and not (method == b"HEAD" and wire_body))
    assert answer.ended is not answer.done


@settings(max_examples=200)
@given(good(statuses=(200, 201, 404, 500), interims=0))
def test_llhttp_agrees(message):
    """A good answer is to llhttp, too, the same status, reason, fields and body."""
    data, body, _ = message
    answer = read(b"GET", data)
    head = answer.head
    assert llhttp(data) == (head.status, head.reason, fields_of(head), body, answer.done)


@settings(max_examples=1000)
@given(METHODS, ANYTHING)
def test_whatever_is_accepted_is_accepted_by_the_judge_and_means_the_same(wire, method, data):
    """No bytes are passed on as an answer that a strict reader would read in another way."""
    judge(wire, method, data)


@settings(max_examples=400)
@given(METHODS, ANYTHING | good().map(lambda message: message[0]), st.data())
def test_it_does_not_matter_how_an_answer_is_cut(method, data, draw):
    """Any fragmentation gives the same answer and the same say on the connection, or the same refusal."""
    cuts = sorted(draw.draw(st.lists(st.integers(0, len(data)), max_size=6)))
    pieces = [data[i:j] for i, j in zip([0, *cuts], [*cuts, len(data)], strict=True)]
    assert read(method, *pieces) == read(method, data)
    assert read(method, *(data[i : i + 1] for i in range(len(data)))) == read(method, data)
