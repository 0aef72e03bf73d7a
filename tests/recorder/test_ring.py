"""The ring's file, and what is written into it."""

import json
import os
import subprocess
import sys
import threading

import pytest

from couchgate import system
from couchgate.recorder import process, records
from couchgate.recorder.flight import Flight
from couchgate.recorder.process import about_process, shown_command
from couchgate.recorder.reading import read
from couchgate.recorder.report import LAST_EVENTS, LAST_RARE
from couchgate.recorder.runs import new_ring
from couchgate.recorder.telling import one_line, text
from couchgate.system import lock, resident
from tests.recorder.rings import SIZE, SLOTS, TOLD, Written, finish, let_through, request, subject
from tests.web.live import CHECKOUT


def test_it_is_of_the_size_that_was_asked_for_and_its_owners_alone(written):
    """The file has all its bytes from the start, mode 0600, in a folder of mode 0700."""
    assert written.path.stat().st_size == SIZE
    assert written.path.stat().st_blocks * 512 >= SIZE
    assert written.path.stat().st_mode & 0o777 == 0o600
    assert written.path.parent.stat().st_mode & 0o777 == 0o700


def test_every_kind_of_record_is_read_as_it_was_written(written):
    """What a face tells arrives with its words, numbers and ids."""
    flight = written.flight
    connection = flight.accepted(keepalive=False)
    one = request(b"PUT", "attachment", received=7, sent=1 << 40, status=201)
    flight.head_seen(subject(flight, one), connection)
    let_through(flight, one, connection)
    flight.upstream(one.record)
    finish(flight, one)
    flight.closed(connection)
    flight.write(records.KEYS, 2, 5, 1, word="issuers[0]")
    found = written.recording
    kinds = [each.kind for each in found.records]
    assert kinds == [
        2,
        records.HEAD_SEEN,
        records.DECIDED,
        records.UPSTREAM,
        records.ENDED,
        records.CLOSED,
        records.KEYS,
    ]
    assert [each.number for each in found.records] == list(range(1, 8))
    ended, keys = found.records[4], found.records[6]
    assert (ended.ref, ended.a, ended.b, ended.x, ended.status) == (one.record, 1 << 40, 7, 0.002, 201)
    assert (found.word(ended.word), found.word(ended.place)) == ("forwarded", "attachment")
    assert (keys.ref, keys.a, keys.b, found.word(keys.word)) == (2, 5, 1, "issuers[0]")
    moments = [each.moment for each in found.records]
    assert moments == sorted(moments)
    assert (flight.accepted_count, flight.ended_count) == (1, 1)


def test_the_oldest_records_give_way(written):
    """The ring tells the last records, as many as there are slots but for those that are overwritten next."""
    for _ in range(3 * SLOTS + 5):
        written.flight.accepted(keepalive=True)
    numbers = [each.number for each in written.recording.records]
    assert numbers == list(range(3 * SLOTS + 6 - TOLD, 3 * SLOTS + 6))


def test_rare_events_are_told_beside_many_others(written):
    """A reload that is not among the last events is told before them; what the ring has lost is no row of zeros."""
    flight = written.flight
    flight.write(records.STARTED)
    for _ in range(30):
        flight.write(records.RELOADED, small=1)
        flight.accepted(keepalive=True)
    for _ in range(LAST_EVENTS):
        finish(flight, request())
    told = [each.text for each in written.report.events]
    assert told[:LAST_RARE] == ["settings reloaded"] * LAST_RARE
    assert all("200 forwarded" in each for each in told[LAST_RARE:])
    assert len(told) == LAST_RARE + LAST_EVENTS
    assert [each.ended for each in written.report.seconds] == [LAST_EVENTS]


