"""CouchDB is told who comes, in its own forms."""

from __future__ import annotations

import base64
import hashlib
import math
import time

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from couchgate.core.identity import (
    JWT_MARGIN,
    JWT_SECONDS,
    BasicIntroduction,
    JwtIntroduction,
    NoIntroduction,
    ProxyIntroduction,
)
from couchgate.core.principal import Principal

NOW = 1_700_000_000.0
SECRET = b"a secret of more than thirty-two bytes"


def person(name="alice", *roles, issuer="https://id.example/", token_id=None):
    return Principal(issuer, name, roles, None, token_id)


def fields(lines):
    """The header lines as a dict; each ends in CRLF."""
    assert not lines or lines.endswith(b"\r\n")
    return dict(line.split(b": ", 1) for line in lines.split(b"\r\n")[:-1])


@pytest.mark.parametrize(
    ("digest", "token"),
    [  # RFC 4231 4.3 and RFC 2202 3, test case 2: key "Jefe", data "what do ya want for nothing?"
        ("sha256", b"5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"),
        ("sha1", b"effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"),
    ],
)
def test_the_proxy_token_is_the_hmac_of_the_name_in_hex(digest, token):
    """The published vectors of HMAC are what CouchDB will compute of the name."""
    introduction = ProxyIntroduction(b"Jefe", digest)
    assert fields(introduction.lines(person("what do ya want for nothing?"), NOW)[0]) == {
        b"X-Auth-CouchDB-UserName": b"what do ya want for nothing?",
        b"X-Auth-CouchDB-Roles": b"",
        b"X-Auth-CouchDB-Token": token,
    }


def hmac_by_hand(key, data):
    """RFC 2104, written out."""
    key = (hashlib.sha256(key).digest() if len(key) > 64 else key).ljust(64, b"\0")
    inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in key) + data).digest()
    return hashlib.sha256(bytes(byte ^ 0x5C for byte in key) + inner).hexdigest().encode()


@given(st.binary(min_size=1, max_size=100), st.text(st.characters(min_codepoint=33, codec="utf-8"), min_size=1))
def test_the_proxy_token_covers_the_names_utf8(secret, name):
    """Whatever the name, its UTF-8 is sent and signed."""
    lines, _ = ProxyIntroduction(secret).lines(person(name), NOW)
    assert b"X-Auth-CouchDB-UserName: " + name.encode() + b"\r\n" in lines
    assert lines.endswith(b"X-Auth-CouchDB-Token: " + hmac_by_hand(secret, name.encode()) + b"\r\n")


def test_roles_are_joined_by_commas_and_belong_to_their_person():
    """The same name with other roles is introduced with those, also when it came before."""
    introduction = ProxyIntroduction(SECRET)
    assert fields(introduction.lines(person("a", "x", "y z"), NOW)[0])[b"X-Auth-CouchDB-Roles"] == b"x,y z"
    assert fields(introduction.lines(person("a"), NOW)[0])[b"X-Auth-CouchDB-Roles"] == b""
    assert fields(introduction.lines(person("b", "x"), NOW)[0])[b"X-Auth-CouchDB-UserName"] == b"b"


def token_of(lines):
    ((name, value),) = fields(lines).items()
    assert name == b"Authorization"
    scheme, token = value.split(b" ")
    assert scheme == b"Bearer"
    return token


def test_couchdb_can_verify_the_gates_own_token():
    """A JWT library with the shared secret accepts it now, and finds name, roles and expiry."""
    now = time.time()
    token = token_of(JwtIntroduction(SECRET).lines(person("\u00e4lice", "x", "y"), now)[0])
    assert jwt.get_unverified_header(token) == {"alg": "HS256", "typ": "JWT"}
    claims = jwt.decode(token, SECRET, algorithms=["HS256"], options={"require": ["exp", "sub"]})
    assert claims == {"sub": "\u00e4lice", "_couchdb.roles": ["x", "y"], "exp": int(now) + JWT_SECONDS}
    with pytest.raises(jwt.InvalidSignatureError):
        jwt.decode(token, SECRET + b"!", algorithms=["HS256"])


@given(st.floats(0, 1e10))
def test_the_gates_own_token_is_good_beyond_the_time_for_which_it_is_kept(now):
    """Whenever it was made: while it may be used again, it is good for its margin, and for some minutes at most."""
    lines, until = JwtIntroduction(SECRET).lines(person(), now)
    expires = jwt.decode(token_of(lines), options={"verify_signature": False})["exp"]
    assert now < until <= expires - JWT_MARGIN
    assert expires <= now + JWT_SECONDS


def test_each_person_has_a_token_of_their_own():
    """Name and roles are the person's, from one introduction for all."""
    introduction = JwtIntroduction(SECRET)
    for each in (person("a"), person("b"), person("a", "x")):
        claims = jwt.decode(token_of(introduction.lines(each, NOW)[0]), options={"verify_signature": False})
        assert (claims["sub"], tuple(claims["_couchdb.roles"])) == (each.name, each.roles)


def test_a_service_account_is_the_same_for_all():
    """Basic credentials (RFC 7617) in UTF-8, whoever comes."""
    introduction = BasicIntroduction("couchgate", "p\u00e4ss:word")
    lines, until = introduction.lines(person("a"), NOW)
    assert (lines, until) == introduction.lines(person("b"), NOW + 1e9)
    assert until == math.inf
    scheme, value = fields(lines)[b"Authorization"].split(b" ")
    assert (scheme, base64.b64decode(value).decode()) == (b"Basic", "couchgate:p\u00e4ss:word")


def test_without_an_introduction_nothing_is_said():
    """`none` adds no line."""
    assert NoIntroduction().lines(person(), NOW) == (b"", math.inf)
