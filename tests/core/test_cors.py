"""Pages of allowed origins can read answers, others cannot."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from couchgate.core.cors import Cors
from couchgate.core.message import Fields

APP = "https://app.example.com"
OTHER = "https://admin.example.com:8443"
CORS = Cors([APP, OTHER])


def preflight(*pairs, origin=APP):
    """The fields of a preflight."""
    return Fields.of((b"Origin", origin.encode()), (b"Access-Control-Request-Method", b"PUT"), *pairs)


def test_an_allowed_origin_is_echoed_with_credentials():
    """The answer to an allowed origin names it, allows credentials, exposes what PouchDB reads and varies."""
    origin = CORS.match(Fields.of((b"Origin", OTHER.encode())))
    answer = dict(CORS.answer(origin))
    assert answer[b"Access-Control-Allow-Origin"] == OTHER.encode()
    assert answer[b"Access-Control-Allow-Credentials"] == b"true"
    assert answer[b"Vary"] == b"Origin"
    exposed = answer[b"Access-Control-Expose-Headers"].split(b", ")
    assert {b"ETag", b"X-Couch-Request-ID", b"X-Couch-Update-NewRev", b"Retry-After", b"WWW-Authenticate"} <= set(
        exposed
    )
    assert b"Server" not in exposed


FOREIGN = [
    "https://evil.example",
    "https://evilapp.example.com",
    "https://example.com",
    "https://appxexample.com",
    "https://app.example.com@evil.example",
    "http://app.example.com",
    "https://app.example.com:443",
    "https://app.example.com/",
    "https://app.example.com.",
    "https://app.example.co",
    "HTTPS://APP.EXAMPLE.COM",
    "https://evil.example, https://app.example.com",
    "null",
    "*",
    "",
]


@pytest.mark.parametrize("origin", FOREIGN)
def test_any_other_origin_gets_nothing(origin):
    """An origin that differs in one byte gets no CORS field but Vary, and its preflight is a 403."""
    fields = preflight(origin=origin)
    assert CORS.match(fields) is None
    assert CORS.answer(None) == ((b"Vary", b"Origin"),)
    assert CORS.preflight_status(fields) == 403
    assert [name for name, _ in CORS.preflight_answer(fields)] == [b"Vary"]


# What a header value can hold at all (RFC 9110 5.5); http1 refuses the rest before.
VALUES = st.binary(max_size=30).map(lambda value: value.translate(None, bytes(range(33)) + b"\x7f"))


@given(st.lists(st.one_of(VALUES, st.sampled_from([APP.encode(), OTHER.encode()])), max_size=3))
def test_a_match_is_the_one_configured_origin(origins):
    """Whatever Origin fields come, a match is a configured origin and the only one sent."""
    match = CORS.match(Fields.of(*((b"Origin", origin) for origin in origins)))
    allowed = len(origins) == 1 and origins[0] in {APP.encode(), OTHER.encode()}
    assert match == (origins[0] if allowed else None)


def test_two_origin_fields_are_none():
    """Two Origin fields are not an allowed origin, even if both are."""
    assert CORS.match(Fields.of((b"Origin", APP.encode()), (b"Origin", APP.encode()))) is None


def test_without_origins_no_answer_varies():
    """A gate without CORS adds no fields."""
    assert Cors([]).answer(None) == ()


def test_a_preflight_is_options_with_origin_and_method():
    """Only OPTIONS with both Origin and Access-Control-Request-Method is a preflight."""
    assert CORS.preflight(b"OPTIONS", preflight())
    assert not CORS.preflight(b"GET", preflight())
    assert not CORS.preflight(b"options", preflight())
    assert not CORS.preflight(b"OPTIONS", Fields.of((b"Origin", APP.encode())))
    assert not CORS.preflight(b"OPTIONS", Fields.of((b"Access-Control-Request-Method", b"PUT")))


def test_a_preflight_is_answered_with_what_the_gate_offers():
    """The answer allows PouchDB's methods and fields, is kept for long, and never offers an identity field."""
    fields = preflight((b"Access-Control-Request-Headers", b"authorization, x-auth-couchdb-username"))
    answer = dict(CORS.preflight_answer(fields))
    assert CORS.preflight_status(fields) == 204
    assert answer[b"Access-Control-Allow-Origin"] == APP.encode()
    assert answer[b"Access-Control-Allow-Credentials"] == b"true"
    methods = set(answer[b"Access-Control-Allow-Methods"].split(b", "))
    assert methods == {b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"COPY", b"OPTIONS"}
    offered = set(answer[b"Access-Control-Allow-Headers"].split(b", "))
    assert {b"authorization", b"content-type", b"accept", b"if-match", b"destination"} <= offered
    assert not {name for name in offered if b"couchdb" in name or b"override" in name or name == b"*"}
    assert answer[b"Access-Control-Max-Age"] == b"7200"
    assert b"Access-Control-Request-Headers" in answer[b"Vary"]


def test_the_age_of_a_preflight_is_a_setting():
    """`max_age` is sent in seconds."""
    answer = dict(Cors([APP], max_age=600).preflight_answer(preflight()))
    assert answer[b"Access-Control-Max-Age"] == b"600"


@pytest.mark.parametrize(
    ("granted", "asked", "origin", "answered"),
    [
        (True, b"true", APP, True),
        (False, b"true", APP, False),
        (True, b"false", APP, False),
        (True, b"true", "https://evil.example", False),
    ],
)
def test_private_network_access_is_granted_by_setting_only(granted, asked, origin, answered):
    """The private network is opened to an allowed origin that asks, if the setting says so, and to nobody else."""
    cors = Cors([APP], private_network=granted)
    fields = preflight((b"Access-Control-Request-Private-Network", asked), origin=origin)
    names = [name for name, _ in cors.preflight_answer(fields)]
    assert (b"Access-Control-Allow-Private-Network" in names) is answered


@pytest.mark.parametrize(
    "origin",
    [
        "*",
        "null",
        "",
        "https://",
        "app.example.com",
        "https://app.example.com/",
        "https://app.example.com/x",
        "https://app.example.com?",
        "HTTPS://app.example.com",
        "Https://app.example.com",
        "https://App.example.com",
        "https://*.example.com",
        "https://app.example.com:443",
        "http://app.example.com:80",
        "https://app.example.com:08",
        "https://app.example.com:70000",
        "https://user@app.example.com",
        "https://café.example",
        "https://app.example.com\n",
        "https://.example.com",
    ],
)
def test_what_no_browser_sends_cannot_be_configured(origin):
    """An origin that could never match, or would match anybody, is refused with one sentence."""
    with pytest.raises(ValueError, match=r"^[^\n]+\.$"):
        Cors([origin])


@pytest.mark.parametrize(
    "origin",
    ["http://localhost:3000", "http://127.0.0.1", "https://[::1]:8443", "capacitor://localhost", "https://a_b.test"],
)
def test_origins_of_apps_can_be_configured(origin):
    """Local addresses and the schemes of packaged apps are origins."""
    assert Cors([origin]).match(Fields.of((b"Origin", origin.encode()))) == origin.encode()


@pytest.mark.parametrize("age", [-1, 86401])
def test_an_age_that_no_browser_keeps_is_refused(age):
    """`max_age` is between nothing and a day."""
    with pytest.raises(ValueError, match="seconds"):
        Cors([APP], max_age=age)
