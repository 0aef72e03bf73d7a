"""Feeds that end early: always valid, never with changes lost, and never with an exception."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from couchgate.core.feed import KEPT, FeedFollower

a_busy_machine_is_no_failure = settings(deadline=None)


def longpoll(query=b"since=7"):
    return FeedFollower.of(b"/db/_changes?feed=longpoll&" + query)


def fed(*pieces, query=b"since=7"):
    follower = longpoll(query)
    for piece in pieces:
        follower.feed(piece)
    return follower


def compact(value, *, ascii_only=True):
    return json.dumps(value, separators=(",", ":"), ensure_ascii=ascii_only).encode()


texts = st.one_of(
    st.text(max_size=6), st.sampled_from(("seq", '"seq":"9"', "\\", '"}]', ',\r\n{"seq":"1"', "]}", "{["))
)
plain = st.recursive(
    st.one_of(texts, st.integers(), st.none()),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.one_of(st.just("seq"), texts), inner, max_size=3)
    ),
    max_leaves=20,
)
deep = st.integers(0, 12).flatmap(lambda n: plain.map(lambda v: json.loads('{"seq":[' * n + json.dumps(v) + "]}" * n)))
seqs = st.one_of(st.text(max_size=9), st.integers(), st.none(), st.sampled_from(("12-g1AAA", 1.5)))
others = st.fixed_dictionaries(
    {"id": texts, "changes": st.just([{"rev": "1-a"}])},
    optional={"deleted": st.booleans(), "doc": st.one_of(plain, deep)},
)


@st.composite
def answers(draw):
    """A longpoll answer in parts: the rows, and with each part how many of them are complete after it."""
    start = draw(st.sampled_from(('{"results":[\n', '\n\n{"results":[\n', ' { "results" : [', '{"results":[')))
    comma = draw(st.sampled_from((b",\r\n", b",\n", b",")))
    beats = st.sampled_from((b"", b"", b"\n", b"\n\n"))
    parts, found = [(start.encode(), 0)], []
    for count in range(draw(st.integers(0, 6))):
        members = list(draw(others).items())
        if comma == b",\r\n":  # CouchDB's form
            members.insert(0, ("seq", draw(st.one_of(st.text(max_size=9), st.none()))))
        else:
            members.insert(draw(st.sampled_from((0, len(members)))), ("seq", draw(seqs)))
        found.append(dict(members))
        parts.append((draw(beats), count))
        parts.append(((comma if count else b"") + compact(found[-1], ascii_only=draw(st.booleans())), count + 1))
    parts.append((draw(beats), len(found)))
    return found, parts


def expected_seq(found, since):
    known = [row["seq"] for row in found if row["seq"] is not None]
    return known[-1] if known else since


@a_busy_machine_is_no_failure
@given(answers(), st.integers(1, 40))
def test_an_answer_can_be_ended_at_every_rows_end(answer, size):
    """At the end of each row, however the bytes were cut before, the ending gives the rows so far and the last seq."""
    found, parts = answer
    follower, sent = longpoll(), b""
    for data, count in parts:
        for i in range(0, len(data), size):
            follower.feed(data[i : i + size])
        sent += data
        whole = json.loads(sent + follower.ending())
        assert whole == {"results": found[:count], "last_seq": expected_seq(found[:count], 7), "pending": 0}
        assert not follower.hopeless


@a_busy_machine_is_no_failure
@given(answers(), st.booleans(), st.lists(st.floats(0, 1), max_size=5))
def test_an_answer_ends_well_wherever_it_says_so(answer, finished, places):
    """Wherever an ending is offered, it gives valid JSON with the rows so far and their last seq."""
    found, parts = answer
    sent = b"".join(data for data, _ in parts)
    if finished:
        sent += b'\n],\n"last_seq":"99-z","pending":3}\n'

    def check(so_far, ending):
        if ending is None:
            return
        whole = json.loads(so_far + ending)
        rows = found[: len(whole["results"])]
        last_seq, pending = (expected_seq(rows, 7), 0) if ending else ("99-z", 3)
        assert whole == {"results": rows, "last_seq": last_seq, "pending": pending}

    bytewise = longpoll()
    for i in range(len(sent)):
        bytewise.feed(sent[i : i + 1])
        check(sent[: i + 1], bytewise.ending())
    for place in places:
        cut = round(place * len(sent))
        check(sent[:cut], fed(sent[:cut]).ending())
        check(sent, fed(sent[:cut], sent[cut:]).ending())
    assert bytewise.ending() is not None


@a_busy_machine_is_no_failure
@given(answers(), st.integers(1, 40))
def test_since_now_is_hopeless_until_a_seq_came(answer, size):
    """With since=now an answer can be ended once a row has told a seq, and until then is hopeless between rows."""
    found, parts = answer
    follower = longpoll(b"since=now")
    assert follower.hopeless
    for data, count in parts:
        for i in range(0, len(data), size):
            follower.feed(data[i : i + size])
        seq = expected_seq(found[:count], None)
        assert follower.hopeless == (seq is None)
        assert (follower.ending() is None) == (seq is None)


garbage = st.one_of(
    st.binary(max_size=200),
    st.text('{}[]",:\\ \r\n5-.seqrultsn', max_size=200).map(str.encode),
    answers().flatmap(
        lambda a: st.tuples(st.just(b"".join(d for d, _ in a[1])), st.integers(0, 200), st.binary(max_size=3)).map(
            lambda t: t[0][: t[1]] + t[2] + t[0][t[1] :]
        )
    ),
)


@a_busy_machine_is_no_failure
@given(garbage, st.integers(1, 30), st.sampled_from((b"longpoll", b"continuous", b"eventsource")))
def test_garbage_never_raises(data, size, feed):
    """Any bytes can be followed; what is kept of them is bounded."""
    follower = FeedFollower.of(b"/db/_changes?feed=" + feed)
    for i in range(0, len(data), size):
        follower.feed(data[i : i + size])
        assert follower.ending() is None or not follower.hopeless


def row(seq, **more):
    return compact({"seq": seq, "id": "a", "changes": [{"rev": "1-a"}], **more})


def test_the_last_string_seq_counts_when_later_rows_have_none():
    """When seq_interval leaves rows without a seq, the last one that came is the place to go on from."""
    body = b'{"results":[\n' + b",\r\n".join(map(row, ("1-a", None, "3-c", None, None)))
    assert json.loads(body + fed(body).ending())["last_seq"] == "3-c"


def test_rows_without_any_seq_leave_since_in_force():
    """When no row told its seq, changes since the request's since come again rather than get lost."""
    body = b'{"results":[\n' + b",\r\n".join(map(row, (None, None, None)))
    assert json.loads(body + fed(body, query=b"since=4-d").ending())["last_seq"] == "4-d"


