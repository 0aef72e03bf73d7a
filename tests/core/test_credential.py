"""A token sits in one Authorization field or nowhere."""

from __future__ import annotations

from base64 import b64decode, b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from couchgate.core import credential
from couchgate.core.credential import NO_BASIC, BasicCredential, BasicRules
from couchgate.core.errors import BadRequest, GateError, Unauthorized
from couchgate.core.message import NO_BODY, Fields, RequestHead


def read(fields, basic=NO_BASIC, *, cut=b""):
    """What a request with these fields shows, from which http1 has cut the token `cut`."""
    return credential.read(RequestHead(b"GET", b"/", 11, fields, NO_BODY, cut), basic)


def test_no_field_is_no_token():
    """Without an Authorization field there is no token, whatever else the request holds."""
    assert read(Fields.of((b"Cookie", b"AuthSession=x"), (b"Proxy-Authorization", b"Bearer x"))) is None


@pytest.mark.parametrize("value", [b"Bearer a.b-c_d~e+f/g==", b"bEARER a.b-c_d~e+f/g==", b"Bearer   a.b-c_d~e+f/g=="])
def test_the_token_is_what_follows_the_scheme(value):
    """The scheme is read in any case, with any number of spaces behind it."""
    assert read(Fields.of((b"AUTHORIZATION", value))) == b"a.b-c_d~e+f/g=="


def test_a_token_that_was_cut_out_is_the_token():
    """What http1 found in the usual spelling needs no field."""
    assert read(Fields.of((b"Host", b"x")), cut=b"a.b.c") == b"a.b.c"


@pytest.mark.parametrize("cut", [b"", b"x"])
def test_two_fields_are_refused(cut):
    """Two Authorization fields are a 400, even if they are the same, and if one was cut out."""
    rest = [(b"authorization", b"Bearer x")] if cut else [(b"authorization", b"Bearer x")] * 2
    with pytest.raises(BadRequest) as caught:
        read(Fields.of(*rest), cut=cut)
    assert caught.value.code == "credential_duplicate"


@pytest.mark.parametrize("value", [b"Basic ZXZpbDpldmls", b"", b"Bearerx y", b"Bearer\tx"])
def test_another_scheme_is_refused(value):
    """Whatever does not use the scheme Bearer is a 401 that offers Bearer."""
    with pytest.raises(Unauthorized) as caught:
        read(Fields.of((b"Authorization", value)))
    assert caught.value.code == "token_scheme"
    assert caught.value.headers[0][1].startswith(b"Bearer")


@pytest.mark.parametrize(
    "value",
    [b"Bearer", b"Bearer ", b"Bearer a b", b"Bearer a,b", b"Bearer =a", b"Bearer \xff"],
)
def test_a_malformed_token_is_refused(value):
    """What follows the scheme must be one token68."""
    with pytest.raises(Unauthorized) as caught:
        read(Fields.of((b"Authorization", value)))
    assert caught.value.code == "token_malformed"


REASONS = {
    "A request may have one Authorization field.",
    "The Authorization field must use the scheme Bearer.",
    "The Authorization field holds no well-formed token.",
    "The Authorization field holds no well-formed name and password.",
}


PASSWORDS = BasicRules(passwords=True)
TOKENS = BasicRules(tokens=True)
BOTH = BasicRules(passwords=True, tokens=True)
RULES = st.sampled_from([BasicRules(), PASSWORDS, TOKENS, BOTH])


def basic(name, password, scheme=b"Basic "):
    """Header fields with this name and password."""
    return Fields.of((b"Authorization", scheme + b64encode(f"{name}:{password}".encode())))


def refused(fields, rules):
    """The code with which they are refused."""
    with pytest.raises(Unauthorized) as caught:
        read(fields, rules)
    assert caught.value.headers[0][1].startswith(b"Bearer")
    return caught.value.code


@pytest.mark.parametrize(
    ("name", "password"), [("alice", "p:a:ss"), ("jörg", "pä ss "), ("_jwt", "x"), ("a" * 256, "p" * 1024)]
)
@pytest.mark.parametrize("scheme", [b"Basic ", b"bASIC   "])
def test_a_name_and_a_password_are_parted_at_the_first_colon(name, password, scheme):
    """Both are UTF-8 (RFC 7617); neither shows in a repr."""
    found = read(basic(name, password, scheme), PASSWORDS)
    assert isinstance(found, BasicCredential)
    assert (found.name, found.password) == (name, password)
    assert repr(found) == "<BasicCredential>"


