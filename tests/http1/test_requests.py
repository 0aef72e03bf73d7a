"""Reading requests: what is a head, how its body is framed, and where the limits are."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from couchgate.core.errors import BadRequest, GateError, HeadTooLarge, NotImplementedByGate, VersionNotSupported
from couchgate.core.message import CHUNKED, NO_BODY, Framing
from couchgate.http1.requests import MAX_EMPTY_LINES, BodyReader, Habit, take_head

MAX_BYTES = 32768
MAX_COUNT = 100


def take(data, max_bytes=MAX_BYTES, max_count=MAX_COUNT):
    return take_head(data, max_bytes, max_count)


def head_of(*lines, start=b"GET / HTTP/1.1"):
    head, used = take(b"\r\n".join([start, *lines, b"", b""]))
    assert used == sum(len(line) + 2 for line in (start, *lines)) + 2
    return head


def refused(data, kind=BadRequest, **limits):
    with pytest.raises(kind) as caught:
        take(data, **limits)
    assert type(caught.value) is kind
    return caught.value.code


def test_a_head_is_cut_off_the_front():
    """The head comes with its parts as sent, and what follows it stays untouched."""
    data = b"PUT /db/a%2Fb?rev=1-x HTTP/1.1\r\nHost: x\r\nX-Two:  a b \r\nX-two:\r\n\r\nGET / HTTP/1.1\r\n"
    head, used = take(data)
    assert (head.method, head.target, head.version) == (b"PUT", b"/db/a%2Fb?rev=1-x", 11)
    assert head.fields.pairs == ((b"Host", b"x"), (b"X-Two", b"a b"), (b"X-two", b""))
    assert head.framing is NO_BODY
    assert data[used:] == b"GET / HTTP/1.1\r\n"


def test_a_head_without_fields_and_of_http_1_0_is_a_head():
    """HTTP/1.0 without any field is readable; whether it is served is the gate's to say."""
    head, used = take(b"GET / HTTP/1.0\r\n\r\n")
    assert (head.version, head.fields.pairs, used) == (10, (), 18)


@pytest.mark.parametrize("count", range(MAX_EMPTY_LINES + 1))
def test_a_few_empty_lines_before_a_request_are_skipped(count):
    """Up to the limit, empty lines before the request line are passed over and counted as taken."""
    data = b"\r\n" * count + b"GET / HTTP/1.1\r\n\r\n"
    head, used = take(data)
    assert (head.target, used) == (b"/", len(data))
    assert all(take(data[:cut]) is None for cut in range(len(data)))


def test_one_empty_line_more_is_refused():
    """A stream of empty lines is no request, whether or not one follows."""
    lines = b"\r\n" * (MAX_EMPTY_LINES + 1)
    assert refused(lines) == refused(lines + b"GET / HTTP/1.1\r\n\r\n") == "empty_lines"


@pytest.mark.parametrize("size", [40, 41, 1000, MAX_BYTES])
def test_the_limit_of_bytes_is_exact(size):
    """A head of just `head_bytes` is read however it is cut, and a byte more is refused."""
    start = b"GET / HTTP/1.1\r\nHost: x\r\nA: "
    longest = start + b"a" * (size - len(start)) + b"\r\n\r\n"
    assert take(longest, max_bytes=size)[1] == size + 4
    for short in range(1, 6):
        assert take(longest[:-short], max_bytes=size) is None
    longer = start + b"a" * (size - len(start) + 1) + b"\r\n\r\n"
    assert refused(longer, HeadTooLarge, max_bytes=size) == "head_bytes"
    assert refused(longer[:-1], HeadTooLarge, max_bytes=size) == "head_bytes"