def test_what_lasts_is_written_again_before_it_is_overtaken(written):
    """A feed of long ago is still known, by its first id, until it ends."""
    flight, feed = written.flight, request(endpoint="_changes", feed=True)
    let_through(flight, feed, 0)
    for second in range(40):
        for _ in range(SLOTS // 3):
            flight.accepted(keepalive=True)
        flight.still(feed, 1.0 + second)
        flight.forget_all_but({feed.record})
    still = [each for each in written.recording.records if each.kind == records.STILL]
    assert {each.ref for each in still} == {feed.record} == {1}
    assert still[-1].b == 39000
    flight.forget_all_but(set())
    assert not flight._mentions


def test_the_last_beat_stays_when_the_ring_has_overtaken_it(written):
    """Totals, memory and times are told even if the ring was written anew since, and what is not certain is said."""
    flight, feed = written.flight, request(endpoint="_changes", feed=True)
    let_through(flight, feed, 0)
    for number in (7, 8, 9):
        beat = flight.write(records.BEAT, number, number << 20, 3, 1e9 + number, counts=(1, 1))
        written.ring.keep((beat, flight.write(records.LINKS, 2, number, 5, 1.0)))
    report = written.report
    assert (report.recording.earlier, report.overtaken, report.reuse) == ([], False, (3, 9, 9, 5, True))
    for _ in range(2 * SLOTS):
        finish(flight, request())
    report = written.report
    assert [(each.kind, each.number) for each in report.recording.earlier] == [
        (records.BEAT, beat),
        (records.LINKS, beat + 1),
    ]
    assert (report.memory, report.busy) == (9 << 20, (2, 1, 1))
    assert report.last == pytest.approx(1e9 + 9, abs=5)
    assert (report.reuse, report.in_flight, report.overtaken) == ((3, 9 + TOLD, 9, 5, False), [], True)
    told = text(report)
    assert f"{9 + TOLD} requests on 3 connections of clients" in told
    assert "(at least: the ring does not reach back to the last beat)" in told
    assert "not all, perhaps: the ring was written anew since the last beat, which counted 1 request" in told
    assert "0 feeds under way, perhaps" in one_line(report)


@pytest.mark.parametrize("cut", range(0, records.RECORD_BYTES, 8))
def test_a_kept_beat_that_was_torn_leaves_the_one_before(written, cut):
    """There are two copies, and the older gives way."""
    numbers = []
    for number in (7, 8):
        numbers.append(written.flight.write(records.BEAT, number))
        written.ring.keep((numbers[-1], written.flight.write(records.LINKS)))
    for _ in range(SLOTS):
        written.flight.accepted(keepalive=True)
    data = bytearray(written.data)
    copies = [records.KEPT_AT + turn * records.RECORD_BYTES for turn in range(records.KEPT_COPIES)]
    (at,) = [at for at in copies if int.from_bytes(data[at : at + 8], "little") == numbers[1]]
    data[at + cut : at + records.RECORD_BYTES] = bytes(records.RECORD_BYTES - cut)  # as it is half way
    assert [each.number for each in read(bytes(data)).earlier if each.kind == records.BEAT] == numbers[:1]


def test_words_that_find_no_room_are_none(written):
    """The table of words is bounded, each word is cut, and a record without a word is whole."""
    for number in range(600):
        written.flight.write(records.EXCEPTION, word=f"Error{number}")
    written.flight.write(records.EXCEPTION, word="Error7" + "x" * 100)
    found = written.recording
    words = [found.word(each.word) for each in found.records]
    assert words[0] == f"Error{601 - TOLD}"
    assert words[-1] == "?"
    assert "Error510" in words
    assert "Error511" not in words


def test_no_value_is_too_large_for_its_field(written):
    """A status, a count or a number of threads out of all bounds is cut, and raises nothing."""
    finish(written.flight, request(status=123456))
    written.flight.write(records.BEAT, small=1000, counts=(70000, 70000))
    ended, beat = written.recording.records
    assert ended.status == 999
    assert (beat.small, beat.word, beat.place) == (255, 65535, 65535)


def test_an_unknown_method_is_another_one(written):
    """What a client invents as a method is not kept."""
    finish(written.flight, request(b"SECRET"))
    assert written.recording.records[0].small == 0
    assert b"SECRET" not in written.data


def test_threads_write_at_once(folder):
    """Records of many threads are all whole, and none has the number of another."""
    size = records.RING_AT + (1 << 20)
    written = Written(folder, size)

    def write():
        for _ in range(2000):
            one = request()
            let_through(written.flight, one, 0)
            finish(written.flight, one)

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = written.recording
    assert found.torn == 0
    assert [each.number for each in found.records] == list(range(1, 16001))
    assert sorted(each.ref for each in found.records if each.kind == records.ENDED) == sorted(
        each.number for each in found.records if each.kind == records.DECIDED
    )


def test_a_lock_tells_whether_a_process_lives(written):
    """While the ring is open nobody else gets its lock."""
    with written.path.open("rb") as file:
        assert not lock(file.fileno(), wait=False)
    written.ring = written.flight = None
    with written.path.open("rb") as file:
        assert lock(file.fileno(), wait=False)


FULL = """
import resource, signal, sys
from pathlib import Path
from couchgate.recorder.runs import new_ring
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    new_ring(Path(sys.argv[1]), 4 << 20, {})
except OSError as error:
    print(error.strerror)
"""


def test_a_disk_without_room_is_an_error_at_once_and_leaves_nothing(tmp_path):
    """The file is written before it is mapped, so that no page is missing later."""
    folder = tmp_path / "recorder"
    said = subprocess.run(
        [sys.executable, "-c", FULL, folder], cwd=CHECKOUT, capture_output=True, text=True, check=True
    )
    assert said.stdout == "File too large\n"
    assert list(folder.iterdir()) == []


def test_passwords_of_the_command_line_are_left_out():
    """What --auth is given is not kept, however it is abbreviated."""
    shown = shown_command(["twistd", "couchgate", "--auth", "memory:a:pw", "--auth=memory:b:pw", "--au", "x:pw", "-n"])
    assert shown == ["twistd", "couchgate", "--auth", "memory:...", "--auth=memory:...", "--au", "x:...", "-n"]


def test_a_head_that_is_too_long_is_cut(folder):
    """A command line of any length leaves a head that can be read."""
    written = Written(folder, listeners=[{"endpoint": "e" * 50}] * 3000, settings="s" * 90000, version="1")
    about = written.recording.about
    assert (len(about["listeners"]), len(about["settings"]), about["version"]) == (12, 100, "1")
    assert about["pid"] == os.getpid()


def test_the_process_tells_its_memory_and_its_program():
    """Resident memory is that of /proc; the program is the file that runs."""
    assert 1 << 20 < resident() < 1 << 36
    about = about_process("run", {})
    assert about["program"] == os.path.realpath(sys.executable)
    assert json.loads(json.dumps(about)) == about


def test_memory_is_told_where_there_is_no_proc(monkeypatch, tmp_path):
    """Elsewhere the most so far stands in its place, and 0 where nothing is known."""
    monkeypatch.setattr(system, "_STATM", tmp_path / "none")
    assert 1 << 20 < resident() < 1 << 36
    monkeypatch.setitem(sys.modules, "resource", None)
    assert resident() == 0
    monkeypatch.setattr(process, "_BOOT", tmp_path / "none")
    assert process.boot() == ""


def test_two_rings_of_one_process_do_not_meet(folder):
    """Each ring has a name of its own, and never takes the place of a file that is there."""
    rings = [new_ring(folder, SIZE, {}) for _ in range(3)]
    assert len(list(folder.iterdir())) == 3
    Flight(rings[0]).accepted(keepalive=True)
    with pytest.raises(FileExistsError):
        type(rings[0])(next(folder.iterdir()), SIZE, {})
