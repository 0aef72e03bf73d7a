"""Reading CouchDB's answers: what is one, where it ends, and whether its connection may serve another exchange."""

from __future__ import annotations

import pytest

from couchgate.core.errors import BadGateway
from couchgate.core.message import CHUNKED, NO_BODY, UNTIL_CLOSE, Framing
from couchgate.http1.responses import MAX_HEAD, MAX_INTERIM, ResponseReader

OK = b"HTTP/1.1 200 OK\r\n"


def read(data, method=b"GET", step=None):
    """The reader that was fed `data` (in pieces of `step` bytes), and the body."""
    reader = ResponseReader(method)
    step = step or max(len(data), 1)
    return reader, b"".join(reader.feed(data[i : i + step]) for i in range(0, len(data), step))


def refused(data, method=b"GET"):
    """Assert that `data` is a 502, whole and byte by byte."""
    for step in (None, 1):
        with pytest.raises(BadGateway) as caught:
            read(data, method, step)
        assert caught.value.status == 502


@pytest.mark.parametrize("step", [None, 1, 3])
def test_an_answer_of_known_length_is_read_to_its_end(step):
    """Status, reason, lines and body come as sent; the connection may serve another exchange."""
    data = OK + b'ETag:  "1-x"\r\ncontent-length: 5\r\nSet-Cookie: a=b\r\nServer: CouchDB\r\n\r\nhello'
    reader, body = read(data, step=step)
    head = reader.head
    assert (head.status, head.reason, head.version, body) == (200, b"OK", 11, b"hello")
    assert head.lines == b'\r\nETag:  "1-x"'
    assert list(head.special) == [(b"content-length", b"5"), (b"set-cookie", b"a=b"), (b"server", b"CouchDB")]
    assert head.framing == Framing("length", 5)
    assert (reader.done, reader.reusable, reader.ended(), reader.touched) == (True, True, False, True)


@pytest.mark.parametrize("step", [None, 1, 3])
def test_a_chunked_answer_is_read_without_its_framing(step):
    """Chunks are taken apart, trailers dropped; the connection may serve another exchange."""
    data = OK + b"Transfer-Encoding: Chunked\r\n\r\n3\r\nhel\r\n2;x\r\nlo\r\n0\r\nDigest: x\r\n\r\n"
    reader, body = read(data, step=step)
    assert (body, reader.head.framing) == (b"hello", CHUNKED)
    assert (reader.done, reader.reusable, reader.ended()) == (True, True, False)


@pytest.mark.parametrize("step", [None, 1, 3])
def test_an_answer_that_ends_by_closing(step):
    """Without any length the body ends with the connection, which therefore serves nobody else."""
    reader, body = read(OK + b"\r\nhello", step=step)
    assert (body, reader.head.framing) == (b"hello", UNTIL_CLOSE)
    assert (reader.done, reader.reusable, reader.ended()) == (False, False, True)


@pytest.mark.parametrize(
    ("method", "status", "fields"),
    [
        (b"HEAD", b"200", b"Content-Length: 5\r\n"),
        (b"HEAD", b"200", b"Transfer-Encoding: chunked\r\n"),
        (b"HEAD", b"404", b""),
        (b"GET", b"204", b""),
        (b"GET", b"204", b"Content-Length: 5\r\n"),
        (b"GET", b"304", b"Content-Length: 5\r\n"),
        (b"GET", b"200", b"Content-Length: 0\r\n"),
    ],
)
def test_an_answer_without_a_body_is_complete_with_its_head(method, status, fields):
    """HEAD, 204, 304 and a length of zero have no body, and bytes behind them belong to nobody."""
    head = b"HTTP/1.1 " + status + b" X\r\n" + fields + b"\r\n"
    for step in (None, 1):
        reader, body = read(head, method, step)
        assert reader.head.framing in (NO_BODY, Framing("length", 0))
        assert (body, reader.done, reader.reusable, reader.ended()) == (b"", True, True, False)
        reader, body = read(head + b"hello", method, step)
        assert (body, reader.done, reader.reusable) == (b"", True, False)
    reader, _ = read(head[:-1], method)
    assert (reader.head, reader.done) == (None, False)


@pytest.mark.parametrize("step", [None, 1, 3])
@pytest.mark.parametrize(
    "answer", [b"Content-Length: 2\r\n\r\nhi", b"Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"]
)
@pytest.mark.parametrize("surplus", [b"\r", b"HTTP/1.1 200 OK\r\n\r\n", b"X: y\r\n\r\n", b"\x00"])
def test_surplus_bytes_are_nobodys_and_end_the_connection(answer, surplus, step):
    """What follows an answer is never body, and the connection is not used again, however it is cut."""
    reader, body = read(OK + answer + surplus, step=step)
    assert (body, reader.done, reader.reusable) == (b"hi", True, False)


@pytest.mark.parametrize(
    ("start", "fields", "reusable"),
    [
        (b"HTTP/1.1", b"", True),
        (b"HTTP/1.1", b"Connection: keep-alive\r\n", True),
        (b"HTTP/1.1", b"Connection: close\r\n", False),
        (b"HTTP/1.1", b"connection: X, CLOSE\r\n", False),
        (b"HTTP/1.1", b"Connection: x\r\nConnection: close\r\n", False),
        (b"HTTP/1.0", b"", False),
        (b"HTTP/1.0", b"Connection: keep-alive\r\n", False),
    ],
)
def test_who_says_close_is_not_used_again(start, fields, reusable):
    """A connection is kept for HTTP/1.1 without `close`, and for nothing else."""
    reader, _ = read(start + b" 200 OK\r\nContent-Length: 2\r\n" + fields + b"\r\nhi")
    assert (reader.done, reader.reusable) == (True, reusable)


