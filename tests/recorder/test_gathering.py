"""Records that are written some at a time are those that would have been written one by one."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from couchgate.recorder.reading import read
from couchgate.recorder.records import BATCHES_AT, COMMITTED, DECIDED, MOST_HELD, OLDEST, RECORD_BYTES, RING_AT
from tests.recorder.rings import SLOTS, TOLD, Written, finish, let_through, request

STEPS = st.lists(
    st.sampled_from(["accepted", "decided", "ended", "closed", "hold", "flush", "release", "another thread"]),
    max_size=60,
)


def told(recording):
    """Its records but for their moments."""
    return [(each.number, each.kind, each.ref, each.a, each.b, each.x, each.small) for each in recording.records]


def play(flight, other, steps):
    """Do these `steps` with `flight`, of which one that does not gather passes over some."""
    one = request(sent=5, received=9)
    for step in steps:
        if step == "another thread":
            other.write(DECIDED)
        elif step == "accepted":
            flight.accepted(keepalive=True)
        elif step == "closed":
            flight.closed(3)
        elif step == "decided":
            let_through(flight, one, 1)
        elif step == "ended":
            finish(flight, one)
        elif hasattr(flight, step):
            getattr(flight, step)(*([2.0] if step == "hold" else []))


@given(before=st.sampled_from([0, 3, SLOTS - 5]), steps=STEPS)
def test_whatever_is_kept_back_the_ring_tells_the_same(tmp_path_factory, before, steps):
    """With any holds, flushes and other threads between, also where the ring begins anew, the records are the same."""
    gathered, plain = (Written(tmp_path_factory.mktemp("rings")) for _ in range(2))
    for written in (gathered, plain):
        for _ in range(before):
            written.flight.write(DECIDED)
    gathering = gathered.flight.gathering()
    play(gathering, gathered.flight, steps)
    gathering.release()
    play(plain.flight, plain.flight, steps)
    assert told(gathered.recording) == told(plain.recording)
    assert gathering.accepted_count == plain.flight.accepted_count
    assert gathering.ended_count == plain.flight.ended_count


@pytest.mark.parametrize("count", [1, 2, MOST_HELD - 1, MOST_HELD, MOST_HELD + 1, 200])
def test_little_is_kept_back_before_it_is_flushed_and_nothing_then(written, count):
    """No more than a few records are kept back, and written whole; afterwards each is written at once again."""
    flight = written.flight.gathering()
    flight.hold(7.0)
    for _ in range(count):
        flight.accepted(keepalive=True)
    assert len(written.recording.records) == count // MOST_HELD * MOST_HELD
    flight.flush()
    assert [each.number for each in written.recording.records] == list(range(1, count + 1))
    assert {each.moment for each in written.recording.records} == {7.0}
    flight.release()
    flight.accepted(keepalive=True)
    assert len(written.recording.records) == count + 1


PIECES = st.sampled_from([8, 16, 32])  # bytes that a copy stores at once


@settings(max_examples=300, deadline=None)
@given(before=st.sampled_from([1, SLOTS - 2, SLOTS + 3]), count=st.integers(1, 5), piece=PIECES, data=st.data())
def test_a_batch_that_was_cut_off_anywhere_tells_nothing_wrong(tmp_path_factory, before, count, piece, data):
    """Whichever pieces of its copy were stored, nothing is told of it, nor of what it overwrites."""
    written = Written(tmp_path_factory.mktemp("rings"))
    flight = written.flight.gathering()
    flight.hold(7.0)
    for _ in range(before):
        flight.accepted(keepalive=True)
        flight.flush()
    old, known = written.data, written.recording
    for _ in range(count):
        let_through(flight, request(), 1)
    flight.flush()
    new, numbers = written.data, range(before + 1, before + count + 1)
    cut = bytearray(new)
    committed = BATCHES_AT + 8 * COMMITTED
    cut[committed : committed + 8] = old[committed : committed + 8]
    places = [
        RING_AT + number % SLOTS * RECORD_BYTES + at for number in numbers for at in range(0, RECORD_BYTES, piece)
    ]
    for at in data.draw(st.lists(st.sampled_from(places), unique=True)):
        cut[at : at + piece] = old[at : at + piece]
    told = read(bytes(cut))
    assert told.records == known.records
    assert told.missing == 0
    assert read(new).records[:-count] == [each for each in told.records if each.number > numbers[-1] - TOLD]
    assert [each.number for each in read(new).records][-count:] == list(numbers)


class CutOff(Exception):
    """The process is ended here."""


class Batches:
    """Stores of a batch's numbers until the one that completes it."""

    def __init__(self, batches):
        self._batches = batches

    def __setitem__(self, place, number):
        if place == COMMITTED:
            raise CutOff
        self._batches[place] = number


def test_what_threads_have_written_behind_a_batch_that_was_cut_off_is_told(written):
    """However long the lane had nothing to write before it: only the slots of the batch are in doubt."""
    for _ in range(SLOTS + 99):
        written.flight.closed(1)
    flight = written.flight.gathering()
    flight.hold(7.0)
    held = flight.accepted(keepalive=True)
    one = request()
    let_through(written.flight, one)
    written.flight.upstream(one.record)
    flight._batches = Batches(flight._batches)
    with pytest.raises(CutOff):
        flight.flush()
    told = written.recording
    assert [each.number for each in told.records][-3:] == [held - 1, held + 1, held + 2]
    assert [each.id for each in written.report.in_flight] == [one.record]
    assert (told.torn, told.missing) == (1, 0)


@pytest.mark.parametrize("between", [SLOTS - OLDEST - 1, SLOTS - OLDEST, SLOTS - 1, SLOTS, 3 * SLOTS])
def test_a_batch_that_threads_have_overtaken_gives_way(written, between):
    """Where they have written as much as the ring has while it was kept back, its records are the old ones."""
    flight = written.flight.gathering()
    flight.hold(7.0)
    flight.accepted(keepalive=True)
    for _ in range(between):
        written.flight.closed(1)
    one = request()
    let_through(written.flight, one)
    written.flight.closed(1)
    flight.flush()
    assert [each.number for each in written.recording.records] == list(range(between + 4 - TOLD, between + 4))
    assert [each.id for each in written.report.in_flight] == [one.record]


def test_what_a_thread_writes_beside_a_batch_that_was_cut_off_is_told(written):
    """Its numbers are among those of the batch, and it stores each record by itself."""
    flight = written.flight.gathering()
    flight.hold(7.0)
    flight.accepted(keepalive=True)
    written.flight.write(DECIDED)
    flight.accepted(keepalive=True)
    flight.flush()
    cut = bytearray(written.data)
    committed = BATCHES_AT + 8 * COMMITTED
    cut[committed : committed + 8] = bytes(8)
    assert [(each.number, each.kind) for each in read(bytes(cut)).records] == [(2, DECIDED)]
