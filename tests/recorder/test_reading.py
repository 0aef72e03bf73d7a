"""Whatever the bytes of a ring are, they give a report or one sentence."""

import json
import struct
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from zlib import crc32

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from couchgate.recorder import records
from couchgate.recorder.letter import letter, program_of
from couchgate.recorder.reading import UnreadableRingError, read, read_head, walls
from couchgate.recorder.report import report_of
from couchgate.recorder.runs import Run
from couchgate.recorder.telling import as_json, one_line, text
from tests.recorder.rings import SLOTS, TOLD, Written, finish, let_through, request, subject


def whole():
    """The bytes of a ring that holds some of everything."""
    with TemporaryDirectory() as made:
        written = Written(Path(made) / "recorder", version="1", listeners=[{"endpoint": "tcp:1", "mode": "close"}])
        flight = written.flight
        flight.write(records.STARTED)
        for number in range(2 * SLOTS):
            connection = flight.accepted(keepalive=bool(number % 2))
            one = request(feed=number % 50 == 0)
            flight.head_seen(subject(flight, one), connection)
            let_through(flight, one, connection)
            if number % 9:
                flight.upstream(one.record)
                finish(flight, one)
            flight.closed(connection)
        flight.write(records.BEAT, 5, 1 << 26, 7, 1e9, small=3, counts=(1, 2))
        flight.write(records.LINKS, 3, 4, 5, 1.0)
        flight.write(records.KEYS, 1, 1, 0, word="issuers[0]")
        flight.write(records.EXCEPTION, word="ValueError")
        return written.data


WHOLE = whole()
PIECES = st.tuples(st.integers(0, len(WHOLE) - 1), st.binary(min_size=1, max_size=80))


def tell(data):
    """Everything that is made of a ring."""
    run = Run(Path("x.ring"), read(data), alive=False)
    report = report_of(run, "boot")
    assert text(report).isprintable() or "\n" in text(report)
    json.dumps(as_json(report), allow_nan=False)
    assert "\n" not in one_line(report)
    letter(report, program_of(report.recording))
    return report


def patched(data, pieces):
    data = bytearray(data)
    for at, piece in pieces:
        data[at : at + len(piece)] = piece[: len(data) - at]
    return bytes(data)


def with_json(content):
    """A ring with another head, whose checksums are right."""
    sizes = records.HEAD.pack(records.MAGIC, records.RECORD_BYTES, 0, SLOTS, len(content), crc32(content), 0)[:-4]
    begin = (sizes + struct.pack("<I", crc32(sizes))).ljust(records.JSON_AT, b"\0") + content
    return begin + WHOLE[len(begin) :]


def test_a_whole_ring_is_read_whole():
    """Nothing of a ring that was left alone is called torn."""
    report = tell(WHOLE)
    assert report.recording.torn == 0
    assert len(report.recording.records) == TOLD
    assert report.recording.missing == 0
    assert (report.ending, report.exception, report.memory) == ("killed", "ValueError", 1 << 26)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(pieces=st.lists(PIECES, min_size=1, max_size=20))
def test_bytes_that_were_changed_anywhere_are_survived(pieces):
    """Any damage in any place gives a report, or the one sentence."""
    with suppress(UnreadableRingError):
        tell(patched(WHOLE, pieces))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(slot=st.integers(0, SLOTS - 1), content=st.binary(min_size=48, max_size=48), kind=st.integers(0, 255))
def test_a_record_that_seems_whole_may_hold_anything(slot, content, kind):
    """Numbers that fit say that a record is whole; what it holds is judged all the same."""
    number = struct.pack("<Q", 7 * SLOTS + slot)
    forged = number + content[:40] + bytes([kind]) + content[41:48] + bytes([7 + 1])
    tell(patched(WHOLE, [(records.RING_AT + slot * records.RECORD_BYTES, forged)]))


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(about=st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda each: st.lists(each, max_size=3) | st.dictionaries(st.sampled_from(
        ["wall", "monotonic", "pid", "command", "program", "listeners", "endpoint", "mode", "boot", "version", "folder"]
    ), each, max_size=6), max_leaves=12,
))  # fmt: skip
def test_a_head_may_say_anything(about):
    """The JSON of a head may be of any shape."""
    tell(with_json(json.dumps(about).encode()))


@pytest.mark.parametrize("content", [b"{", b"[" * 9000, b'{"wall": 1e999}', b"\xff", b'{"program": "/\\u0000"}'])
def test_a_head_that_is_no_json_tells_nothing(content):
    """The records are told without it."""
    assert tell(with_json(content)).started == 0


@settings(max_examples=50, deadline=None)
@given(data=st.binary(max_size=300))
def test_what_is_no_ring_is_one_sentence(data):
    """Short and foreign files are refused."""
    sizes = struct.pack("<8sHHIII", records.MAGIC, records.RECORD_BYTES, 0, 1 << 30, 0, 0)
    too_long = (sizes + struct.pack("<I", crc32(sizes))).ljust(records.LEAST_BYTES, b"\0")
    for each in (data, data.ljust(records.LEAST_BYTES, b"\0"), WHOLE[: records.RING_AT], too_long):
        with pytest.raises(UnreadableRingError):
            read(each)
    with pytest.raises(UnreadableRingError):
        read_head(data, len(data))


