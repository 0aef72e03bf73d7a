"""What is under way is told at every instant, or it is said that something may lack."""

import pytest

from couchgate.recorder import records
from couchgate.recorder.records import OLDEST
from tests.recorder.rings import SLOTS, let_through, request, subject


def under_way(flight, principal="alice"):
    """A request that CouchDB has not answered."""
    one = request(feed=True, principal=principal)
    let_through(flight, one)
    return one


def others(beating, count):
    """So many records of something else."""
    for _ in range(count):
        beating.flight.closed(3)


def assert_told(beating):
    """All that the site has is told, and nothing else, unless the report says that some may lack."""
    report = beating.report
    told, there = {each.id for each in report.in_flight}, {each.record for each in beating.site.under_way}
    assert told <= there
    assert told == there or report.overtaken


@pytest.mark.parametrize("since", [0, 1, SLOTS // 4 - 2, SLOTS // 4 - 1, SLOTS // 4])
@pytest.mark.parametrize("count", [1, 100, SLOTS - OLDEST, SLOTS])
def test_what_lasts_is_told_or_the_ring_is_called_too_small(beating, since, count):
    """However many last, and however long before the beat they began, up to the next beat and beyond it."""
    others(beating, SLOTS)
    early = [under_way(beating.flight) for _ in range(count)]
    others(beating, since)
    beating.site.under_way = [under_way(beating.flight), *early]
    for _ in range(3):
        beating.beat()
        for _ in range(9):
            assert_told(beating)
            others(beating, SLOTS // 9)


def test_the_last_beat_with_room_tells_of_all(beating):
    """Where beats come often enough, nothing is called perhaps."""
    others(beating, SLOTS)
    beating.site.under_way = [under_way(beating.flight)]
    for _ in range(9):
        beating.beat()
        others(beating, SLOTS // 8)
        assert not beating.report.overtaken
        assert_told(beating)


def test_what_waits_for_its_decision_is_told_or_the_ring_is_called_too_small(beating):
    """It is not written again; so a beat says from which record on it is told."""
    waits = request(principal="")
    waits.subject = subject(beating.flight, waits)
    waits.record = beating.flight.head_seen(waits.subject, beating.flight.accepted())
    beating.site.under_way = [waits]
    for _ in range(9):
        beating.beat()
        assert_told(beating)
        others(beating, SLOTS // 6)
    assert beating.report.overtaken


class Ending:
    """A site in whose thread a request ends after the beat has found it, and before it is written again."""

    connections = 1
    recorder = None

    def __init__(self, flight, one):
        self._flight, self._left = flight, [one]

    @property
    def under_way(self):
        found, self._left = self._left, []
        for one in found:
            self._flight.ended(one.record, one.subject, "forwarded", 200, 11, 0, 0.1)
        return found


def test_what_a_thread_ends_during_a_beat_is_over(beating):
    """Also where the ring has its STILL and no longer its end."""
    others(beating, SLOTS)
    one = under_way(beating.flight)
    others(beating, SLOTS // 4)
    beating.site = Ending(beating.flight, one)
    beating.beat()
    kinds = [each.kind for each in beating.recording.records if each.ref == one.record]
    assert kinds == [records.ENDED, records.STILL, records.OVER]
    for _ in range(SLOTS):
        assert beating.report.in_flight == []
        others(beating, 1)


@pytest.mark.parametrize("reach", [0, 1, 9, (1 << records.REACH) + 9])
def test_a_beat_is_believed_as_far_as_it_reaches(written, reach):
    """With the oldest record that it relies on nothing lacks; once that one is not told any longer something may."""
    flight = written.flight
    for _ in range(SLOTS):
        flight.closed(3)
    beat = flight.write(records.BEAT)
    flight.write(records.LINKS, counts=divmod(reach, 1 << records.REACH))
    for _ in range(SLOTS - OLDEST - 3):
        flight.closed(3)
        oldest = written.recording.records[0].number
        assert written.report.overtaken == (beat - reach < oldest)
