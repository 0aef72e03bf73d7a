"""What a start finds in the folder, and `couchgate postmortem` on what it holds."""

import json
import os
import time
from types import SimpleNamespace

import pytest

from couchgate.cli import main
from couchgate.life import recording
from couchgate.recorder import records
from couchgate.recorder.flight import Flight
from couchgate.recorder.letter import program_of
from couchgate.recorder.records import RING_AT
from couchgate.recorder.report import report_of
from couchgate.recorder.runs import KEPT_UNCLEAN, Run, look, look_back, new_ring, runs
from couchgate.recorder.telling import duration, ending, moment
from couchgate.system import held
from tests.recorder.rings import SIZE, Written, finish, let_through, request


def left(folder, *, end=records.END_OPEN, started=0.0, **about):
    """A ring whose process is gone; its path."""
    before = set(folder.glob("*.ring")) if folder.exists() else set()
    ring = new_ring(folder, SIZE, {"wall": 1e9 + started, "version": "1", **about})
    flight = Flight(ring)
    flight.write(records.STARTED)
    let_through(flight, request(endpoint="_changes", feed=True), 0)
    one = request()
    let_through(flight, one, 0)
    finish(flight, one)
    finish(flight, request(code="policy", status=403, upstream_seconds=-1.0))
    flight.write(records.BEAT, 2, 50_000_000, 1, time.time(), counts=(1, 1))
    if end:
        ring.mark(end)
    (path,) = set(folder.glob("*.ring")) - before
    return path


def said(capsys, *arguments):
    """Status, output and errors of `couchgate postmortem`."""
    status = main(["postmortem", *map(str, arguments)])
    return status, *capsys.readouterr()


def test_unclean_rings_are_kept_and_told_once(folder):
    """The first start after it finds the end, the next one does not, and the ring stays."""
    path = left(folder)
    found = look_back(folder)
    assert [run.path.name for run in found] == [path.name.replace("run-", "unclean-")]
    assert look_back(folder) == []
    assert [run.path for run in runs(folder)[0]] == [found[0].path]


def test_only_the_last_ones_are_kept(folder):
    """Five of those that did not end in order, one of those that did, and broken ones not for ever."""
    names = [left(folder, started=number).name.removeprefix("run-") for number in range(KEPT_UNCLEAN + 3)]
    orderly = [left(folder, end=records.END_ORDERLY, started=number) for number in range(3)]
    for number in range(KEPT_UNCLEAN + 2):
        (folder / f"run-{number}.ring").write_bytes(b"not one of this release")
    assert len(look_back(folder)) == KEPT_UNCLEAN
    kept = {path.name for path in folder.iterdir()}
    assert {name for name in kept if name.startswith("unclean")} == {f"unclean-{name}" for name in names[3:]}
    assert orderly[-1].name in kept
    assert len(kept) == KEPT_UNCLEAN + 1 + KEPT_UNCLEAN


def test_a_ring_that_was_never_finished_is_no_run(folder, capsys, tmp_path):
    """Its process was ended before it recorded anything: nobody is warned of the file, and a later start removes it."""
    left(folder)
    sizes = (0, 1000, RING_AT, SIZE)
    for number, size in enumerate(sizes):
        (folder / f"run-{number}.ring").write_bytes(bytes(size))
    assert said(capsys, "--state-dir", tmp_path)[0::2] == (0, "")
    assert len(look_back(folder)) == 1
    assert len(list(folder.iterdir())) == 1 + len(sizes)  # another gate may be making them
    for path in folder.glob("run-*"):
        os.utime(path, (time.time() - 61,) * 2)
    assert look_back(folder) == []
    assert [path.name[:8] for path in folder.iterdir()] == ["unclean-"]


def test_who_looks_is_in_nobodys_way_who_looks(folder):
    """A post-mortem that reads a ring does not make it that of a living process for the gate that starts meanwhile."""
    path = left(folder)
    with path.open("rb") as file:
        assert not held(file.fileno())
        assert not look(path).alive
        assert len(look_back(folder)) == 1


def test_the_id_of_a_process_is_no_sign_of_its_life(folder):
    """A process that has got the same id since does not make the run alive."""
    (left(folder, pid=os.getpid()), left(folder, pid=1))
    assert [run.alive for run in runs(folder)[0]] == [False, False]


def test_the_ring_of_a_process_that_lives_is_left_alone(folder, written):
    """Of several workers one may start anew while the others serve."""
    path = left(folder)
    assert [run.id for run in look_back(folder)] == [path.stem.removeprefix("run-")]
    assert written.path.exists()
    assert [run.alive for run in runs(folder)[0]] == [True, False]


def test_the_last_run_that_is_over_is_told_of(folder, written, capsys, tmp_path):
    """Not the one that runs, which is named as another; --run tells of that one."""
    path = left(folder)
    name = path.stem.removeprefix("run-")
    status, out, err = said(capsys, "--state-dir", tmp_path)
    assert (status, err) == (0, "")
    assert f"Run {name}" in out
    assert "It ended from outside or at once" in out
    assert "request 2: GET _changes, a feed" in out
    assert "request 3: 200 forwarded" in out
    assert "403 policy" in out
    assert "50.0 MB at the last beat" in out
    other = written.path.stem.removeprefix("run-")
    assert f"{other}, started" in out
    assert "UTC, still running\n" in out
    status, out, _ = said(capsys, "--state-dir", tmp_path, "--run", other)
    assert "It is still running." in out