@pytest.mark.parametrize(
    "text",
    [b"alice", b":x", b"alice:", b"", b":", b"al\x00ice:x", b"alice:x\n", b"alice:\xc2\x85", b"\xff:x",
     b"a" * 257 + b":x", b"alice:" + b"x" * 1025, b"a:" + b"x" * 20000],
)  # fmt: skip
def test_what_is_no_name_and_password_is_refused(text):
    """Both must be there, in UTF-8, without control characters, and of bounded length."""
    fields = Fields.of((b"Authorization", b"Basic " + b64encode(text)))
    assert refused(fields, PASSWORDS) == "basic_malformed"


@pytest.mark.parametrize(
    "encoded", [b"YTpi=", b"YTp iYTp", b"YTo", b"YQ==YQ==", b"YT=pi", b"YTq-", b"YTpiYx==", b"", b"\xff"]
)
def test_only_canonical_base64_is_read(encoded):
    """Missing padding, foreign letters, set spare bits and anything behind the end are refused."""
    assert refused(Fields.of((b"Authorization", b"Basic " + encoded)), PASSWORDS) == "basic_malformed"


def test_a_password_is_refused_as_another_scheme_unless_asked_for():
    """Off, Basic is any other scheme; with tokens only, it is so for everybody but the user _jwt."""
    assert refused(basic("alice", "x"), BasicRules()) == "token_scheme"
    assert refused(basic("_jwt", "x"), BasicRules()) == "token_scheme"
    assert refused(basic("alice", "x"), TOKENS) == "token_scheme"


@pytest.mark.parametrize("rules", [TOKENS, BOTH])
def test_a_token_may_be_the_password_of_the_user_jwt(rules):
    """It is then the same token as behind Bearer, held to the same form, and never a password."""
    token = "a.b-c_d~e+f/g==" + "x" * 8000
    assert refused(basic("_jwt", token), rules) == "token_malformed"
    token = token.replace("=", "")
    assert read(basic("_jwt", token), rules) == token.encode()
    for wrong in ("", "a b", "ä"):
        assert refused(basic("_jwt", wrong), rules) == "token_malformed"


def test_two_fields_of_any_scheme_are_refused():
    """A token beside a password is a 400: the gate would have to choose."""
    fields = Fields.of((b"Authorization", b"Bearer x"), (b"Authorization", b"Basic YTpi"))
    with pytest.raises(BadRequest):
        read(fields, BOTH)


@given(st.text(max_size=12), st.text(max_size=12), RULES)
def test_what_is_read_is_what_was_written(name, password, rules):
    """A credential comes back as it was, or not at all."""
    try:
        found = read(basic(name, password), rules)
    except Unauthorized:
        return
    if isinstance(found, bytes):
        assert (name, password.encode()) == ("_jwt", found)
    else:
        assert f"{found.name}:{found.password}" == f"{name}:{password}"
        assert ":" not in found.name


@given(st.one_of(st.binary(max_size=24), st.text("YTpiAgQ=+/", max_size=12).map(str.encode)))
def test_a_name_and_password_have_one_spelling(encoded):
    """Whatever is accepted is the one canonical spelling of its bytes."""
    encoded = encoded.translate(None, bytes(range(33)) + b"\x7f")
    found = outcome(Fields.of((b"Authorization", b"Basic " + encoded)), PASSWORDS)
    if isinstance(found, BasicCredential):
        assert b64encode(f"{found.name}:{found.password}".encode()) == encoded
        assert b64decode(encoded, validate=True).partition(b":")[2] == found.password.encode()


def outcome(fields, rules=NO_BASIC):
    """The token, or the reason of the refusal."""
    try:
        return read(fields, rules)
    except GateError as error:
        return error.reason


# What a header value can hold at all (RFC 9110 5.5); http1 refuses the rest before.
VALUES = st.binary(max_size=40).map(lambda value: value.translate(None, bytes(range(32)) + b"\x7f"))


@given(st.lists(VALUES, max_size=3), st.sampled_from([b"", b"Bearer ", b"Basic "]), RULES)
def test_hostile_fields_give_a_credential_or_a_refusal_that_tells_nothing(values, scheme, rules):
    """Only a GateError is raised, and its text does not depend on the bytes that were sent."""
    found = outcome(Fields.of(*((b"Authorization", scheme + value) for value in values)), rules)
    if isinstance(found, BasicCredential):
        assert rules.passwords
    elif isinstance(found, bytes) and not rules.tokens:
        assert (scheme + values[0]).strip().endswith(found)
    elif not isinstance(found, bytes):
        assert found in REASONS if values else found is None
