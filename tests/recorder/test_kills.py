"""Killed at any instant, under load, the gate leaves a ring that can be read, and a post-mortem that is true.

COUCHGATE_GATE_KILLS=200 is the long form; COUCHGATE_GATE_SEED repeats the moments of a run.
"""

import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest

from couchgate.recorder import records
from couchgate.recorder.report import report_of
from couchgate.recorder.runs import KEPT_UNCLEAN, Run, folder_of, look, runs
from tests.recorder.judge import judge
from tests.recorder.load import Couch, Load
from tests.web.live import CHECKOUT, LiveGate
from tests.web.sockets import eventually

KILLS = int(os.environ.get("COUCHGATE_GATE_KILLS", "5"))
MOMENTS = 5 * KILLS
SEED = os.environ.get("COUCHGATE_GATE_SEED", "20261121")
SMALL = "\n[recorder]\nbytes = 65536"
TOLD = "The last run did not end in order"


@pytest.fixture
def couch():
    couch = Couch()
    yield couch
    couch.close()


def newest(directory):
    """The run that started last, once there is one; every ring can be read."""
    folder = folder_of(directory / "state")
    found, problems = eventually(lambda: folder.exists() and runs(folder)[0]), runs(folder)[1]
    assert problems == {}
    return look(found[0].path)


def killed(gate):
    gate.process.kill()
    assert gate.process.wait() == -signal.SIGKILL


def under_load(gate, couch, moments, _since):
    """At any moment of its work."""
    load = Load(gate, couch)
    time.sleep(moments.uniform(0, 0.3))
    killed(gate)
    return load


def while_reloading(gate, couch, moments, _since):
    """Between reloads that follow each other, with other keys each time."""
    load = Load(gate, couch)
    keys = gate.directory / "key.pem"
    pem = keys.read_bytes()
    until = time.monotonic() + moments.uniform(0.05, 0.5)
    while time.monotonic() < until:
        new = keys.with_suffix(".new")
        new.write_bytes(pem + b"\n" * moments.randrange(9))
        new.replace(keys)
        gate.process.send_signal(signal.SIGHUP)
        time.sleep(moments.uniform(0, 0.02))
    killed(gate)
    return load


def while_stopping(gate, couch, moments, _since):
    """After the signal to end in order, which may be obeyed before the other comes."""
    load = Load(gate, couch)
    gate.signal(signal.SIGTERM)
    time.sleep(moments.uniform(0, 0.4))
    gate.process.kill()
    gate.process.wait()
    return load


def while_starting(gate, _couch, moments, since):
    """A second process of the same gate, at any moment of its start, beside the first one's ring."""
    killed(gate)
    took = time.time() - since
    child = subprocess.Popen(
        gate.process.args,
        cwd=gate.directory,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
    )
    time.sleep(moments.uniform(0.3, 1.3) * took)
    child.kill()
    child.wait()


WAYS = ((under_load, ""), (under_load, SMALL), (while_reloading, ""), (while_stopping, ""), (while_starting, ""))