def test_a_seq_inside_a_document_is_not_taken():
    """Only the row's own seq counts, not one of its document at any depth, before or after."""
    body = b'{"results":[{"doc":{"seq":"8-x","a":[{"seq":"9-x"}]},"seq":"2-b","changes":[{"seq":1}],"x":{"seq":3}}'
    assert json.loads(body + fed(body).ending())["last_seq"] == "2-b"


def test_a_huge_row_is_not_kept():
    """A document of many megabytes, with escapes at the seams, leaves nothing behind but its seq."""
    follower = fed(b'{"results":[\n', row("1-a")[:-1] + b',"doc":{"x":"')
    for piece in (b"QUJD" * 16384, b"\\", b'"', b'a\\"b' * 1000, b"\\\\", b"x\\", b"\\") * 8:
        follower.feed(piece)
        assert follower._kept == b""
        assert follower.ending() is None
    follower.feed(b'"}}')
    assert b'"1-a"' in follower.ending()


@pytest.mark.parametrize("size", [1, 7, 1000, 100000])
def test_many_rows_in_large_pieces(size):
    """Thousands of rows with documents are followed to the last seq whatever the size of the pieces."""
    docs = [{"n": n, "text": ',\n{"seq":"x"', "deep": [[[[[[[[n, {"seq": "no"}]]]]]]]]} for n in range(400)]
    body = b'{"results":[\n' + b",\r\n".join(row(f"{doc['n']}-q", doc=doc) for doc in docs)
    follower = fed(*(body[i : i + size] for i in range(0, len(body), size)))
    whole = json.loads(body + follower.ending())
    assert (whole["last_seq"], len(whole["results"])) == ("399-q", 400)