@pytest.mark.parametrize(
    "data",
    [OK + b"Content-Length: 5\r\n\r\nhello", OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX: y\r\n\r\n"],
)
def test_a_truncated_answer_is_not_complete(data):
    """Cut anywhere, an answer with a length or in chunks is never done, and the end of the stream does not end it."""
    for size in range(len(data)):
        reader, _ = read(data[:size])
        assert (reader.done, reader.ended(), reader.touched) == (False, False, size > 0)
    assert read(data)[0].done


def test_a_head_cut_short_is_not_ended_by_closing():
    """Only once the head is there can the end of the connection be the end of an answer."""
    data = OK + b"X: y\r\n\r\n"
    assert not any(read(data[:size])[0].ended() for size in range(len(data)))
    assert read(data)[0].ended()


@pytest.mark.parametrize("step", [None, 1])
def test_interim_answers_are_passed_over(step):
    """Up to the limit 1xx heads are skipped; the final one counts."""
    interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" * (MAX_INTERIM // 2)
    reader, body = read(interim + OK + b"Content-Length: 2\r\n\r\nhi", step=step)
    assert (reader.head.status, body, reader.done, reader.reusable) == (200, b"hi", True, True)
    reader, _ = read(interim)
    assert (reader.head, reader.touched, reader.ended()) == (None, True, False)
    refused(interim + b"HTTP/1.1 100 Continue\r\n\r\n" + OK + b"\r\n")


def test_switching_protocols_is_refused():
    """Nobody asked for another protocol, so 101 is a 502."""
    refused(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n")


@pytest.mark.parametrize("reason", [b"", b" ", b" Not Found", b" \xc3\xa9\t!"])
def test_a_reason_may_be_anything_readable_or_missing(reason):
    """The reason phrase may be empty or left out."""
    reader, _ = read(b"HTTP/1.1 404" + reason + b"\r\nContent-Length: 0\r\n\r\n")
    assert (reader.head.status, reader.head.reason) == (404, reason[1:])


@pytest.mark.parametrize(
    "data",
    [
        b"\r\n\r\n",
        b"HTTP/2 200 OK\r\n\r\n",
        b"HTTP/1.2 200 OK\r\n\r\n",
        b"http/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 099 OK\r\n\r\n",
        b"HTTP/1.1 20 OK\r\n\r\n",
        b"HTTP/1.1 2000 OK\r\n\r\n",
        b"HTTP/1.1  200 OK\r\n\r\n",
        b"HTTP/1.1 200OK\r\n\r\n",
        b"HTTP/1.1 200 O\x00K\r\n\r\n",
        b"HTTP/1.1 200 O\rK\r\n\r\n",
        b"HTTP/1.1 200 O\nK\r\n\r\n",
        OK + b"X : y\r\n\r\n",
        OK + b" X: y\r\n\r\n",
        OK + b"X: y\r\n z\r\n\r\n",
        OK + b"X: y\nZ: z\r\n\r\n",
        OK + b"X: y\x00\r\n\r\n",
        OK + b"X\r\n\r\n",
        OK + b": y\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\nX: a\nY: b\r\n\r\n" + OK + b"\r\n",
    ],
)
def test_what_is_no_answer_is_a_502(data):
    """Bytes that are not one HTTP/1 head of one reading are refused."""
    refused(data)


@pytest.mark.parametrize("data", [b"X", b"HTTP/2", b"\x15\x03\x01", b"HTP", b"\r\n"])
def test_what_does_not_begin_as_an_answer_is_refused_at_once(data):
    """Nobody waits for the end of a head that is none."""
    refused(data)


@pytest.mark.parametrize(
    "fields",
    [
        b"Content-Length: 2\r\nContent-Length: 2\r\n",
        b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: gzip, chunked\r\n",
        b"Transfer-Encoding: gzip\r\n",
        b"Content-Length: +2\r\n",
        b"Content-Length: 2, 2\r\n",
        b"Content-Length:\r\n",
        b"Content-Length: 1234567890123456789\r\n",
    ],
)
@pytest.mark.parametrize("method", [b"GET", b"HEAD"])
def test_an_answer_framed_in_doubt_is_a_502(fields, method):
    """Two lengths, two ways of framing or another coding than chunked are refused, even where no body comes."""
    refused(OK + fields + b"\r\n2\r\nhi\r\n0\r\n\r\n", method)


def test_http_1_0_has_no_chunks():
    """A chunked answer in HTTP/1.0 is refused."""
    refused(b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")


def test_a_malformed_chunk_is_a_502():
    """The coding's own refusal is a 400 for a client and a 502 for CouchDB."""
    refused(OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhi!\r\n")


def test_the_limit_of_a_head_is_exact():
    """A head of just the limit is read, however it is cut; a byte more is refused."""
    start = OK + b"A: "
    longest = start + b"a" * (MAX_HEAD - len(start)) + b"\r\n\r\n"
    for cut in (len(longest), MAX_HEAD, MAX_HEAD + 1, MAX_HEAD + 3):
        reader = ResponseReader(b"GET")
        reader.feed(longest[:cut])
        reader.feed(longest[cut:])
        assert reader.head.status == 200
    for data in (longest[:-4] + b"a\r\n\r\n", longest[:-4] + b"a\r\n\r", longest[:-4] + b"aaaa"):
        with pytest.raises(BadGateway):
            read(data)


def test_a_fresh_reader_was_not_touched():
    """Before any byte came an exchange may be tried again elsewhere."""
    reader = ResponseReader(b"GET")
    assert (reader.touched, reader.done, reader.ended(), reader.head) == (False, False, False, None)
    reader.feed(b"H")
    assert reader.touched
