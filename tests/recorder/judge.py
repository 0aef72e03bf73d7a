"""Whether what a ring tells is what the load knows: at whatever instant the gate was ended, all of this is true."""

from collections import Counter

from couchgate.recorder import records
from couchgate.recorder.reading import walls
from tests.recorder.load import ASKED, MODES

BATCH = 64  # more records than the load makes in one batch, in whose copying a process may be ended
CLOCKS = 0.5  # seconds by which two readings of the wall clock may differ


def judge(report, load, since, until):
    """A report of an end between the times `since` and `until`, under `load`."""
    found = report.recording.records
    assert report.ending == "killed"
    assert not report.patchy
    assert report.recording.torn <= BATCH
    assert all(since - CLOCKS < wall < until + CLOCKS for wall in (report.started, *walls(report.recording)))
    assert report.memory > 1 << 20
    # The slots of what is being written now, after the newest that is whole, are those of the oldest.
    _judge_order(found, max(found[0].number, found[-1].number - report.recording.slots + BATCH))
    whole = found[0].number == 1
    told = Counter(each.target for each in report.in_flight)
    if whole or not report.overtaken:
        assert [each.target for each in report.in_flight if each.feed] == ["_changes"] * len(MODES)
    if whole:
        assert not report.overtaken
        _judge_counts(report, load)
    assert told.keys() <= {*load.askers, "_changes"}
    assert all(told[name] <= 1 for mode, *_, name in ASKED if mode != "threaded")
    asked, answered = (sum(getattr(each, name) for each in load.askers.values()) for name in ("asked", "answered"))
    least = answered - len(load.askers) if report.reuse.complete else 0
    assert least <= report.reuse.requests <= asked + len(MODES)


def _judge_order(found, first):
    """Each thing refers to one that was there before it, and is not over; in two modes a connection has one request."""
    open_, decided, served = {}, set(), set()
    for each in found:
        known = each.ref < first
        if each.kind == records.ACCEPTED:
            open_[each.number] = bool(each.small)
        elif each.kind == records.CLOSED:
            assert open_.pop(each.ref, None) is not None or known
        elif each.kind == records.DECIDED:
            assert each.ref in open_ or known
            assert open_.get(each.ref, known) or each.ref not in served
            served.add(each.ref)
            decided.add(each.number)
        elif each.kind == records.UPSTREAM:
            assert each.ref in decided or known
        elif each.kind == records.ENDED:
            assert each.ref in decided or known
            decided.discard(each.ref)


def _judge_counts(report, load):
    """The ring has the whole run: each step of each client that was reached is there, and none that was not."""
    found = report.recording.records
    name_of = {each.number: report.recording.word(each.place) for each in found if each.kind == records.DECIDED}
    decided = Counter(name_of.values())
    ended = Counter(name_of[each.ref] for each in found if each.kind == records.ENDED and each.ref)
    under_way = Counter(each.target for each in report.in_flight)
    for mode, method, path, name in ASKED:
        asker, reached = load.askers[name], load.received(method, path)
        steps = (asker.answered, reached, decided[name], asker.asked, asker.answered + 1)
        assert list(steps) == sorted(steps), (name, steps)
        if mode != "threaded":  # there a thread may yet see its answer off while another has the client's next request
            assert asker.answered - 1 <= ended[name] <= decided[name] <= ended[name] + 1
        assert under_way[name] == decided[name] - ended[name]
    threads = sum(mode == "threaded" for mode, *_ in ASKED)  # what one writes just then a beat may count, or not
    accepted = sum(each.kind == records.ACCEPTED for each in found)
    assert abs(report.reuse.accepted - accepted) <= threads
    assert abs(report.reuse.requests - sum(each.kind == records.ENDED for each in found)) <= threads
