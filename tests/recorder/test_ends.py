"""However a process ends, its ring can be read, and tells what it was doing: real processes, really ended."""

import json
import os
import random
import signal
import subprocess
import sys
import time

import pytest

from couchgate.recorder import records
from couchgate.recorder.report import report_of
from couchgate.recorder.runs import Run, folder_of, look
from tests.recorder.rings import TOLD
from tests.web.live import CHECKOUT, HELLO, LiveGate
from tests.web.sockets import Upstream, eventually

CHILD_KILLS = 8
INSTANTS = 200
COUCHGATE = "import sys; from couchgate.cli import main; sys.exit(main(sys.argv[1:]))"
# What a signal makes of the process, by Python that comes before the gate.
ON_SIGNAL = """
import os, signal
from twisted.internet import reactor
def crash():
    reactor.getThreadPool().stop()  # or the interpreter waits for its threads
    reactor.crash()
    raise LookupError("with a secret")
signal.signal(signal.SIGUSR1, lambda *_: os._exit(127))
signal.signal(signal.SIGUSR2, lambda *_: reactor.callFromThread(crash))
"""


@pytest.fixture
def upstream():
    listening = Upstream()
    yield listening
    listening.close()


@pytest.fixture
def gate(tmp_path, upstream):
    gate = LiveGate(tmp_path, upstream.url, prologue=ON_SIGNAL)
    upstream.looked_at()
    upstream.settle()
    eventually(lambda: told(tmp_path)["events"])
    # Until the reactor runs a signal would still find the handlers of Python.
    client = gate.client("GET", "/_gate/health", token=None)
    client.message()
    client.close()
    yield gate
    gate.process.kill()
    gate.process.wait()


def told(directory, *arguments):
    """What `couchgate postmortem --json` says."""
    command = [sys.executable, "-c", COUCHGATE, "postmortem", "--state-dir", directory / "state", "--json", *arguments]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return json.loads(done.stdout)


class Writer:
    """A child that records at full speed (see `writer`)."""

    def __init__(self, folder):
        self._folder = folder
        folder.mkdir()
        (folder / "truth").write_bytes(bytes(16))
        self.process = subprocess.Popen([sys.executable, "-m", "tests.recorder.writer", folder], cwd=CHECKOUT)
        eventually(lambda: (folder / "truth").read_bytes()[8:] > bytes(8), 30)

    def judge(self):
        """One record may be torn; the last whole one and what was under way are those of the step that was reached."""
        begun, completed = memoryview((self._folder / "truth").read_bytes()).cast("Q")
        (path,) = (self._folder / "recorder").glob("*.ring")
        run = look(path)
        recording, report = run.recording, report_of(Run(path, run.recording, alive=False), "")
        last = recording.records[-1].number
        assert report.ending == "killed"
        assert recording.torn + recording.missing <= begun - completed <= 1
        assert completed <= last <= begun
        first = max(last - TOLD + 1, 1)
        assert [each.number for each in recording.records] == list(range(first, last + 1))
        for each in recording.records:
            ended = (records.ENDED, each.number - 1, 11, 0, 0.002)
            written = (records.DECIDED, 0, 0, 0, 0) if each.number % 2 else ended
            assert (each.kind, each.ref, each.a, each.b, each.x) == written
        assert [each.id for each in report.in_flight] == ([last] if last % 2 else [])

    def kill(self):
        self.process.kill()
        self.process.wait()


def test_a_writer_that_is_killed_at_any_instant_leaves_a_ring_that_is_right(tmp_path):
    """Whenever that is, among ten thousands of records a second."""
    moments = random.Random(20261121)
    for number in range(CHILD_KILLS):
        writer = Writer(tmp_path / str(number))
        try:
            time.sleep(moments.uniform(0, 0.02))
        finally:
            writer.kill()
        writer.judge()


def test_at_any_instant_the_ring_is_right(tmp_path):
    """Stopped between two instructions, the file is that of a process which is killed there."""
    moments = random.Random(20261121)
    writer = Writer(tmp_path / "writer")
    try:
        for _ in range(INSTANTS):
            writer.process.send_signal(signal.SIGSTOP)
            os.waitid(os.P_PID, writer.process.pid, os.WSTOPPED)
            writer.judge()
            writer.process.send_signal(signal.SIGCONT)
            time.sleep(moments.uniform(0, 0.001))
    finally:
        writer.kill()