@pytest.mark.parametrize("count", [0, 1, 5, 100])
def test_the_limit_of_fields_is_exact(count):
    """A head with just `header_count` fields is read, and one more is refused, also when it was read before."""
    lines = [b"X-%d: %d" % (n, count) for n in range(count + 1)]
    fitting, over = (b"\r\n".join([b"GET / HTTP/1.1", *some, b"", b""]) for some in (lines[:count], lines))
    assert len(take(fitting, max_count=count)[0].fields.pairs) == count
    assert len(take(over, max_count=count + 1)[0].fields.pairs) == count + 1
    assert refused(over, HeadTooLarge, max_count=count) == "head_count"


@pytest.mark.parametrize(
    "line",
    [
        b"GET  / HTTP/1.1",
        b"GET / HTTP/1.1 ",
        b" GET / HTTP/1.1",
        b"GET\t/ HTTP/1.1",
        b"GET / http/1.1",
        b"GET / HTTP/1.10",
        b"GET / HTTP/01.1",
        b"GET /",
        b"GET",
        b"GET /a b HTTP/1.1",
        b"GET /\xff HTTP/1.1",
        b"GET /\x7f HTTP/1.1",
        b"GET /\x00 HTTP/1.1",
        b"GE(T / HTTP/1.1",
        b"GET / HTTP/1.1\nX: y",
        b"GET / HTTP/1.1\rX: y",
        b"\x16\x03\x01\x02",
    ],
)
def test_a_malformed_request_line_is_refused(line):
    """What is not method, target and version with one space between each is 400."""
    refused(line + b"\r\nHost: x\r\n\r\n")


@pytest.mark.parametrize("version", [b"HTTP/2.0", b"HTTP/2", b"HTTP/1.2", b"HTTP/0.9", b"HTTP/3"])
def test_another_version_is_refused_as_such(version):
    """A request in another version of HTTP is 505."""
    assert refused(b"GET / " + version + b"\r\nHost: x\r\n\r\n", VersionNotSupported) == "http_version"


@pytest.mark.parametrize(
    "field",
    [
        b"X : y",
        b" X: y",
        b": y",
        b"X",
        b"",
        b"X: a\r\n folded",
        b"X: a\r\n\tfolded",
        b"X: a\rb",
        b"X: a\nb: c",
        b"X: a\x00",
        b"X: a\x01",
        b"X: a\x7f",
        b"X\x80: a",
        b"X(: a",
        b"X\t: a",
    ],
)
def test_a_malformed_field_is_refused(field):
    """A field line that two recipients could read in two ways is 400; an empty one ends the head."""
    data = b"GET / HTTP/1.1\r\nHost: x\r\n" + field + b"\r\nY: z\r\n\r\n"
    if field:
        refused(data)
    else:
        assert take(data)[1] == data.index(b"Y: z")


@pytest.mark.parametrize(
    "part",
    [b"\x16\x03\x01", b"\x00", b" ", b"GET / HTTP/1.1\n", b"GET / HTTP/1.1\r\nX: a\x00", b"G\rE", b"\n", b"\r\n\rX"],
)
def test_what_can_never_become_a_head_is_refused_before_it_ends(part):
    """Nobody waits for the end of what is no request."""
    refused(part)


@pytest.mark.parametrize("part", [b"", b"\r", b"\r\n", b"\r\n\r", b"G", b"!", b"1", b"GET / HTTP/1.1\r", b"G\r\nX\r\n"])
def test_what_can_still_become_a_head_is_waited_for(part):
    """A part without a fault that is final is waited for."""
    assert take(part) is None


def test_a_head_that_drips_costs_little_per_byte():
    """Looking once more at an almost complete head of 32 KiB takes well under a millisecond."""
    part = b"GET / HTTP/1.1\r\nA: " + b"a" * 32000
    begun = time.process_time()
    for _ in range(200):
        assert take(part) is None
    assert time.process_time() - begun < 0.2


LENGTHS = [(b"0", NO_BODY), (b"00", NO_BODY), (b"5", Framing("length", 5)), (b"9" * 18, Framing("length", 10**18 - 1))]


