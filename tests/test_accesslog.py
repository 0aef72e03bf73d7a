"""The access log: a line for every request, whatever became of it, and no secret in any."""

import re
import time
from calendar import timegm

import pytest

from tests.web.live import HELLO, running_gate
from tests.web.sockets import Client, Upstream, eventually

FIELDS = {
    "time", "id", "principal", "peer", "method", "endpoint", "status", "verdict", "reason", "upstream_s", "seconds",
    "in", "out",
}  # fmt: skip
MODES = pytest.mark.parametrize("mode", ["keepalive", "close", "threaded"])
MARK = "hush-hush"


@pytest.fixture(scope="module")
def upstream():
    listening = Upstream()
    yield listening
    listening.close()


@pytest.fixture(scope="module")
def gate(upstream):
    with running_gate(upstream, limits="feeds = 1\nbody_bytes = 5000\nhead_seconds = 0.3") as running:
        yield running


@pytest.fixture(autouse=True)
def settled(upstream):
    yield
    upstream.settle()


class Line:
    """The one line that is added to the log by what happens in the block; its fields are checked for form."""

    def __init__(self, gate):
        self._gate = gate
        self._before = len(gate.access())

    def __call__(self):
        lines = eventually(lambda: self._gate.access()[self._before :])
        assert len(lines) == 1
        (line,) = lines
        assert set(line) == FIELDS
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line["time"])
        assert re.fullmatch(r"[0-9a-f]{32}", line["id"])
        assert line["peer"] == "127.0.0.1"
        assert line["seconds"] >= 0
        return line


def the(line, *names):
    return tuple(line[name] for name in names)


@MODES
def test_a_forwarded_request_is_told_with_times_and_bytes(gate, upstream, mode):
    """Principal, endpoint, status, bytes both ways, CouchDB's time."""
    line = Line(gate)
    client = gate.client("PUT", f"/db/{MARK}/a?rev={MARK}", "Content-Length: 5", f"X-Mark: {MARK}", mode=mode)
    client.send(b"hello")
    peer = upstream.accept()
    peer.message()
    answered = time.time()
    peer.send(HELLO)
    client.message()
    told = line()
    assert the(told, "principal", "method", "status", "verdict", "reason", "in", "out") == (
        "alice", "PUT", 200, "forwarded", "forwarded", 5, 11
    )  # fmt: skip
    assert 0 <= told["upstream_s"] <= told["seconds"] + 0.01
    assert told["endpoint"]
    stamp = time.strptime(told["time"].partition(".")[0], "%Y-%m-%dT%H:%M:%S")
    assert abs(answered - timegm(stamp)) < 5


@MODES
@pytest.mark.parametrize(
    ("head", "options", "status", "reason"),
    [
        (("GET", "/db/doc"), {"token": None}, 401, "token_missing"),
        (("GET", f"/db/doc?{MARK}"), {"token": f"x.{MARK}.y"}, 401, "token_malformed"),
        (("GET", f"/{MARK}/doc"), {}, 403, "policy"),
        (("PUT", "/db/doc", "Content-Length: 9000"), {}, 413, "body_too_large"),
        (("GET", "/_gate/nonsense"), {"token": None}, 404, "not_found"),
    ],
)
def test_a_refusal_is_told_with_its_reason(gate, upstream, mode, head, options, status, reason):
    """One line for each refusal: its status, the word for why, and no time of CouchDB's."""
    line = Line(gate)
    client = gate.client(*head, mode=mode, **options)
    assert client.message().status == status
    client.half_close()
    told = line()
    assert the(told, "status", "verdict", "reason", "upstream_s") == (status, "refused", reason, None)


def test_what_was_no_request_is_told_too(gate):
    """Garbage and a head that never ends have a line, without a method or a person."""
    for sent, status in ((f"{MARK} garbage\r\n\r\n".encode(), 400), (b"GET /x HTTP/1.1\r\n", 408)):
        line = Line(gate)
        client = Client(gate.port)
        client.send(sent)
        assert client.message().status == status
        told = line()
        assert the(told, "method", "principal", "endpoint", "status", "verdict") == (
            "",
            None,
            "unread",
            status,
            "refused",
        )
        client.close()


