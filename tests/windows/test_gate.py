"""`twistd -n couchgate` on (a pretended) Windows, in every mode. `conftest` says what that shows."""

import json
import re
import signal

import pytest

from tests.windows.gates import CTRL_BREAK, CTRL_C, MODES, WindowsGate

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def gate(windows, tmp_path_factory):
    """A gate whose folder has a name that no code page holds."""
    folder = tmp_path_factory.mktemp("gate") / "Büro Жора"
    folder.mkdir()
    running = WindowsGate(folder, windows)
    running.write(running.couchdb.url)
    running.start()
    yield running
    running.close()


@pytest.mark.parametrize("mode", MODES)
def test_requests_go_through(gate, mode):
    """In each mode a document is read, a body is streamed up, and nobody comes in without a token."""
    assert gate.ask(mode) == (200, b'{"method": "GET"}')
    assert gate.ask(mode, "PUT", body=b"x" * 300_000) == (201, b'{"read": 300000}')
    assert gate.ask(mode, token=False)[0] == 401


def test_the_gate_tells_of_itself(gate):
    """Readiness is green; the recorder writes, and knows the memory; nothing failed and no line of the log is lost."""
    assert gate.ask("keepalive", target="/_gate/ready", token=False)[0] == 200
    metrics = gate.ask("keepalive", target="/_gate/metrics", token=False)[1].decode()
    assert "\ncouchgate_recorder 1.0\n" in metrics
    assert "Traceback" not in gate.log()
    assert "each listener lets in 100 clients: this reactor waits for 512 sockets at most" in gate.log()


def test_couchgate_reload_is_obeyed_and_a_lost_couchdb_is_told_at_once(gate, couchgate):
    """The mailbox works without SIGHUP; a connection that cannot be made is no wait, though select calls it else."""
    gate.write("http://127.0.0.1:9")
    done = couchgate("reload", "--config", gate.settings)
    assert (done.returncode, b"upstream.url" in done.stdout) == (0, True), done.stderr
    answers = {mode: gate.ask(mode) for mode in MODES}
    assert {mode: status for mode, (status, _) in answers.items()} == dict.fromkeys(MODES, 503)
    assert all(b"CouchDB cannot be reached." in body for _, body in answers.values()), answers
    gate.settings.write_text("[gate\n")
    done = couchgate("reload", "--config", gate.settings)
    assert (done.returncode, b"is not valid TOML" in done.stderr) == (1, True), done.stderr
    gate.write(gate.couchdb.url)


def test_a_killed_gate_is_told_of_and_the_next_one_stops_in_order(gate, couchgate):
    """What TerminateProcess ends leaves its ring, the next start keeps it and says so; Ctrl-Break and Ctrl-C stop."""
    gate.end(signal.SIGKILL)
    (ring,) = gate.rings()
    with ring.open("rb"):  # as a virus scanner has it: so it cannot be renamed, and that costs nothing
        gate.start()
        assert "\ncouchgate_recorder 1.0\n" in gate.ask("keepalive", target="/_gate/metrics", token=False)[1].decode()
    said = re.search("The last run did not end in order: .*", gate.log())[0]
    assert "B\xfcro \\u0416\\u043e\\u0440\\u0430" in said
    assert gate.ask("threaded")[0] == 200
    assert gate.end(CTRL_BREAK) == CTRL_BREAK
    assert "Server Shut Down" in gate.log()
    assert "Traceback" not in gate.log()
    told = couchgate("postmortem", "--config", gate.settings, "--json")
    report = json.loads(told.stdout)
    assert (report["ending"], len(report["runs"])) == ("orderly", 2), report
    gate.start()
    assert "did not end in order" in gate.log()  # once more, and now the ring could be put aside
    assert [each.name for each in gate.rings() if each.name.startswith("unclean")] == [
        ring.name.replace("run-", "unclean-")
    ]
    assert gate.end(CTRL_C) == CTRL_C
    killed = next(each["run"] for each in report["runs"] if each["run"] != report["run"])
    told = couchgate("postmortem", "--config", gate.settings, "--run", killed, "--markdown", gate.folder / "Жора.md")
    assert told.returncode == 0, told.stderr
    assert b"It ended from outside or at once" in told.stdout
    assert b"\\u0416" in told.stdout  # the path, though the code page has no such letter
    assert "Windows-10" in (gate.folder / "Жора.md").read_text("utf-8")
