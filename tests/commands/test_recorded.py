"""`couchgate explain --request-id`: how a request was decided."""

import http.server
import io
import json
import sys
import threading
from urllib.parse import urlsplit

import pytest

from couchgate.endpoints import Question
from couchgate.endpoints.refusals import RefusalsPage
from couchgate.sight.refusals import Refusal

ENTRY = {
    "time": "2026-11-21T04:00:00.000Z", "id": "5d1f-7", "principal": "alice", "peer": "192.0.2.7", "method": "PUT",
    "endpoint": "document", "status": 403, "verdict": "refused", "reason": "policy", "upstream_s": None,
    "seconds": 0.001, "in": 0, "out": 72,
}  # fmt: skip


@pytest.fixture
def log(folder):
    """Writes the access log that the settings name."""

    def log(*entries):
        lines = [entry if isinstance(entry, str) else json.dumps(entry) for entry in entries]
        (folder.path / "access.log").write_text("\n".join(lines) + "\n")

    return log


def test_a_refusal_is_found_and_explained(folder, log):
    """What is recorded, what its word means, what to do, and status 3."""
    log({**ENTRY, "id": "5d1f-6"}, ENTRY, {**ENTRY, "id": "5d1f-70"})
    status, out, err = folder.run("explain", "--request-id", "5d1f-7")
    assert (status, err) == (3, "")
    lines = out.splitlines()
    assert "principal     alice" in lines
    assert "means         The rules do not allow this to this person." in lines
    assert any(line.startswith("what to do    ") for line in lines)
    assert lines[-1] == "403 refused: policy"


def test_a_forwarded_request_is_status_0(folder, log):
    """What was let through is not a refusal, whatever CouchDB said."""
    log({**ENTRY, "verdict": "forwarded", "reason": "forwarded"})
    assert folder.run("explain", "--request-id", "5d1f-7")[0] == 0


def test_json_holds_every_request_with_that_id(folder, log):
    """One id may stand for several requests of one trace: each is told, with its meaning."""
    log(ENTRY, {**ENTRY, "status": 200, "verdict": "answered", "reason": "own"})
    status, out, _ = folder.run("explain", "--json", "--request-id", "5d1f-7")
    told = json.loads(out)
    assert (status, [each["reason"] for each in told]) == (0, ["policy", "own"])
    assert told[0]["explained"]["means"]


def test_a_log_with_other_lines_is_read_all_the_same(folder, log):
    """Lines of another log, cut lines and lines with a time before them do no harm; words are shown harmless."""
    log(
        "2026-11-21 5d1f-7 listens", '{"id": "5d1f-7", "cut', '["5d1f-7"]', "{" * 70_000 + "5d1f-7",
        "Nov 21 host twistd[1]: " + json.dumps({**ENTRY, "reason": "odd\x1b", "principal": "5d1f-7"}),
    )  # fmt: skip
    _, out, _ = folder.run("explain", "--request-id", "5d1f-7")
    assert "means         This release does not know the reason." in out
    assert out.replace("\n", "").isprintable()


def test_the_log_may_be_given(folder, monkeypatch, log):
    """A file or standard input, where the settings name none."""
    log(ENTRY)
    folder.settings(('access = "access.log"', 'access = "stdout"'))
    assert "--log FILE" in folder.refused("explain", "--request-id", "5d1f-7")
    assert folder.run("explain", "--request-id", "5d1f-7", "--log", folder.path / "access.log")[0] == 3
    monkeypatch.setattr(sys, "stdin", io.StringIO(json.dumps(ENTRY)))
    assert folder.run("explain", "--request-id", "5d1f-7", "--log", "-")[0] == 3


def test_what_is_not_found_is_one_sentence(folder, log):
    """An unknown id, an id that is none, and a log that cannot be read."""
    assert "cannot be read" in folder.refused("explain", "--request-id", "5d1f-7")
    log(ENTRY)
    assert "no request 5d1f-8" in folder.refused("explain", "--request-id", "5d1f-8")
    assert "must be the id" in folder.refused("explain", "--request-id", "a b")


class Page(http.server.BaseHTTPRequestHandler):
    """The gate's own page of refusals, for whoever brings a token."""

    status = 200
    other = None

    def do_GET(self):
        parts = urlsplit(self.path)
        status = self.status if self.headers["authorization"] == "Bearer a.b.c" else 401
        page = RefusalsPage(lambda limit, *, id, principal: [REFUSAL] if id == REFUSAL.id else [])  # noqa: A006
        body = self.other
        if body is None:
            try:
                page(Question(b"GET", None, parts.query.encode())).send(None)
            except StopIteration as answer:
                body = answer.value.body
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


REFUSAL = Refusal(
    1.0, "5d1f-7", "alice", "192.0.2.7", "PUT", "document", "write", "shared", 403, "policy", "Your token does not."
)


@pytest.fixture
def gate(monkeypatch):
    """Its URL, and the handler, to be changed."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", lambda name, value: monkeypatch.setattr(Page, name, value)
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_running_gate_is_asked(folder, gate):
    """With an administrator's token the gate tells what it remembers: the database and the sentence, too."""
    url, _ = gate
    status, out, _ = folder.run("explain", "--request-id", "5d1f-7", "--url", url, "--token", "a.b.c")
    lines = out.splitlines()
    assert (status, lines[-1]) == (3, "403 refused: policy")
    assert {"database      shared", "reason        Your token does not."} <= set(lines)
    assert "means         The rules do not allow this to this person." in lines


def test_a_gate_that_does_not_tell_is_one_sentence(folder, gate):
    """No token, no right, no page, no gate, no such request: each says what to do."""
    url, change = gate
    ask = ["explain", "--request-id", "5d1f-7", "--url"]
    assert "token of an administrator" in folder.refused(*ask, url)
    token = ["--token", "a.b.c"]
    assert "does not remember" in folder.refused("explain", "--request-id", "x", "--url", url, *token)
    change("status", 403)
    assert "not an administrator's" in folder.refused(*ask, url, *token)
    change("status", 500)
    assert "no page of couchgate" in folder.refused(*ask, url, *token)
    change("status", 200)
    change("other", b"[]")
    assert "is no gate" in folder.refused(*ask, url, *token)
    assert "does not answer" in folder.refused(*ask, "http://127.0.0.1:1", *token)
    assert "--url must be" in folder.refused(*ask, "gate.example.com", *token)
    assert "--url must be" in folder.refused(*ask, "http://[", *token)