@pytest.mark.parametrize(("value", "framing"), LENGTHS)
def test_a_length_frames_the_body(value, framing):
    """One Content-Length of up to 18 digits is the length; zero is no body."""
    assert head_of(b"content-LENGTH:" + value, start=b"POST / HTTP/1.1").framing == framing


@pytest.mark.parametrize(
    "value", [b"", b"+5", b"-5", b"5,5", b"5, 5", b"5 5", b"0x5", b"5.0", b"1e3", b"9" * 19, b"\xb2", b"five", b"1_0"]
)
def test_a_length_that_is_not_one_number_is_refused(value):
    """Any other Content-Length is 400."""
    assert refused(b"POST / HTTP/1.1\r\nContent-Length: " + value + b"\r\n\r\n") == "framing_length"


@pytest.mark.parametrize("second", [b"5", b"6"])
def test_two_lengths_are_refused(second):
    """Two Content-Length fields are 400, even if they agree."""
    data = b"POST / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: " + second + b"\r\n\r\n"
    assert refused(data) == "framing_length"


@pytest.mark.parametrize("coding", [b"chunked", b"Chunked", b"CHUNKED\t"])
def test_chunked_frames_the_body(coding):
    """The chunked coding is known in any case, and only of HTTP/1.1."""
    line = b"Transfer-Encoding: " + coding
    assert head_of(line, start=b"POST / HTTP/1.1").framing is CHUNKED
    assert refused(b"POST / HTTP/1.0\r\n" + line + b"\r\n\r\n") == "framing_version"


@pytest.mark.parametrize("coding", [b"", b"gzip", b"gzip, chunked", b"chunked, chunked", b"identity", b"xchunked"])
def test_another_transfer_coding_is_not_implemented(coding):
    """Only chunked alone is read; everything else is 501."""
    data = b"POST / HTTP/1.1\r\nTransfer-Encoding: " + coding + b"\r\n\r\n"
    assert refused(data, NotImplementedByGate) == "framing_coding"
    two = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert refused(two, NotImplementedByGate) == "framing_coding"


@pytest.mark.parametrize("length", [b"0", b"5", b"x"])
def test_two_ways_of_framing_are_refused(length):
    """Content-Length beside Transfer-Encoding is 400 in either order."""
    fields = [b"Transfer-Encoding: chunked", b"Content-Length: " + length]
    for some in (fields, fields[::-1]):
        assert refused(b"\r\n".join([b"POST / HTTP/1.1", *some, b"", b""])) == "framing_both"


def test_an_underscore_frames_nothing():
    """`Content_Length` and `Transfer_Encoding` are other fields, which frame no body."""
    assert head_of(b"Content_Length: 5", b"Transfer_Encoding: chunked").framing is NO_BODY


@pytest.mark.parametrize("length", [1, 5])
def test_a_body_of_known_length_ends_there(length):
    """Just `length` bytes are the body, in however many pieces, and what follows is handed back."""
    for cut in range(length + 3):
        body = BodyReader(Framing("length", length))
        wire = b"abcdefgh"[: length + 2]
        got = body.feed(wire[:cut])
        assert body.done is (cut >= length)
        if not body.done:
            got += body.feed(wire[cut:])
            assert body.rest == wire[length:]
        else:
            assert body.rest == wire[length:cut]
        assert (got, body.size, body.done) == (wire[:length], length, True)


def test_no_body_is_complete_at_once():
    """Where no body is framed nothing has to come."""
    body = BodyReader(NO_BODY)
    assert (body.done, body.size, body.rest) == (True, 0, b"")


def test_a_chunked_body_is_delivered_without_its_framing():
    """The reader counts the body's bytes, not the framing's, and hands back what follows."""
    body = BodyReader(CHUNKED)
    assert body.feed(b"3\r\nab") == b"ab"
    assert (body.done, body.size) == (False, 2)
    assert body.feed(b"c\r\n0\r\n\r\nGET") == b"c"
    assert (body.done, body.size, body.rest) == (True, 3, b"GET")