def test_an_oversized_seq_is_not_taken():
    """A seq longer than what is kept is passed over, and the older one stays in force."""
    body = b'{"results":[\n' + row("1-a") + b",\r\n" + row("2-" + "b" * KEPT)
    assert json.loads(body + fed(body).ending())["last_seq"] == "1-a"


def test_an_unfinished_member_that_is_too_long_is_not_kept():
    """A row whose id does not end within bounds makes the answer one that can only be cut."""
    follower = fed(b'{"results":[{"id":"', *[b"a" * 4096] * 5, b'"}')
    assert follower.hopeless
    assert follower.ending() is None
    assert follower._kept == b""


def test_no_ending_after_a_comma():
    """After a comma the answer waits for the row, and can be ended again behind it."""
    follower = fed(b'{"results":[', row("1-a"), b",\r\n")
    assert follower.ending() is None
    assert not follower.hopeless
    follower.feed(row("2-b"))
    assert b'"2-b"' in follower.ending()


@pytest.mark.parametrize(
    "body",
    [
        b'{"results":[\n{"id":"a","changes":[],"seq":5}\n],\n"last_seq":5}\n',
        b'{"results":[{"id":"a","changes":[],"seq":5}],"last_seq":5}\n',
        b'\n\n{"results":[\n\n\n],\n"last_seq":"0","pending":0}\n',
        b'{"results":[],"last_seq":[1,{"]":"\\"}"}]}',
    ],
)
def test_a_finished_answer_needs_nothing(body):
    """An answer that came to its own end, from CouchDB or the stand-in, is ended with no byte more, and not before."""
    assert fed(body).ending() == b""
    follower = longpoll()
    for i in range(len(body.rstrip()) - 1):
        follower.feed(body[i : i + 1])
        assert follower.ending() != b""


@pytest.mark.parametrize(
    "body",
    [
        b'{"error":"not_found"}',
        b"\x1f\x8b\x08",
        b"<html>",
        b'{"results":{',
        b'{"res ults":[',
        b'{"results":[5',
        b'{"results":[{}{',
        b'{"results":[{},]',
        b'{"results":[\n\n\n{"error":"x"} {"y":1}',
        b'{"results":[],"last_seq":1}x',
    ],
)
def test_an_answer_of_another_form_can_only_be_cut(body):
    """What is not a longpoll answer is hopeless, and stays so whatever follows."""
    follower = fed(body)
    assert follower.hopeless
    follower.feed(b'{"results":[')
    assert follower.hopeless
    assert follower.ending() is None


def test_an_answer_whose_body_has_not_begun_is_given_whole():
    """Before the first byte of the body, or after heartbeats alone, the ending is the whole empty answer."""
    whole = {"results": [], "last_seq": 7, "pending": 0}
    assert json.loads(longpoll().ending()) == whole
    assert json.loads(fed(b"", b"\n", b"\n").ending()) == whole
    assert json.loads(longpoll().empty_answer()) == whole
    assert fed(b'{"resu').ending() is None


@pytest.mark.parametrize(
    ("query", "last_seq"),
    [
        (b"", 0),
        (b"since=0", 0),
        (b"since=42", 42),
        (b"since=042", "042"),
        (b"since=12345678901234567890", "12345678901234567890"),
        (b"since=-1", "-1"),
        (b"since=12-g1AAA", "12-g1AAA"),
        (b"since=12%2Dg1%22AAA", '12-g1"AAA'),
        (b"since=a+b%20c%", "a b c%"),
        (b"since=%5B5%2C%22x%22%5D", '[5,"x"]'),
        (b'since="},"x":{"', '"},"x":{"'),
        (b"since=%0A%C3%A9%00", "\né\0"),
        (b"since=1&since=2", 2),
        (b"since=1;SINCE=3", 3),
        (b"since=1&Last-Event-ID=4", 4),
        (b"since", ""),
        (b"since=5#&since=6", 5),
        (b"%73ince=8", 8),
        (b"since=%D9%A3", "٣"),
    ],
)
def test_since_becomes_last_seq(query, last_seq):
    """The since of the request, read as CouchDB reads it, is the last_seq of an empty answer, as valid JSON."""
    assert json.loads(longpoll(query).empty_answer())["last_seq"] == last_seq


