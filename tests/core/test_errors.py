"""Each refusal says the same to a machine, to PouchDB and to a person."""

from __future__ import annotations

import copy
import json

import pytest

from couchgate.core import errors
from couchgate.core.errors import Forbidden, GateError, InternalError, Unauthorized, Unavailable
from couchgate.core.rewrite import refusal_body


def tree(kind=GateError):
    yield kind
    for child in kind.__subclasses__():
        if child.__module__ == errors.__name__:
            yield from tree(child)


KINDS = sorted(tree(), key=lambda kind: kind.__name__)


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_has_a_status_a_word_and_a_code(kind):
    """A refusal has an HTTP status, CouchDB's error word and a stable code, and says its reason."""
    error = kind("One sentence.")
    assert 400 <= error.status < 600
    assert error.error.replace("_", "").isalpha()
    assert error.code == kind.default_code
    assert kind("x", code="other").code == "other"
    assert str(error) == error.reason == "One sentence."


def test_only_identity_and_permission_end_a_live_sync():
    """PouchDB gives up at `unauthorized` and `forbidden`; nothing that passes uses these words."""
    words = {kind: kind.error for kind in KINDS}
    ending = {kind for kind, word in words.items() if word in ("unauthorized", "forbidden")}
    assert all(issubclass(kind, Unauthorized | Forbidden) for kind in ending)
    assert (Unauthorized.status, Forbidden.status, InternalError.status) == (401, 403, 500)


def test_a_401_asks_for_a_bearer_token_and_never_for_a_password():
    """RFC 6750: a missing token is asked for without an error, a bad one is called invalid."""
    missing = Unauthorized("x", code="token_missing").headers
    assert missing == ((b"WWW-Authenticate", b"Bearer"),)
    assert Unauthorized("x").headers == ((b"WWW-Authenticate", b'Bearer error="invalid_token"'),)
    own = ((b"WWW-Authenticate", b'Bearer realm="x"'),)
    assert Unauthorized("x", headers=own).headers == own


def test_what_will_pass_says_when():
    """503 carries Retry-After in seconds."""
    assert Unavailable("x").headers == ((b"Retry-After", b"5"),)
    assert Unavailable("x", code="c", retry_after=1).headers == ((b"Retry-After", b"1"),)


@pytest.mark.parametrize("kind", KINDS)
def test_a_copy_of_a_refusal_says_the_same(kind):
    """The gate keeps refusals and raises copies of them."""
    error = kind("x", code="c")
    error.headers = ((b"A", b"b"),)
    again = copy.copy(error)
    assert type(again) is kind
    assert (again.reason, again.code, again.headers) == ("x", "c", ((b"A", b"b"),))


def test_a_refusals_body_is_couchdbs():
    """The body is one line of JSON with `error` and `reason`, whatever the reason holds."""
    body = refusal_body(Forbidden('No "quotes",\n\u2028 or <tags>.'))
    assert json.loads(body) == {"error": "forbidden", "reason": 'No "quotes",\n\u2028 or <tags>.'}
    assert body.isascii()
    assert body.count(b"\n") == 1
    assert body.endswith(b"}\n")
