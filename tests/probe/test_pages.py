"""The page's server and its desk: what the page may see and say, and nobody else."""

import http.client
import json
from contextlib import closing
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from couchgate.probe.desk import Desk, Heard, Task
from couchgate.probe.pages import PageServer, serving

TASK = Task(3, "close", "http://127.0.0.1:9", "a.secret.token")
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@pytest.fixture
def server(tmp_path):
    script = tmp_path / "pouchdb.js"
    script.write_text("pouch")
    desk = Desk()
    desk.assign(TASK)
    made = PageServer(desk, script)
    with serving(made):
        yield made


def ask(server, path, body=None, **headers):
    """Status, headers and body of an answer; `path` is below the secret, or whole."""
    parts = urlsplit(server.url)
    with closing(http.client.HTTPConnection(parts.netloc, timeout=10)) as connection:
        path = path if path.startswith("/") else parts.path + path
        connection.request("GET" if body is None else "POST", path, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()


def test_the_page_is_served_whole_and_loads_nothing_from_elsewhere(server):
    """The page, its scripts and PouchDB come from here, and a policy keeps the browser from other places."""
    status, headers, page = ask(server, "")
    assert (status, headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert headers["Content-Security-Policy"].startswith("default-src 'none'; script-src 'self'")
    assert headers["Referrer-Policy"] == "no-referrer"
    assert b"://" not in page
    for name in ("sync.js", "ticks.js", "pouchdb.js"):
        assert ask(server, name)[0] == 200
    assert ask(server, "pouchdb.js")[2] == b"pouch"


@pytest.mark.parametrize("path", ["/", "/index.html", "/tell", "other.js", "../pages.py", "%2e%2e/pages.py"])
def test_who_does_not_know_the_secret_gets_nothing(server, path):
    """Neither a file that is not the page's, nor anything outside of the secret's folder."""
    assert ask(server, path)[0] == 404


def test_a_page_of_another_name_does_not_reach_it(server):
    """A name that somebody points at 127.0.0.1 is refused with the right path, too."""
    port = server.server_address[1]
    assert ask(server, "", Host=f"evil.example:{port}")[0] == 404
    assert ask(server, "tell", b'{"page": "a"}', Host=f"evil.example:{port}")[0] == 404


def test_no_answer_lets_another_origin_read_it(server):
    """There is no CORS header."""
    for path, body in (("", None), ("tell", b'{"page": "a"}'), ("/", None)):
        assert "Access-Control-Allow-Origin" not in ask(server, path, body, Origin="http://evil.example")[1]


def test_the_page_is_told_its_task_and_its_counts_are_heard(server):
    """Counts count for the task that they are of, and no longer when there is another."""
    told = json.loads(ask(server, "tell", json.dumps({"page": "a", "running": None}))[2])
    assert told == {"task": TASK._asdict(), "text": "", "over": False}
    ask(server, "tell", json.dumps({"page": "a", "running": 3, "answered": 7, "refused": 2, "complaint": "x" * 999}))
    assert server.desk.heard() == Heard(7, 2, 0, "x" * 200)
    server.desk.assign(TASK._replace(number=4))
    ask(server, "tell", json.dumps({"page": "a", "running": 3, "answered": 9}))
    assert server.desk.heard() == Heard()


def test_only_one_page_is_given_the_task(server):
    """A second one is told that it may be closed, and not the token."""
    ask(server, "tell", b'{"page": "a"}')
    told = ask(server, "tell", b'{"page": "b", "running": 3, "answered": 5}')[2]
    assert b"may be closed" in told
    assert b"token" not in told
    assert server.desk.heard() == Heard()


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"\xff", b"[" * 60000, b'{"page": 5}', b'{"page": ""}'])
def test_a_word_that_is_none_changes_nothing(server, body):
    """It is answered without a task."""
    status, _, told = ask(server, "tell", body)
    assert (status, json.loads(told)["task"]) == (200, None)
    assert not server.desk.here()


def test_too_long_a_word_is_not_read(server):
    """It is refused from its head."""
    assert ask(server, "tell", None, **{"Content-Length": str(1 << 40)})[0] == 404
    assert ask(server, "tell", b"x" * 65537)[0] == 404


@given(st.dictionaries(st.sampled_from(["answered", "refused", "failed", "complaint"]), JSON))
def test_whatever_a_page_says_is_taken_within_bounds(said):
    """Counts are whole numbers from 0 on, a complaint is a short text."""
    desk = Desk()
    desk.assign(TASK)
    json.dumps(desk.tell({"page": "a", "running": 3, **said}))
    heard = desk.heard()
    for count in (heard.answered, heard.refused, heard.failed):
        assert type(count) is int
        assert count >= 0
    assert len(heard.complaint) <= 2000
    assert heard.complaint.isprintable()