@a_busy_machine_is_no_failure
@given(st.binary(max_size=60))
def test_any_query_gives_valid_json_or_nothing(query):
    """Whatever a client writes as since, the answer is one JSON object with these three members."""
    answer = longpoll(b"since=" + query).empty_answer()
    assert answer is None or set(json.loads(answer)) == {"results", "last_seq", "pending"}


@pytest.mark.parametrize("query", [b"since=now", b"since=1&since=now", b"since=%FF", b"descending=true"])
def test_without_a_known_place_there_is_no_empty_answer(query):
    """When since names no fixed place there is no answer that would not lose changes."""
    follower = longpoll(query)
    assert follower.empty_answer() is None
    assert follower.ending() is None
    assert follower.hopeless


def test_rows_that_run_backwards_are_not_ended():
    """A descending answer has no seq to go on from, so it can only be cut."""
    follower = fed(b'{"results":[', row("9-a"), query=b"descending=true")
    assert follower.hopeless
    assert follower.ending() is None


@pytest.mark.parametrize(
    "target",
    [
        b"/db/_changes",
        b"/db/_changes?",
        b"/db/_changes?feed=normal",
        b"/db/_changes?feed=longpoll&feed=normal",
        b"/db/_changes?feed=Longpoll",
        b"/db/_changes?x=feed=longpoll",
        b"/db/_changes#?feed=longpoll",
    ],
)
def test_a_normal_feed_is_not_followed(target):
    """A feed that CouchDB ends by itself, or refuses, has no follower."""
    assert FeedFollower.of(target) is None


@pytest.mark.parametrize(
    "feed", [b"feed=continuous", b"feed=live", b"FEED=contin%75ous", b"feed=normal&feed=continuous"]
)
def test_continuous_ends_between_lines(feed):
    """A continuous feed may end before its first line and after each newline, and nowhere else."""
    follower = FeedFollower.of(b"/db/_changes?since=now&" + feed)
    assert follower.ending() == b""
    assert follower.empty_answer() is None
    for byte in b'{"seq":"1","id":"a"}':
        follower.feed(bytes((byte,)))
        assert follower.ending() is None
        assert not follower.hopeless
    for piece in (b"\n", b"\n", b"", b'{"seq":2}\n{"seq":3}\n', b'{"last_seq":3,"pending":0}\n'):
        follower.feed(piece)
        assert follower.ending() == b""
    follower.feed(b'{"seq":4}\n{')
    assert follower.ending() is None


def test_eventsource_ends_between_events():
    """An eventsource feed may end before its first event and after each empty line, and nowhere else."""
    follower = FeedFollower.of(b"/db/_changes?feed=eventsource")
    assert follower.ending() == b""
    for event in (b'data: {"seq":1}\nid: 1\n\n', b"event: heartbeat\ndata: \n\n", b": x\r\n\r\n"):
        for i in range(len(event)):
            assert follower.ending() == (b"" if i == 0 else None)
            follower.feed(event[i : i + 1])
        assert follower.ending() == b""
    assert follower.empty_answer() is None


@pytest.mark.parametrize(
    ("feed", "body"),
    [(b"continuous", b"\x1f\x8b\n"), (b"continuous", b"data: x\n\n"), (b"eventsource", b'{"error":"x"}\n\n')],
)
def test_lines_of_another_form_can_only_be_cut(feed, body):
    """A line feed that begins as another kind of answer is hopeless."""
    follower = FeedFollower.of(b"/db/_changes?feed=" + feed)
    follower.feed(body)
    assert follower.hopeless
    assert follower.ending() is None


def test_a_longpoll_waits_until_its_first_row():
    """Before it has a row it waits, begun or not; with one, or within one, it does not, nor does another feed."""
    follower = FeedFollower.of(b"/db/_changes?feed=longpoll&since=7")
    assert follower.waits
    follower.feed(b'{"results":[\n')
    assert follower.waits
    follower.feed(b"\n")
    assert follower.waits
    follower.feed(b'{"seq":null')
    assert not follower.waits
    follower.feed(b',"id":"a","changes":[]}')
    assert not follower.waits
    assert not FeedFollower.of(b"/db/_changes?feed=continuous&since=7").waits
