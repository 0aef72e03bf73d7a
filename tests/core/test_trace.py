"""The request's id: what is taken from the client, and what CouchDB hears."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from couchgate.core.message import Fields
from couchgate.core.rewrite import toward_couchdb
from couchgate.core.trace import continued, started, trace_id

TRACE = b"4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = b"00-%b-00f067aa0ba902b7-01" % TRACE


def fields(*values, **more):
    pairs = [(b"traceparent", value) for value in values]
    return Fields.of((b"Host", b"x"), *pairs, *((name.encode(), value) for name, value in more.items()))


@pytest.mark.parametrize("value", [PARENT, PARENT[:-2] + b"00", b"cc" + PARENT[2:], b"cc" + PARENT[2:] + b"-later"])
def test_a_readable_trace_is_the_requests_id_and_is_passed_on_as_it_came(value):
    """The trace id is taken from any version, and CouchDB sees the very field."""
    sent = fields(value, tracestate=b"a=1,b=2")
    assert trace_id(sent) == TRACE
    assert toward_couchdb(sent) == b"\r\ntraceparent: %b\r\ntracestate: a=1,b=2" % value


@pytest.mark.parametrize(
    "values",
    [
        (),
        (PARENT, PARENT),
        (b"",),
        (PARENT.upper(),),
        (PARENT + b"-later",),
        (b"ff" + PARENT[2:],),
        (PARENT.replace(TRACE, b"0" * 32),),
        (PARENT.replace(b"00f067aa0ba902b7", b"0" * 16),),
        (PARENT[:-1],),
        (b"0" + PARENT,),
        (b"cc" + PARENT[2:] + b"-" + b"x" * 65,),
    ],
)
def test_anything_else_is_dropped_and_its_state_with_it(values):
    """None, two, or a malformed one: the gate begins a trace of its own."""
    sent = fields(*values, tracestate=b"a=1")
    assert trace_id(sent) == b""
    assert toward_couchdb(sent) == b""


@pytest.mark.parametrize("state", [b"", b"x" * 513])
def test_a_state_that_is_empty_or_too_long_is_dropped(state):
    """More than 512 bytes of other parties' data is nobody's need."""
    assert toward_couchdb(fields(PARENT, tracestate=state)) == b"\r\ntraceparent: %b" % PARENT


@given(st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"), max_size=80))
def test_what_is_no_trace_never_reaches_couchdbs_log(value):
    """Whatever the field holds, the id is 32 lower-case hex digits or none."""
    assert re.fullmatch(rb"[0-9a-f]{32}|", trace_id(fields(value.encode("latin-1"))))


def test_couchdb_hears_of_a_trace_in_its_own_field_and_in_the_standards():
    """A trace that the gate began has a `traceparent` that reads back as its id; the client's is not said twice."""
    lines = started(TRACE)
    assert b"X-Couch-Request-ID: %b\r\n" % TRACE in lines
    assert trace_id(fields(re.search(rb"traceparent: (.*)\r\n", lines)[1])) == TRACE
    assert continued(TRACE) == b"X-Couch-Request-ID: %b\r\n" % TRACE