@pytest.mark.parametrize(
    ("number", "status", "ending", "exception"),
    [
        (signal.SIGKILL, -signal.SIGKILL, "killed", None),
        (signal.SIGUSR1, 127, "killed", None),
        (signal.SIGSEGV, -signal.SIGSEGV, "killed", None),
        (signal.SIGUSR2, 0, "exited", "LookupError"),
        (signal.SIGTERM, -signal.SIGTERM, "orderly", None),
    ],
)
def test_each_end_is_told_apart(gate, upstream, tmp_path, number, status, ending, exception):
    """SIGKILL, os._exit(127) and a crash leave no end, an exception one of its own, SIGTERM an orderly one."""
    assert told(tmp_path)["ending"] == "running"
    client = gate.client("GET", "/db/_changes?feed=longpoll&since=7")
    peer = upstream.accept()
    peer.message()
    gate.signal(number)
    assert gate.process.wait(10) == status
    report = told(tmp_path)
    assert (report["ending"], report["exception"]) == (ending, exception)
    under_way = [(each["method"], each["target"], each["feed"]) for each in report["in_flight"]]
    assert under_way == ([] if ending == "orderly" else [("GET", "_changes", True)])
    assert [each["mode"] for each in report["listeners"]] == ["keepalive", "close", "threaded"]
    assert report["memory"]["last"] > 1 << 20
    del report["process"]["command"]  # this program's text
    assert "secret" not in json.dumps(report)
    client.close()
    peer.close()


def test_a_stop_that_is_cut_short_is_told(tmp_path, upstream):
    """Killed while it drains: the stop had begun, and what it waited for is told."""
    gate = LiveGate(tmp_path, upstream.url, drain_seconds=60)
    upstream.looked_at()
    upstream.settle()
    client = gate.client("PUT", "/db/doc", "Content-Length: 5")
    peer = upstream.accept()
    peer.head()
    gate.signal()
    eventually(lambda: told(tmp_path)["stopping"])
    gate.process.kill()
    gate.process.wait()
    report = told(tmp_path)
    assert report["ending"] == "killed"
    assert report["says"].startswith("It was being stopped")
    assert [each["target"] for each in report["in_flight"]] == ["document"]
    client.close()
    peer.close()


def test_nothing_of_whom_or_what_is_in_the_ring(gate, upstream, tmp_path):
    """Neither tokens nor names of people, databases, documents or addresses."""
    token = gate.token(sub="alice-the-first")
    client = gate.client("GET", "/db/document-one?secret=query-two", "X-Some: header-three", token=token)
    peer, _ = upstream.exchange(HELLO)
    client.message()
    gate.process.kill()
    gate.process.wait()
    (path,) = folder_of(tmp_path / "state").glob("*.ring")
    data = path.read_bytes()
    for text in (token, token.split(".")[1], "alice", "document-one", "query-two", "header-three", "127.0.0.1\0"):
        assert text.encode() not in data
    assert path.stat().st_mode & 0o777 == 0o600
    peer.close()


def test_a_folder_that_cannot_be_written_leaves_the_gate_serving(tmp_path, upstream):
    """The gate says so once, and serves without a recorder."""
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "recorder").write_text("in the way")
    gate = LiveGate(tmp_path, upstream.url, admin=True)
    upstream.looked_at()
    upstream.settle()
    client = gate.client("GET", "/db/doc")
    peer, _ = upstream.exchange(HELLO)
    assert client.message().status == 200
    page = gate.client("GET", "/_gate/metrics", token=None).message().body
    assert b"couchgate_recorder 0.0\n" in page
    gate.stop()
    assert gate.log().count("serves without its flight recorder") == 1
    peer.close()


def test_metrics_count_an_end_that_was_not_in_order(tmp_path, upstream):
    """The start after it shows 1, the one after that 0."""
    counts = []
    for number in range(3):
        gate = LiveGate(tmp_path, upstream.url, admin=True)
        page = gate.client("GET", "/_gate/metrics", token=None).message().body.decode()
        assert "couchgate_recorder 1.0\n" in page
        counts.append(page.partition("\ncouchgate_unclean_ends ")[2].partition("\n")[0])
        gate.signal(signal.SIGTERM if number else signal.SIGKILL)
        gate.process.wait(10)
    assert counts == ["0.0", "1.0", "0.0"]
