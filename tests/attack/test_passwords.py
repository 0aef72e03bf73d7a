"""People with passwords, through a running gate: what a page of another origin can read, and when feeds end."""

import base64
import json

import pytest

from tests.reload.gates import RULES, ReloadedGate
from tests.web.live import HELLO, ORIGIN
from tests.web.sockets import Client, Upstream, eventually

CORS = "[cors]\norigins = ['https://app.example.com']\n"
AUTH = "[auth]\nfeed_seconds = {}\n[[auth.checkers]]\nchecker = 'file:people'\n"
PEOPLE = '[[rules]]\nissuers = ["auth:file"]\ndatabases = ["db"]\nallow = ["read"]\n' + RULES.replace(
    "[[rules]]\n", '[[rules]]\nissuers = ["https://id.example.com/"]\n'
)


@pytest.fixture
def upstream():
    listening = Upstream()
    yield listening
    listening.close()


@pytest.fixture
def gate(tmp_path, upstream):
    (tmp_path / "people").write_text("alice:wonder\n")
    running = ReloadedGate(tmp_path, upstream.url, more=CORS + AUTH.format(1), rules=PEOPLE)
    try:
        upstream.looked_at()
        yield running
    finally:
        running.stop()


def ask(gate, password="wonder", target="/db/doc"):
    shown = base64.b64encode(f"alice:{password}".encode()).decode()
    lines = [f"GET {target} HTTP/1.1", "Host: localhost", f"Origin: {ORIGIN.decode()}", f"Authorization: Basic {shown}"]
    client = Client(gate.port)
    client.send("\r\n".join([*lines, "", ""]).encode())
    return client


def readable(answer):
    """Whether a page may read it; and what PouchDB acts on."""
    assert answer.first(b"access-control-allow-origin") == ORIGIN
    assert b"Origin" in answer.first(b"vary")
    return answer.status, json.loads(answer.body)["error"], answer.first(b"retry-after") is not None


def test_refusals_can_be_read_by_the_page_and_end_a_sync_only_for_a_wrong_password(gate, upstream):
    """401 and 403 for the person, 429 after too many guesses, 503 while the checker fails: each with CORS fields."""
    assert readable(ask(gate, target="/other/doc").message())[:2] == (403, "forbidden")
    assert b"token" not in ask(gate, target="/other/doc").message().body
    (gate.folder / "people").rename(gate.folder / "away")
    status, word, later = readable(ask(gate, "unseen").message())
    assert (status, later) == (503, True)
    assert word not in ("unauthorized", "forbidden")
    (gate.folder / "away").rename(gate.folder / "people")
    said = [readable(ask(gate, f"guess-{number}").message()) for number in range(14)]
    assert said[0] == (401, "unauthorized", False)
    assert said[-1][0] == 429
    assert said[-1][2]
    assert said[-1][1] not in ("unauthorized", "forbidden")
    client = ask(gate)  # who was known before is let in
    upstream.exchange(HELLO)
    assert readable_ok(client.message())
    assert "wonder" not in gate.log() + gate.access_log.read_text()


def readable_ok(answer):
    return answer.status == 200 and answer.first(b"access-control-allow-origin") == ORIGIN


def feed(gate, upstream):
    """An open longpoll of somebody with a password, which has brought nothing yet."""
    client = ask(gate, target="/db/_changes?feed=longpoll&since=7")
    peer = upstream.accept()
    peer.message()
    peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b'd\r\n{"results":[\n\r\n')
    client.peek()
    return client


def test_a_feed_ends_at_feed_seconds(gate, upstream):
    """In a form that PouchDB takes up again."""
    answer = feed(gate, upstream).answer()
    assert json.loads(answer.body) == {"results": [], "last_seq": 7, "pending": 0}


@pytest.mark.parametrize("auth", ["", AUTH.format(3000)], ids=["taken away", "changed"])
def test_a_reload_that_changes_auth_ends_feeds_well(gate, upstream, auth):
    """People who may have changed must show their password again; without [auth] that is a 401, with CORS fields."""
    assert gate.reload(more=CORS + AUTH.format(2000), rules=PEOPLE)[0]
    open_feed = feed(gate, upstream)
    outcome = gate.reload(more=CORS + auth, rules=PEOPLE if auth else RULES)
    assert outcome[0], outcome
    assert json.loads(open_feed.answer().body)["last_seq"] == 7
    again = ask(gate)
    if auth:
        upstream.exchange(HELLO)
        assert readable_ok(again.message())
    else:
        assert readable(again.message())[:2] == (401, "unauthorized")
    eventually(lambda: "feed_ended" in gate.access_log.read_text())
