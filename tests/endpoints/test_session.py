"""/_session, which pouchdb-authentication asks for."""

import json

import pytest

from tests.web.live import ORIGIN

MODES = pytest.mark.parametrize("mode", ["keepalive", "close", "threaded"])


@MODES
def test_a_session_tells_in_couchdbs_form_who_one_is(gate, upstream, mode):
    """GET answers name and roles of the token, without asking CouchDB."""
    token = gate.token(sub="jörg", _couchdb={"roles": ["editor", "_admin"]})
    answer = gate.client("GET", "/_session", f"Origin: {ORIGIN.decode()}", token=token, mode=mode).message()
    assert answer.status == 200
    assert answer.first(b"access-control-allow-origin") == ORIGIN
    value = json.loads(answer.body)
    assert value["ok"] is True
    assert value["userCtx"] == {"name": "jörg", "roles": ["editor"]}
    assert value["info"]["authenticated"] == "jwt"
    assert upstream.untouched


@MODES
def test_head_of_a_session_is_its_get_without_the_body(gate, upstream, mode):
    """HEAD has the length of the GET."""
    body = gate.client("GET", "/_session", mode=mode).message().body
    answer = gate.client("HEAD", "/_session", mode=mode).answer("HEAD")
    assert (answer.status, int(answer.first(b"content-length"))) == (200, len(body))


@MODES
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "DELETE", "PUT"])
def test_a_session_needs_a_token(gate, upstream, mode, method):
    """Without a valid token every method is a 401."""
    for token in (None, gate.token(exp=1), "nonsense"):
        answer = gate.client(method, "/_session", token=token, mode=mode).answer(method)
        assert answer.status == 401
        assert answer.first(b"www-authenticate").startswith(b"Bearer")
    assert upstream.untouched


@MODES
@pytest.mark.parametrize(("method", "body"), [("POST", b"name=alice&password=x"), ("DELETE", b"")])
def test_sessions_are_neither_opened_nor_closed(gate, upstream, mode, method, body):
    """Log in and log out are 403 for people with a token: there are no cookie sessions."""
    client = gate.client(method, "/_session", f"Content-Length: {len(body)}", mode=mode)
    client.send(body)
    answer = client.message()
    assert (answer.status, json.loads(answer.body)["error"]) == (403, "forbidden")
    assert upstream.untouched


@pytest.mark.parametrize("target", ["/_session/", "//_session", "/%5Fsession", "/_session?basic=true"])
def test_the_session_is_found_as_couchdb_would_read_its_path(gate, upstream, target):
    """No spelling of the path leads to CouchDB's own."""
    assert gate.client("GET", target).message().status == 200
    assert upstream.untouched


@pytest.mark.parametrize("target", ["/_session/x", "/_session%2F", "/%5F%73ession/.."])
def test_nothing_stands_below_the_session(gate, upstream, target):
    """What CouchDB may have below or beside it is refused or answered here, and never forwarded."""
    assert gate.client("GET", target).message().status in {200, 400, 403, 404}
    assert upstream.untouched