@pytest.mark.parametrize(
    ("end", "word", "sentence"),
    [
        (records.END_OPEN, "killed", "It ended from outside or at once"),
        (records.END_ORDERLY, "orderly", "It was stopped in order."),
        (records.END_EXITED, "exited", "The interpreter ended by itself"),
        (77, "killed", "It ended from outside or at once"),
    ],
)
def test_each_end_has_its_sentence(folder, capsys, tmp_path, end, word, sentence):
    """JSON has the word, people read the sentence."""
    left(folder, end=end)
    _, out, _ = said(capsys, "--state-dir", tmp_path, "--json")
    told = json.loads(out)
    assert told["ending"] == word
    assert told["says"].startswith(sentence)
    assert [each["target"] for each in told["in_flight"]] == ["_changes"]
    assert told["connections"] == {"accepted": 1, "requests": 2, "opened": 0, "reused": 0, "complete": True}


def test_the_security_team_is_handed_facts(folder, capsys, tmp_path):
    """Path, hash and command line are in the file; an orderly end asks for nothing."""
    path = left(folder)
    page = tmp_path / "sensor.md"
    status, out, _ = said(capsys, "--state-dir", tmp_path, "--markdown", page)
    assert status == 0
    assert str(page) in out
    text, about = page.read_text("utf-8"), look(path).recording.about
    program = program_of(look(path).recording)
    assert len(program.sha256) == 64
    assert not program.changed
    for fact in (program.sha256, about["program"], str(about["pid"]), "allow-list"):
        assert fact in text
    assert "the same ring" in ending(report_of(look(path), ""))
    left(folder, end=records.END_ORDERLY, started=5)
    said(capsys, "--state-dir", tmp_path, "--markdown", page)
    assert "allow-list" not in page.read_text("utf-8")


def test_a_program_that_is_gone_or_another_one_is_told(folder, tmp_path):
    """The hash is of the file that is there now, and says when that is not the one that ran."""
    program = tmp_path / "python"
    program.write_bytes(b"one")
    stat = program.stat()
    about = {"program": str(program), "program_bytes": 3, "program_modified": stat.st_mtime}
    recording = look(left(folder, **about)).recording
    assert not program_of(recording).changed
    program.write_bytes(b"another")
    assert program_of(recording).changed
    program.unlink()
    assert "No such file" in program_of(recording).problem
    program.mkdir()
    assert program_of(recording).problem == "it is no program"


def test_a_machine_that_was_started_again_is_told(folder):
    """Then a power cut is among what may have ended it."""
    run = look(left(folder, boot="then"))
    assert "The machine was started again since." in ending(report_of(run, "now"))
    assert "started again" not in ending(report_of(run, "then"))
    assert "started again" not in ending(report_of(run, ""))


def test_a_stop_that_was_not_completed_is_told(folder):
    """The stop had begun, and then the process was gone."""
    written = Written(folder)
    written.flight.write(records.STOPPING)
    run = Run(written.path, written.recording, alive=False)
    assert ending(report_of(run, "")).startswith("It was being stopped")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--state-dir", "{}/none"), "no gate with [recorder] enabled has run"),
        (("--config", "{}/none.toml"), "the settings file is one"),
        (("--state-dir", "{}", "--run", "x"), "has no readable ring of a run 'x'"),
        (("--state-dir", "{}", "--markdown", "{}/none/file"), "cannot be written: No such file"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(folder, capsys, tmp_path, arguments, sentence):
    """Status 1, and what to do."""
    left(folder)
    status, _, err = said(capsys, *(each.format(tmp_path) for each in arguments))
    assert status == 1
    assert sentence in err
    assert err.count("\n") == 1


def test_a_file_that_is_no_ring_is_a_warning(folder, capsys, tmp_path):
    """The others are told of all the same."""
    left(folder)
    (folder / "run-x.ring").write_bytes(b"x" * 100_000)
    os.mkfifo(folder / "run-pipe.ring")
    status, out, err = said(capsys, "--state-dir", tmp_path)
    assert status == 0
    assert "It ended from outside" in out
    assert "run-x.ring is no ring that can be read: it does not begin as a ring of this version does." in err
    assert "run-pipe.ring" in err


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.04, "40 ms"),
        (59.94, "59.9 s"),
        (61, "1 min 1 s"),
        (3700, "1 h 1 min"),
        (90000, "1 d 1 h"),
        (1e11, "1157407 d 9 h"),
    ],
)
def test_durations_are_read_at_a_glance(seconds, words):
    """Two units at most."""
    assert duration(seconds) == words


def test_a_time_beyond_the_calendar_is_unknown():
    """A forged time is no exception."""
    assert moment(1e300) == "an unknown time"
    assert moment(1.5) == "1970-01-01 00:00:01.500 UTC"


def test_a_ring_that_vanishes_while_a_start_reads_it_is_still_told_of(folder, monkeypatch, log_events, tmp_path):
    """Another gate that starts may remove it in between: the end is told and counted, and the recorder begins."""
    left(folder)
    monkeypatch.setattr(recording, "look", lambda path: look(path.with_name("gone")))
    told = recording.Recording(None, None, None)
    told._look_back(SimpleNamespace(gate=SimpleNamespace(state_dir=tmp_path)))
    assert told.unclean == 1
    (event,) = [each for each in log_events if each.get("sentence")]
    assert event["sentence"] == "its ring cannot be read, No such file or directory"