@settings(max_examples=50, deadline=None)
@given(size=st.integers(records.RING_AT - 99, len(WHOLE) - 1))
def test_a_ring_that_was_cut_off_tells_what_is_left(size):
    """The records that are there are those that were there, and the others are missing."""
    if size <= records.RING_AT:
        with pytest.raises(UnreadableRingError):
            read(WHOLE[:size])
        return
    left = tell(WHOLE[:size]).recording
    assert set(left.records) <= set(read(WHOLE).records)
    assert len(left.records) + left.missing == (TOLD if left.records else 0)
    assert left.torn == 0


@given(stored=st.sets(st.integers(0, records.END // 4 - 1)))
def test_a_record_that_was_torn_anywhere_is_skipped(stored):
    """Whichever pieces of it were stored when the process was ended, neither it nor what it overwrites is told."""
    before = read(WHOLE).records
    new, at = following(before[-1].number)
    pieces = [(at + 4 * piece, new[4 * piece : 4 * piece + 4]) for piece in stored]
    report = read(patched(WHOLE, pieces))
    assert (list(report.records), report.missing) == (list(before), 0)


def test_a_record_that_was_stored_to_its_end_is_told():
    """And the oldest of those before it is not told any longer."""
    before = read(WHOLE).records
    new, at = following(before[-1].number)
    report = read(patched(WHOLE, [(at, new)]))
    assert report.records[:-1] == before[1:]
    assert report.records[-1].number == before[-1].number + 1
    assert (report.torn, report.missing) == (0, 0)


def following(number):
    """The bytes of the record after the one with this number, and where they belong."""
    number += 1
    new = records.RECORD.pack(number, 1.0, 1, 2, 3, 4.0, records.ACCEPTED, 0, 0, 0, 0, number // SLOTS + 1)
    return new, records.RING_AT + number % SLOTS * records.RECORD_BYTES


def test_the_wall_clock_is_that_of_the_last_beat():
    """A clock that was set, or a machine that slept, is seen at the next beat."""
    found = read(WHOLE)
    times = walls(found)
    beat = next(index for index, each in enumerate(found.records) if each.kind == records.BEAT)
    assert times[beat] == pytest.approx(1e9)
    assert times[beat + 1] == pytest.approx(1e9, abs=1)
    assert times[0] == pytest.approx(1e9, abs=60)  # nearer to it than to the start


def test_a_report_prints_no_control_characters(tmp_path):
    """What a forged ring names reaches a terminal escaped."""
    written = Written(tmp_path / "recorder", version="1\x1b[2J", listeners=[{"endpoint": "a\nb|`c", "mode": "\x07"}])
    written.flight.write(records.EXCEPTION, word="Bad\x1b[31m")
    report = tell(written.data)
    assert text(report).replace("\n", "").isprintable()
    assert "\\x1b[31m" in text(report)
    page = letter(report, program_of(report.recording))
    assert "a\\nb\\|'c" in page
    assert page.replace("\n", "").isprintable()


def laps():
    """The bytes of a ring at some moments of its life, and each record as it was written."""
    written_whole, moments = {}, []
    with TemporaryDirectory() as made:
        written = Written(Path(made) / "recorder")
        for step in range(9 * SLOTS):
            one = request(sent=step)
            let_through(written.flight, one)
            finish(written.flight, one)
            if step % (SLOTS // 3) == 7:
                moments.append(written.data)
                written_whole.update({each.number: each for each in read(moments[-1]).records})
    return moments, written_whole


LAPS = laps()


@settings(max_examples=60, deadline=None)
@given(data=st.data(), first=st.integers(0, 20), spread=st.integers(0, 6))
def test_sectors_of_different_moments_show_only_what_was_written(data, first, spread):
    """After a power cut a disk has some sectors of now and some of before: no record is made up, and the gaps show."""
    moments, written_whole = LAPS
    sectors = range(records.RING_AT, len(moments[0]), 512)
    chosen = data.draw(st.lists(st.integers(first, first + spread), min_size=len(sectors), max_size=len(sectors)))
    mixed = bytearray(moments[first])
    for at, which in zip(sectors, chosen, strict=True):
        mixed[at : at + 512] = moments[which][at : at + 512]
    report = tell(bytes(mixed))
    found = report.recording.records
    assert all(written_whole[each.number] == each for each in found)
    assert found[-1].number - found[0].number < SLOTS
    assert report.recording.torn == 0
    assert report.recording.missing + len(found) == min(TOLD, found[-1].number)
    if len(set(chosen)) == 1:
        assert report.recording.missing == 0


def test_what_waits_for_its_decision_is_under_way(written):
    """It is told as not yet decided until it is decided, refused, or its client leaves."""
    flight, one = written.flight, request()
    connections = [flight.accepted(keepalive=True) for _ in range(4)]
    heads = [flight.head_seen(subject(flight, request()), each) for each in connections]
    one.record = heads[0]
    assert [(each.id, each.decided) for each in written.report.in_flight] == [(head, False) for head in heads]
    assert "not yet decided" in text(written.report)
    let_through(flight, one, connections[0])
    assert [(each.id, each.decided) for each in written.report.in_flight] == [
        *((head, False) for head in heads[1:]),
        (one.record, True),
    ]
    finish(flight, one)
    refused = request(status=401)
    refused.record = heads[1]
    finish(flight, refused)
    flight.closed(connections[2])
    assert [each.id for each in written.report.in_flight] == [heads[3]]
