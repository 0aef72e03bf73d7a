"""Heads as values: fields keep their order and case, compare by lower-case name, and show no value."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from couchgate.core.errors import BadRequest
from couchgate.core.message import CHUNKED, NO_BODY, Fields, Framing, Peer, RequestHead, ResponseHead

FIELDS = Fields.of(
    (b"Host", b"x"), (b"X-A", b"1"), (b"x-a", b"2"), (b"AUTHORIZATION", b"Bearer s3cret"), (b"x-Empty", b"")
)


def test_fields_keep_order_case_and_duplicates():
    """What was sent is there as it was sent."""
    assert FIELDS.pairs[1:3] == ((b"X-A", b"1"), (b"x-a", b"2"))
    assert FIELDS.block.startswith(b"\r\nHost: x\r\nX-A: 1\r\n")


def test_fields_are_found_by_lower_case_name():
    """Special or not, every value of a name is found in order, and an absent one is not there."""
    assert FIELDS.all(b"x-a") == (b"1", b"2")
    assert FIELDS.all(b"authorization") == (b"Bearer s3cret",)
    assert (FIELDS.first(b"host"), FIELDS.first(b"x-a"), FIELDS.first(b"x-b")) == (b"x", b"1", None)
    assert b"x-empty" in FIELDS
    assert b"authorization" in FIELDS
    assert b"cookie" not in FIELDS
    assert FIELDS.all(b"cookie") == ()


def test_special_fields_are_kept_apart_by_the_name_that_was_sent():
    """`_` is read as `-` when a field is set aside, and not when it is asked for."""
    fields = Fields.of((b"Content_Length", b"1"), (b"content-length", b"2"), (b"Content-LENGTH", b"3"), (b"A", b"4"))
    assert fields.special == {b"content_length": (b"1",), b"content-length": (b"2", b"3")}
    assert fields.lines == b"\r\nA: 4"


def test_fields_are_equal_by_their_bytes():
    """Two blocks are equal if they are the same bytes; nothing else is equal to one."""
    same = Fields(FIELDS.block)
    assert same == FIELDS
    assert hash(same) == hash(FIELDS)
    assert Fields.of((b"host", b"x")) != Fields.of((b"Host", b"x"))
    assert Fields() != b""
    assert Fields().pairs == ()


def test_a_repr_names_fields_and_shows_no_value():
    """A value may be a token, so it is not shown."""
    assert repr(FIELDS) == "Fields(Host, X-A, x-a, AUTHORIZATION, x-Empty)"
    assert "s3cret" not in repr(FIELDS)


@pytest.mark.parametrize("block", [b"Host: x", b"\r\nHost : x", b"\r\nX", b"\r\nX: a\r\n b", b"\r\nX: \x00s3cret"])
def test_a_malformed_block_is_refused_without_a_quote(block):
    """What is no block of lines is 400, and the reason holds nothing of it."""
    with pytest.raises(BadRequest) as caught:
        Fields(block)
    assert caught.value.code == "field_malformed"
    assert "s3cret" not in str(caught.value)


@given(
    st.lists(
        st.tuples(
            st.sampled_from([b"Host", b"hOST", b"X-a", b"x-A", b"Cookie", b"TE"]), st.sampled_from([b"", b"1", b"a b"])
        )
    )
)
def test_all_agrees_with_the_pairs(pairs):
    """Every name gives just the values that were sent under it, in order."""
    fields = Fields.of(*pairs)
    assert fields.pairs == tuple(pairs)
    for lower in (b"host", b"x-a", b"cookie", b"te", b"none"):
        assert fields.all(lower) == tuple(value for name, value in pairs if name.lower() == lower)


def test_a_special_field_of_a_response_is_found_by_name():
    """The first value counts, and an absent field is None."""
    head = ResponseHead(200, b"OK", 11, b"", [(b"set-cookie", b"a"), (b"set-cookie", b"b")], NO_BODY)
    assert head.special_value(b"set-cookie") == b"a"
    assert head.special_value(b"server") is None


@pytest.mark.parametrize(
    ("address", "secure", "lines"),
    [
        ("192.0.2.1", False, b"X-Forwarded-Proto: http\r\nX-Forwarded-For: 192.0.2.1\r\n"),
        ("2001:db8::1", True, b"X-Forwarded-Proto: https\r\nX-Forwarded-For: 2001:db8::1\r\n"),
        ("", True, b"X-Forwarded-Proto: https\r\n"),
    ],
)
def test_couchdb_is_told_of_the_peer(address, secure, lines):
    """The scheme always, the address where there is one."""
    peer = Peer.of(address, secure=secure)
    assert peer == (address, secure, lines)


def test_heads_are_values():
    """Two with the same parts are equal and have one hash; one that differs in any part is not, nor another kind."""
    request = (b"GET", b"/a", 11, Fields.of((b"Host", b"x")), NO_BODY, b"a.b.c")
    others = (b"PUT", b"/b", 10, Fields(), CHUNKED, b"")
    assert RequestHead(*request) == RequestHead(*request)
    assert hash(RequestHead(*request)) == hash(RequestHead(*request))
    for index, other in enumerate(others):
        assert RequestHead(*request) != RequestHead(*request[:index], other, *request[index + 1 :])
    response = (200, b"OK", 11, b"\r\nA: b", [(b"server", b"x")], Framing("length", 3))
    others = (201, b"", 10, b"", [], Framing("length", 4))
    assert ResponseHead(*response) == ResponseHead(*response)
    assert hash(ResponseHead(*response)) == hash(ResponseHead(*response))
    for index, other in enumerate(others):
        assert ResponseHead(*response) != ResponseHead(*response[:index], other, *response[index + 1 :])
    assert len({Framing("length", 3), Framing("length", 3), Framing("close")}) == 2
    assert RequestHead(*request) != ResponseHead(*response) != Framing("close") != RequestHead(*request)


def test_a_heads_repr_holds_no_token():
    """What a log or a debugger shows of a request has names and its framing, and neither target nor token."""
    head = RequestHead(
        b"GET", b"/a?token=s3cret", 11, Fields.of((b"Cookie", b"s3cret")), Framing("length", 3), b"s3cret"
    )
    assert repr(head) == "RequestHead(b'GET', version=11, Fields(Cookie), Framing('length', 3))"
