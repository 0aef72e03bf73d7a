"""A token sits in one Authorization field or nowhere."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from couchgate.core.credential import bearer
from couchgate.core.errors import BadRequest, GateError, Unauthorized
from couchgate.core.message import Fields


def test_no_field_is_no_token():
    """Without an Authorization field there is no token, whatever else the request holds."""
    assert bearer(Fields.of((b"Cookie", b"AuthSession=x"), (b"Proxy-Authorization", b"Bearer x"))) is None


@pytest.mark.parametrize("value", [b"Bearer a.b-c_d~e+f/g==", b"bEARER a.b-c_d~e+f/g==", b"Bearer   a.b-c_d~e+f/g=="])
def test_the_token_is_what_follows_the_scheme(value):
    """The scheme is read in any case, with any number of spaces behind it."""
    assert bearer(Fields.of((b"AUTHORIZATION", value))) == b"a.b-c_d~e+f/g=="


def test_two_fields_are_refused():
    """Two Authorization fields are a 400, even if they are the same."""
    with pytest.raises(BadRequest) as caught:
        bearer(Fields.of((b"Authorization", b"Bearer x"), (b"authorization", b"Bearer x")))
    assert caught.value.code == "credential_duplicate"


@pytest.mark.parametrize("value", [b"Basic ZXZpbDpldmls", b"", b"Bearerx y", b"Bearer\tx"])
def test_another_scheme_is_refused(value):
    """Whatever does not use the scheme Bearer is a 401 that offers Bearer."""
    with pytest.raises(Unauthorized) as caught:
        bearer(Fields.of((b"Authorization", value)))
    assert caught.value.code == "token_scheme"
    assert caught.value.headers[0][1].startswith(b"Bearer")


@pytest.mark.parametrize(
    "value",
    [b"Bearer", b"Bearer ", b"Bearer a b", b"Bearer a,b", b"Bearer =a", b"Bearer \xff"],
)
def test_a_malformed_token_is_refused(value):
    """What follows the scheme must be one token68."""
    with pytest.raises(Unauthorized) as caught:
        bearer(Fields.of((b"Authorization", value)))
    assert caught.value.code == "token_malformed"


REASONS = {
    "A request may have one Authorization field.",
    "The Authorization field must use the scheme Bearer.",
    "The Authorization field holds no well-formed token.",
}


def outcome(fields):
    """The token, or the reason of the refusal."""
    try:
        return bearer(fields)
    except GateError as error:
        return error.reason


# What a header value can hold at all (RFC 9110 5.5); http1 refuses the rest before.
VALUES = st.binary(max_size=40).map(lambda value: value.translate(None, bytes(range(32)) + b"\x7f"))


@given(st.lists(VALUES, max_size=3), st.sampled_from([b"", b"Bearer ", b"Basic "]))
def test_hostile_fields_give_a_token_or_a_refusal_that_tells_nothing(values, scheme):
    """Only a GateError is raised, and its text does not depend on the bytes that were sent."""
    found = outcome(Fields.of(*((b"Authorization", scheme + value) for value in values)))
    if isinstance(found, bytes):
        assert (scheme + values[0]).strip().endswith(found)
    else:
        assert found in REASONS if values else found is None