def test_what_the_gate_answers_itself_is_told(gate):
    """Its own pages and preflights have a line with the verdict "answered"."""
    line = Line(gate)
    assert gate.client("GET", "/_session").message().status == 200
    assert the(line(), "principal", "endpoint", "status", "verdict") == ("alice", "_session", 200, "answered")
    line = Line(gate)
    lines = ("Origin: https://app.example.com", "Access-Control-Request-Method: PUT")
    assert gate.client("OPTIONS", "/db/doc", *lines, token=None).answer("HEAD").status == 204
    assert the(line(), "endpoint", "status", "verdict", "reason") == ("preflight", 204, "answered", "preflight")


@MODES
def test_an_aborted_request_is_told_once(gate, upstream, mode):
    """A client that leaves before or within its answer has one line that says so."""
    line = Line(gate)
    client = gate.client("GET", "/db/doc", mode=mode)
    upstream.accept().message()
    client.reset()
    assert the(line(), "status", "reason") == (0, "client_gone")
    line = Line(gate)
    client = gate.client("GET", "/db/doc", mode=mode)
    upstream.exchange(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello")
    client.until(b"hello")
    client.reset()
    assert the(line(), "status", "reason", "out", "verdict") == (200, "client_gone", 5, "forwarded")


@MODES
def test_a_failing_upstream_is_told(gate, upstream, mode):
    """An answer that breaks off has one line that says who was to blame."""
    line = Line(gate)
    client = gate.client("GET", "/db/doc", mode=mode)
    peer, _ = upstream.exchange(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello")
    client.until(b"hello")
    peer.half_close()
    assert client.ending()[0] == "reset"
    assert the(line(), "status", "reason") == (200, "upstream_cut")


@MODES
def test_the_end_of_a_feed_is_told(gate, upstream, mode):
    """A feed that its token's end has closed, one that was cut, and one too many: each has its word."""
    for query, reason in (("since=7", "feed_ended"), ("since=now", "feed_cut")):
        line = Line(gate)
        client = gate.client(
            "GET", f"/db/_changes?feed=longpoll&{query}", token=gate.token(exp=time.time() + 0.4), mode=mode
        )
        upstream.accept()
        client.ending() if reason == "feed_cut" else client.answer()
        assert line()["reason"] == reason
    held = gate.client("GET", "/db/_changes?feed=longpoll", mode=mode)
    upstream.accept()
    line = Line(gate)
    assert gate.client("GET", "/db/_changes?feed=longpoll", mode=mode).message().status == 429
    assert the(line(), "status", "verdict", "reason") == (429, "refused", "feeds")
    line = Line(gate)
    held.close()
    assert line()["reason"] == "client_gone"


def test_every_line_has_an_id_of_its_own_and_nothing_secret(gate):
    """No id comes twice; no token, query, document name or field value stands anywhere in the log or in the output."""
    lines = gate.access()
    assert len(lines) > 20
    assert len({line["id"] for line in lines}) == len(lines)
    for text in (gate.access_log.read_text(), gate.log()):
        assert MARK not in text
        assert "eyJ" not in text
        assert "Bearer" not in text


def test_a_log_that_cannot_be_written_stops_nothing():
    """A full disk is reported once, and requests are served on."""
    upstream = Upstream()
    with running_gate(upstream, access="/dev/full") as gate:
        client = gate.client()
        for number in range(3):
            client.send(gate.head("GET", f"/db/{number}"))
            if not number:
                peer = upstream.accept()
            peer.message()
            peer.send(HELLO)
            assert client.message().status == 200
        eventually(lambda: "access log cannot be written" in gate.log())
        assert gate.log().count("access log cannot be written") == 1
    upstream.close()


def test_the_last_requests_before_the_end_are_told_too():
    """What was answered while the gate shut down is in the log that it leaves behind."""
    upstream = Upstream()
    with running_gate(upstream, drain_seconds=5) as gate:
        client = gate.client("GET", "/db/doc")
        feed = gate.client("GET", "/db/_changes?feed=longpoll&since=7")
        peers = [upstream.accept(), upstream.accept()]
        requests = {peer.message().start: peer for peer in peers}
        gate.signal()
        assert feed.answer().status == 200
        requests[b"GET /db/doc HTTP/1.1"].send(HELLO)
        assert client.message().status == 200
        gate.process.wait(10)
        assert [line["reason"] for line in gate.access()] == ["feed_ended", "forwarded"]
    upstream.close()