def test_a_refusal_quotes_nothing():
    """What an error says never holds what was sent."""
    with pytest.raises(GateError) as caught:
        take(b"GET / HTTP/1.1\r\nAuthorization: Bearer s3cret\x00\r\n\r\n")
    assert "s3cret" not in str(caught.value) + caught.value.reason


BLOCKS = (
    b"Host: x\r\nAuthorization: Bearer a.b.c\r\nX-One: 1\r\n",
    b"Host: x\r\nAuthorization: Bearer a.b.d\r\nX-One: 1\r\n",
    b"Host: x\r\nAuthorization: Bearer a.b.cd\r\nX-One: 1\r\n",
    b"Host: x\r\nAuthorization: Bearer a.b.c \r\nX-One: 1\r\n",
    b"Host: x\r\nAuthorization: Bearer \r\nX-One: 1\r\n",
    b"Host: x\r\nAuthorization: Bearer a.b\x00c\r\nX-One: 1\r\n",
    b"Host: x\r\nAuthorization: Bearer a.b.c\rX-One: 1\r\n",
    b"Authorization: Bearer a.b.c\rX-One: 1\r\n",
    b"Authorization: Bearer a.b.c\r",
    b"Host: x\r\nAuthorization: Bearer a.b.c\r\nX-One: 1\r\nauthorization: Bearer a.b.e\r\n",
    b"Host: x\r\nContent-Length: 3\r\n",
    b"Host: x\r\n",
    b"",
    b"Host : x\r\n",
    b"Host: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n",
    b"X-Long: " + b"x" * 5000 + b"\r\n",
)


def _outcome(data, habit, max_bytes=MAX_BYTES, max_count=MAX_COUNT):
    try:
        taken = take_head(data, max_bytes, max_count, habit)
    except GateError as error:
        return error.code
    if taken is None:
        return None
    head, used = taken
    return head.method, head.target, head.version, head.fields, head.framing, head.bearer, used


@given(
    st.lists(
        st.tuples(
            st.sampled_from([b"GET /a HTTP/1.1\r\n", b"PUT /b HTTP/1.0\r\n", b"GET  HTTP/1.1\r\n", b"\r\n", b""]),
            st.sampled_from(BLOCKS),
            st.sampled_from([b"\r\n", b"\r\nbody", b"", b"\r", b"X: y\r\n\r\n"]),
            st.sampled_from([(MAX_BYTES, MAX_COUNT), (60, MAX_COUNT), (MAX_BYTES, 1), (MAX_BYTES, 2)]),
        ),
        min_size=2,
        max_size=12,
    )
)
def test_what_a_connection_sent_before_changes_no_head(sent):
    """A head is read alike on a fresh connection and behind any others, whatever they were and whatever the limits."""
    habit = Habit()
    for start, block, end, limits in sent:
        data = start + block + end
        assert _outcome(data, habit, *limits) == _outcome(data, None, *limits)


def test_a_client_that_repeats_its_fields_has_them_read_once():
    """From the second head on the fields of one before are the same object while the bytes are the same."""
    habit = Habit()
    heads = [
        take_head(b"GET /%d HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n" % n, 999, 9, habit)[0] for n in range(4)
    ]
    assert heads[0].fields is not heads[1].fields
    assert heads[1].fields is heads[2].fields is heads[3].fields
    assert [head.target for head in heads] == [b"/0", b"/1", b"/2", b"/3"]


def test_a_client_that_speaks_for_many_people_has_its_fields_read_once():
    """Tokens of any length may follow each other in the same fields: each head has its own."""
    habit = Habit()
    tokens = [b"a.b.c", b"a.b.c", b"a.b.cd", b"a.b", b"e.f.g", b"e.f.g"]
    heads = [
        take_head(b"GET / HTTP/1.1\r\nAuthorization: Bearer %b\r\nHost: x\r\n\r\n" % token, 999, 9, habit)[0]
        for token in tokens
    ]
    assert [head.bearer for head in heads] == tokens
    assert len({id(head.fields) for head in heads[1:]}) == 1
