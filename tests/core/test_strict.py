"""`couchgate.core.strict`: base64url and JSON in one reading only."""

from __future__ import annotations

import json
from base64 import b64encode, urlsafe_b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from couchgate.core.strict import base64_text, base64url, json_object


@given(st.binary(max_size=200))
def test_base64url_round_trip(data):
    """Every string of bytes is read back from its canonical spelling."""
    assert base64url(urlsafe_b64encode(data).rstrip(b"=")) == data


@given(st.one_of(st.binary(max_size=12), st.text("AQgwE-_+/= ", max_size=8).map(str.encode)))
def test_base64url_one_spelling(text):
    """What is accepted is the one canonical spelling of its bytes."""
    try:
        data = base64url(text)
    except ValueError:
        return
    assert urlsafe_b64encode(data).rstrip(b"=") == text


@pytest.mark.parametrize(
    "text", [b"A", b"AAAAA", b"AB", b"AAB", b"AA==", b"AA=", b"=", b"A A", b"AAAA\n", b"+AAA", b"/w"]
)
def test_base64url_refuses(text):
    """Padding, white space, the other alphabet, lost letters and set spare bits are refused."""
    with pytest.raises(ValueError, match="base64url"):
        base64url(text)


@given(st.text(max_size=60))
def test_base64_text_round_trip(text):
    """Every text is read back from its canonical spelling."""
    try:
        encoded = b64encode(text.encode())
    except UnicodeEncodeError:  # a lone surrogate
        return
    assert base64_text(encoded) == text


@pytest.mark.parametrize("text", [b"QQ", b"QQ=", b"QR==", b"QQ==\n", b"QQ==QQ==", b"Q Q==", b"-_--", b"/w==", b"\xff"])
def test_base64_text_refuses(text):
    """Lost padding, set spare bits, foreign letters and what is not UTF-8 are refused without being shown."""
    with pytest.raises(ValueError, match="canonical base64") as caught:
        base64_text(text)
    assert caught.value.__context__ is None


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**9), 10**9)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), JSON, max_size=4))
def test_json_object_round_trip(members):
    """Every JSON object is read as what it says, with white space around it."""
    assert json_object(b" \r\n" + json.dumps(members).encode() + b"\t") == members


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"null",
        b'"{}"',
        b"{} {}",
        b"{},",
        b"{",
        b"\xef\xbb\xbf{}",
        b'{"a":1,"a":1}',
        b'{"b":{"a":1,"\\u0061":2}}',
        b'{"a":NaN}',
        b'{"a":Infinity}',
        b'{"a":-Infinity}',
        b'{"a":"\xff"}',
        b'{"a":"\xed\xa0\x80"}',
        b'{"a":"\x00"}',
        b"{'a':1}",
        b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"a":' + b"9" * 5000 + b"}",
        "{}".encode("utf-16"),
        b"\x0b{}",
        b"\xc2\xa0{}",
    ],
)
def test_json_object_refuses(data):
    """Anything but one object in plain UTF-8 with unique names and finite numbers is a ValueError."""
    with pytest.raises(ValueError, match="JSON"):
        json_object(data)


def test_json_error_holds_no_document():
    """The error of an unreadable document does not carry the document."""
    with pytest.raises(ValueError, match="JSON") as caught:
        json_object(b'{"k":"hush"')
    assert "hush" not in repr(caught.value)
    assert caught.value.__context__ is None
