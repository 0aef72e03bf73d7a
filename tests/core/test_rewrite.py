"""Heads toward CouchDB and toward the client: what must not pass does not, all else passes byte for byte."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from couchgate.core.message import NO_BODY, Fields, ResponseHead
from couchgate.core.rewrite import RESPONSE_LINES, lines_of, named_hop_by_hop, toward_client, toward_couchdb

# What must never reach CouchDB from a client, with `-` for `_`: written here once more on purpose.
FORBIDDEN = re.compile(
    rb"host|authorization|cookie|connection|keep-alive|te|trailer|transfer-encoding|content-length|upgrade|expect"
    rb"|http2-settings|forwarded|origin|proxy-.*|access-control-.*|x-forwarded.*|x-auth.*|x-couchdb.*|x-http-method.*"
    rb"|x-method-override.*|x-real-ip.*|x-couch-request-id.*"
)
SENSITIVE = [
    *(b"Host Authorization Cookie Connection Keep-Alive TE Trailer Transfer-Encoding Content-Length Upgrade").split(),
    *(b"Expect HTTP2-Settings Forwarded Origin Proxy-Authorization Proxy-Connection Proxy-Authenticate").split(),
    *(b"X-Forwarded-For X-Forwarded-Host X-Forwarded-Proto X-Forwarded-Ssl X-Forwarded X-Forwarded-Port").split(),
    *(b"X-Auth-CouchDB-UserName X-Auth-CouchDB-Roles X-Auth-CouchDB-Token X-HTTP-Method-Override").split(),
    *(b"X-CouchDB-Vhost-Path X-CouchDB-Requested-Path X-CouchDB-WWW-Authenticate X-Real-IP").split(),
]
ORDINARY = [
    *(b"Accept Accept-Encoding If-None-Match If-Match Content-Type Content-Encoding Range User-Agent Referer").split(),
    *(b"X-Couch-Full-Commit X-Requested-With Last-Event-ID Cache-Control Hosts TEx XHost Cookies Via Ho-st").split(),
]


def spellings(name):
    """`name` in other cases and with `_` for some of its `-`."""
    bits = st.lists(st.booleans(), min_size=len(name), max_size=len(name))
    under = st.lists(st.booleans(), min_size=len(name), max_size=len(name))

    def spell(drawn):
        upper, lines = drawn
        letters = [(chr(c).upper() if up else chr(c).lower()) for c, up in zip(name, upper, strict=True)]
        return "".join("_" if c == "-" and _ else c for c, _ in zip(letters, lines, strict=True)).encode()

    return st.tuples(bits, under).map(spell)


TOKEN = st.lists(st.sampled_from(list(b"!#$%&'*+-.^_`|~019AZaz")), min_size=1, max_size=10).map(bytes)
NAMES = st.sampled_from(SENSITIVE).flatmap(spellings) | st.sampled_from(ORDINARY).flatmap(spellings) | TOKEN
OWS = st.sampled_from([b"", b" ", b"\t", b"  \t"])
VALUES = st.lists(st.sampled_from([9, *range(0x20, 0x7F), 0x80, 0xE4, 0xFF]), max_size=15).map(bytes)
OPTIONS = st.lists(
    st.sampled_from([b"", b" ", b"keep-alive", b"close", b"TE", b"upgrade", b"host", b"X-Forwarded-For"])
    | st.sampled_from(ORDINARY),
    max_size=4,
).map(b",".join)
LINES = st.tuples(NAMES, OWS, VALUES, OWS) | st.tuples(
    st.sampled_from([b"Connection", b"connection"]), OWS, OPTIONS, OWS
)
LINES |= st.tuples(st.sampled_from([b"Destination", b"DESTINATION"]), OWS, st.sampled_from([b"x", b"y?rev=1-a"]), OWS)


def expected(lines):
    """What CouchDB may see, worked out line by line."""
    options = b",".join(value for name, _, value, _ in lines if name.lower() == b"connection")
    named = {option.strip(b" \t").lower() for option in options.split(b",")}
    kept = b""
    for name, before, value, behind in lines:
        plain = name.lower().replace(b"_", b"-")
        if FORBIDDEN.fullmatch(plain) or plain == b"destination" or name.lower() in named:
            continue
        kept += b"\r\n" + name + b":" + before + value + behind
    destinations = [value for name, _, value, _ in lines if name.lower() == b"destination"]
    return kept + b"".join(b"\r\nDestination: " + value.strip(b" \t") for value in destinations)


@settings(max_examples=500)
@given(st.lists(LINES, max_size=10))
@example([(b"Connection", b"", b"", b""), (b"A", b"", b"b", b"")])
@example([(b"Connection", b" ", b", Accept,", b""), (b"A", b"", b"b", b""), (b"accept", b"", b"c", b"")])
def test_what_couchdb_obeys_never_passes_and_all_else_does_unchanged(lines):
    """However it is spelled or listed, no sensitive field passes; every other one does, byte for byte and in order."""
    fields = Fields(b"".join(b"\r\n" + name + b":" + before + value + behind for name, before, value, behind in lines))
    head = toward_couchdb(fields)
    assert head == expected(lines)
    assert head == b"" or head.startswith(b"\r\n")
    for name, _ in Fields(head).pairs:
        assert not FORBIDDEN.fullmatch(name.lower().replace(b"_", b"-"))


@pytest.mark.parametrize(
    ("values", "names"),
    [
        ((), set()),
        ((b"",), set()),
        ((b", ,\t,",), set()),
        ((b"close",), {b"close"}),
        ((b"Keep-Alive,X-A", b" x-b\t, X-a"), {b"keep-alive", b"x-a", b"x-b"}),
    ],
)
def test_a_connection_field_lists_names(values, names):
    """Names are in lower case, from every field; empty elements of a list are none (RFC 9110 5.6.1)."""
    assert named_hop_by_hop(values) == names


def response(block):
    """The head of a response with the lines in `block`, as the reader makes it."""
    parts = RESPONSE_LINES.split(block)
    return ResponseHead(200, b"OK", 11, parts.lines, parts.special, NO_BODY)


RESPONSE = [
    b'ETag:  "1-x" ',
    b"Server: CouchDB/3.5.0",
    b"SERVER: x",
    b"X-Couch-Stack-Hash: 1",
    b"WWW-Authenticate: Basic realm=x",
    b"Access-Control-Allow-Origin: *",
    b"access-control-allow-credentials: true",
    b"Set-Cookie: AuthSession=secret; Path=/",
    b"set-cookie: authsession=",
    b"Set-Cookie: other=1",
    b"Set-Cookie: more=2",
    b"Content-Encoding: gzip",
    b"Transfer-Encoding: chunked",
    b"Content-Length: 5",
    b"Keep-Alive: timeout=5",
    b"Proxy-Authenticate: x",
    b"Trailer: x",
    b"TE: x",
    b"Upgrade: h2c",
    b"X-Hop: 1",
    b"x-hop: 2",
    b"Location: http://gate.example.com/x",
    b"Vary: Accept",
]
PASSED = {b"set-cookie: other=1", b"set-cookie: more=2", b"content-encoding: gzip", b"vary: accept"}
PASSED |= {b'etag:  "1-x" ', b"location: http://gate.example.com/x", b"x-hop: 1", b"x-hop: 2"}


@given(
    st.lists(st.sampled_from(RESPONSE), max_size=12),
    st.sampled_from([None, b"close", b"Keep-Alive", b"X-Hop", b", close,X-HOP,", b""]),
)
def test_a_client_sees_nothing_of_couchdbs_own(lines, connection):
    """No software, session, challenge, framing, hop-by-hop or CORS field passes; all others do, duplicates kept."""
    some = lines if connection is None else [*lines, b"Connection: " + connection]
    head = toward_client(response(b"".join(b"\r\n" + line for line in some)))
    assert head == b"" or head.startswith(b"\r\n")
    hop = b"X-HOP" in (connection or b"").upper()
    kept = [
        line.lower() for line in lines if line.lower() in PASSED and not (hop and line.lower().startswith(b"x-hop"))
    ]
    assert sorted(head.lower().split(b"\r\n")[1:]) == sorted(kept)


def test_lines_toward_the_client_keep_their_order_and_bytes():
    """What is passed on unread is not touched."""
    block = b"\r\nB:  x \r\nserver: y\r\nA:\r\nb: z"
    assert toward_client(response(block)) == b"\r\nB:  x \r\nA:\r\nb: z"


def test_pairs_become_lines():
    """Each pair is a line with its CRLF."""
    assert lines_of(()) == b""
    assert lines_of(((b"A", b"b"), (b"C", b""))) == b"A: b\r\nC: \r\n"
