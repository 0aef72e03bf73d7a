"""Design documents in request bodies: found however they are written, and nothing else refused."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from couchgate.core.body import BodyJudge, check_encoding
from couchgate.core.errors import BadRequest, Forbidden, GateError, UnsupportedBody
from couchgate.core.message import Fields

a_busy_machine_is_no_failure = settings(deadline=None)
LONGEST_BEGINNING = 75


class Members(list):
    """An object as its members in order, duplicates kept."""


def verdict(pieces):
    judge = BodyJudge()
    try:
        for piece in pieces:
            judge.feed(piece)
            assert len(judge._begun) <= LONGEST_BEGINNING
        judge.finish()
    except GateError as error:
        return error.code
    return None


def in_pieces(body, rng, most=9):
    """Cut anywhere, mostly into few bytes."""
    pieces = []
    while body:
        size = rng.randint(1, most)
        pieces.append(body[:size])
        body = body[size:]
    return pieces


def written(value, rng):
    """The value as JSON, with every freedom that RFC 8259 leaves taken at random."""

    def space():
        return rng.choice(("", "", "", " ", "\n", " \t\r\n" * rng.randint(1, 40)))

    def character(c):
        units = c.encode("utf-16-be")
        escaped = "".join(f"\\u{units[i]:02x}{units[i + 1]:02x}" for i in range(0, len(units), 2))
        shorts = {'"': '\\"', "\\": "\\\\", "/": "\\/", "\n": "\\n", "\t": "\\t", "\r": "\\r", "\b": "\\b", "\f": "\\f"}
        ways = [escaped, "\\u" + escaped[2:].upper() if len(units) == 2 else escaped]
        if c in shorts:
            ways.append(shorts[c])
        if c not in '"\\' and c >= " ":
            ways += [c] * 6
        return rng.choice(ways)

    def string(text):
        return '"' + "".join(map(character, text)) + '"'

    if isinstance(value, Members):
        inner = ",".join(space() + string(k) + space() + ":" + space() + written(v, rng) + space() for k, v in value)
        return "{" + inner + space() + "}"
    if isinstance(value, list):
        return "[" + ",".join(space() + written(v, rng) + space() for v in value) + "]"
    return string(value) if isinstance(value, str) else json.dumps(value)


def names_design(value):
    """What a parser that sees every member says."""
    if isinstance(value, Members):
        return any(
            (k == "_id" and isinstance(v, str) and v.startswith("_design/")) or names_design(v) for k, v in value
        )
    return isinstance(value, list) and any(map(names_design, value))


texts = st.one_of(
    st.text(st.characters(exclude_categories=("Cs",)), max_size=8),
    st.text(st.sampled_from('_id/\\"design: {}'), max_size=12),
    st.sampled_from(
        ("_design/x", "_design/", "_design", "_designs/x", "_local/x", "design/x", " _design/x", '"_id":"_design/x')
    ),
)
keys = st.one_of(st.sampled_from(("_id", "_id", "id", "_id ", "_ID", "docs", '\\"_id', '"_id"')), texts)
values = st.recursive(
    st.one_of(texts, st.integers(), st.booleans(), st.none()),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.lists(st.tuples(keys, inner), max_size=5).map(Members)),
    max_leaves=12,
)
bodies = st.lists(st.tuples(keys, values), max_size=5).map(Members)


@a_busy_machine_is_no_failure
@given(bodies, st.randoms(use_true_random=False))
def test_verdict_is_that_of_a_parser(value, rng):
    """Any JSON object, however spelled and however cut, gets the verdict of a parser that sees duplicate keys."""
    text = written(value, rng)
    assert json.loads(text, object_pairs_hook=Members) == value
    body = text.encode()
    expected = "design_in_body" if names_design(value) else None
    assert verdict([body]) == expected
    assert verdict(in_pieces(body, rng)) == expected
    assert verdict(in_pieces(body, rng, 80)) == expected


@a_busy_machine_is_no_failure
@given(st.randoms(use_true_random=False), st.sampled_from(("_design/x", "_design/é😀")))
def test_every_spelling_of_a_design_id_is_found_at_every_cut(rng, name):
    """A bulk body that names a design document is refused whichever two pieces it comes in."""
    body = written(Members([("docs", [Members([("_id", "a"), ("_id", name)])])]), rng).encode()
    for cut in range(len(body) + 1):
        assert verdict([body[:cut], body[cut:]]) == "design_in_body"


@a_busy_machine_is_no_failure
@given(st.one_of(st.binary(max_size=300), st.text('\\"_id:/design{} u05f', max_size=300).map(str.encode)), st.randoms())
def test_garbage_is_judged_without_surprise(body, rng):
    """Bytes of any kind are taken or refused with a GateError, and little of them is kept."""
    verdict([body])
    verdict(in_pieces(body, rng))


@pytest.mark.parametrize(
    "body",
    [
        rb'{"_id":"_design/x"}',
        rb'{"\u005fid":"_design/x"}',
        rb'{"\u005F\u0069\u0064":"\u005Fdesign\/x"}',
        rb'{"_id":"_design\u002Fx"}',
        b'{"_id" \r\n\t: \n "_design/x"}',
        b'{"_id":"_design/x","_id":"a"}',
        b'{"_id":"a","_id":"_design/x"}',
        b'{"docs":[{"_id":"a"},{"x":1,"_id":"_design/x"}]}',
        b'{"a":{"b":{"_id":"_design/x"}}}',
        b'\xef\xbb\xbf{"_id":"_design/x"}',
        rb'{"a":"\\","_id":"_design/x"}',
        rb'{"a":"\"","_id":"_design/x"}',
    ],
)
def test_design_ids_are_refused(body):
    """A design document id is found through escapes, white space, duplicates, depth and a byte order mark."""
    assert verdict([body]) == "design_in_body"
    assert verdict([body[i : i + 1] for i in range(len(body))]) == "design_in_body"


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b' {"docs":[]} \r\n\t',
        b'{"_id":"_design"}',
        b'{"_id":"_designer/x"}',
        b'{"_id":"_local/x"}',
        b'{"_id":["_design/x"]}',
        b'{"id":"_design/x"}',
        b'{"a":"_id","b":"_design/x"}',
        b'{"_id":"x","a":"_design/x"}',
        rb'{"text":"\"_id\":\"_design/x\""}',
        rb'{"x\"_id":"_design/x"}',
        rb'{"x\\\"_id":"_design/x"}',
        rb'{"_id":"\\u005fdesign/x"}',
        rb'{"\\u005fid":"_design/x"}',
        b'{"_id":"\xc1\x9fdesign/x"}',
    ],
)
def test_other_bodies_pass(body):
    """What CouchDB would not store as a design document passes, even when it talks about one."""
    assert verdict([body]) is None
    assert verdict([body[i : i + 1] for i in range(len(body))]) is None


def test_white_space_of_any_length_hides_nothing():
    """Megabytes of white space around the colon, in many pieces, are not kept and hide no design document."""
    space = b" \t\r\n" * 4096
    pieces = [b'{"_id"', *[space] * 64, b":", *[space] * 64, b'"_des', b'ign/x"}']
    assert verdict(pieces) == "design_in_body"


def test_a_huge_string_is_not_kept():
    """A string of many megabytes passes through with nothing held between its pieces."""
    judge = BodyJudge()
    judge.feed(b'{"_attachments":{"a":{"data":"')
    for _ in range(256):
        judge.feed(b"QUJD" * 16384)
        assert judge._begun == b""
    judge.feed(b'"}}}')
    judge.finish()


def test_a_refused_body_stays_refused():
    """After a design document was found every further piece and the end are refused too."""
    judge = BodyJudge()
    with pytest.raises(Forbidden):
        judge.feed(b'{"_id":"_design/x"}')
    with pytest.raises(Forbidden):
        judge.feed(b" ")
    with pytest.raises(Forbidden):
        judge.finish()


@pytest.mark.parametrize(
    "body", [b"", b" \n", b'{"_id":"a', b'{"_id":"_desi', b'{"a":"x\\', b'{"_id"', b"[]", b'{"a":1']
)
def test_a_body_that_ends_too_early_is_refused(body):
    """A body that does not end as an object ends is unreadable, as CouchDB would say too."""
    judge = BodyJudge()
    judge.feed(body)
    with pytest.raises(BadRequest) as caught:
        judge.finish()
    assert caught.value.code == "body_unreadable"


JSON = (b"Content-Type", b"application/json")


@pytest.mark.parametrize(
    "pairs",
    [
        (JSON,),
        (JSON, (b"Content-Encoding", b"identity")),
        ((b"content-type", b"Application/JSON; charset=UTF-8"),),
        ((b"Content-Type", b'application/json ;charset="utf-8"; x=y'),),
        ((b"Content-Type", b"application/json;charset=us-ascii"),),
    ],
)
def test_plain_json_may_be_judged(pairs):
    """A body that is said to be JSON in an encoding like ASCII can be judged."""
    check_encoding(Fields.of(*pairs))


@pytest.mark.parametrize(
    "pairs",
    [
        (),
        (JSON, JSON),
        (JSON, (b"Content-Encoding", b"gzip")),
        (JSON, (b"Content-Encoding", b"")),
        (JSON, (b"Content-Encoding", b"identity"), (b"Content-Encoding", b"gzip")),
        (JSON, (b"Content-Encoding", b"identity, gzip")),
        ((b"Content-Type", b"text/plain"),),
        ((b"Content-Type", b"multipart/related; boundary=x"),),
        ((b"Content-Type", b"application/x-www-form-urlencoded"),),
        ((b"Content-Type", b"application/json; charset=utf-16"),),
        ((b"Content-Type", b"application/json; charset=utf-7"),),
        ((b"Content-Type", b"application/json; charset=utf-8; charset=utf-16"),),
        ((b"Content-Type", b"application/json; charset*=utf-8''utf-16"),),
    ],
)
def test_bodies_that_could_be_read_otherwise_are_refused(pairs):
    """Compression, other types and charsets unlike ASCII are 415 before a byte of the body is read."""
    with pytest.raises(UnsupportedBody):
        check_encoding(Fields.of(*pairs))