@pytest.mark.timeout(120 + 15 * KILLS)
def test_a_gate_that_is_killed_at_any_moment_leaves_a_ring_that_is_true(tmp_path, couch):
    """Start after start in the same folder: each start tells of the end before it, and of nothing else."""
    moments = random.Random(SEED)
    print(f"COUCHGATE_GATE_SEED={SEED}")  # noqa: T201 - pytest shows it if the test fails
    untold, seen = False, set()
    for number in range(KILLS):
        way, more = WAYS[number % len(WAYS)]
        since = time.time()
        gate = LiveGate(tmp_path, couch.url, more_log=more)
        try:
            eventually(lambda gate=gate: newest(tmp_path).recording.number_of("pid") == gate.process.pid)
            eventually(lambda gate=gate, untold=untold: (TOLD in gate.log()) == untold)
            load = way(gate, couch, moments, since)
        finally:
            gate.process.kill()
            gate.process.wait()
        until, run = time.time(), newest(tmp_path)
        report = report_of(run, "")
        untold = report.ending != "orderly" and run.path.name.startswith("run-")  # else a start told, and was killed
        if way is while_starting:
            assert report.ending == "killed"
            assert report.in_flight == []
            continue
        load.over()
        assert run.recording.number_of("pid") == gate.process.pid
        assert run.id not in seen
        seen.add(run.id)
        if way is while_stopping:
            _judge_stop(report, gate)
            continue
        judge(report, load, since, until)
        if way is while_reloading:
            kinds = [each.kind for each in run.recording.records if each.kind in (records.RELOADING, records.RELOADED)]
            assert kinds == [records.RELOADING, records.RELOADED] * (len(kinds) // 2) + kinds[: len(kinds) % 2]
            assert "Traceback" not in gate.log()
    kept, problems = runs(folder_of(tmp_path / "state"))  # besides rings that a start was killed in, for a minute
    assert len(kept) <= KEPT_UNCLEAN + 2
    assert problems == {}


def _judge_stop(report, gate):
    """It was stopped in order if and only if its last record says so; else it had begun to, or not heard of it yet."""
    kinds = [each.kind for each in report.recording.records]
    if gate.process.returncode == -signal.SIGTERM:
        assert report.ending == "orderly"
    if report.ending == "orderly":
        assert kinds[-1] == records.STOPPED
        assert report.in_flight == []
    else:
        assert report.ending == "killed"
        assert report.stopping == (records.STOPPING in kinds)


@pytest.mark.timeout(120 + MOMENTS)
@pytest.mark.parametrize("more", ["", SMALL], ids=["default", "small"])
def test_at_any_instant_the_ring_is_what_a_kill_would_leave(tmp_path, couch, more):
    """Stopped between two instructions, its file is that of a process which is killed there; then it goes on."""
    moments = random.Random(SEED + more)
    since = time.time()
    gate = LiveGate(tmp_path, couch.url, more_log=more)
    try:
        load = Load(gate, couch)
        (path,) = folder_of(tmp_path / "state").iterdir()
        for _ in range(MOMENTS):
            time.sleep(moments.uniform(0, 0.01))
            gate.process.send_signal(signal.SIGSTOP)
            eventually(lambda: stopped(gate.process.pid))
            run = look(path)
            judge(report_of(Run(run.path, run.recording, alive=False), ""), load, since, time.time())
            assert run.alive
            gate.process.send_signal(signal.SIGCONT)
    finally:
        gate.process.kill()
        gate.process.wait()
    load.over()


def stopped(pid):
    """Whether all its threads stand still."""
    try:
        stats = [(task / "stat").read_text() for task in Path(f"/proc/{pid}/task").iterdir()]
    except (FileNotFoundError, ProcessLookupError):
        return False  # one of them has just ended
    return {stat.rpartition(")")[2].split()[0] for stat in stats} == {"T"}


def test_two_gates_share_a_folder(tmp_path, couch):
    """Each has a ring; the end of one is told once, by the next that starts, and the other is left alone."""
    gates = [LiveGate(tmp_path, couch.url) for _ in range(2)]
    killed(gates[0])
    gates.append(LiveGate(tmp_path, couch.url))
    assert gates[-1].log().count(TOLD) == 1
    gates.append(LiveGate(tmp_path, couch.url))
    assert TOLD not in gates[-1].log()
    found, problems = runs(folder_of(tmp_path / "state"))
    assert problems == {}
    pids = {run.recording.number_of("pid"): (run.alive, run.path.name.partition("-")[0]) for run in found}
    assert pids == {
        gate.process.pid: (gate is not gates[0], "unclean" if gate is gates[0] else "run") for gate in gates
    }
    for gate in gates[1:]:
        gate.process.kill()
        gate.process.wait()
