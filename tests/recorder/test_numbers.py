"""The numbers of records, and who may take them."""

import threading

import pytest
from twisted.logger import Logger
from twisted.python.failure import Failure

from couchgate.recorder import records
from couchgate.recorder.numbers import Numbers
from tests.recorder.rings import finish, let_through, request


def test_they_go_on_where_they_were_when_they_are_shared():
    """None is left out and none is given twice, however often it is said."""
    numbers = Numbers()
    taken = [numbers.take() for _ in range(3)]
    numbers.share()
    taken.append(numbers.take())
    numbers.share()
    taken.append(numbers.take())
    assert taken == [1, 2, 3, 4, 5]
    assert numbers.last == 5
    assert numbers.shared


def test_a_batch_goes_on_when_they_are_shared_in_the_middle_of_it(written):
    """A reload may add the first listener in threads while the lane keeps records back."""
    gathering = written.flight.gathering()
    gathering.hold(7.0)
    one = request()
    let_through(gathering, one)
    written.flight.numbers.share()
    connection = written.flight.accepted(keepalive=False)
    finish(gathering, one)
    gathering.release()
    found = written.recording.records
    assert [(each.number, each.kind) for each in found] == [
        (1, records.DECIDED),
        (2, records.ACCEPTED),
        (3, records.ENDED),
    ]
    assert (connection, found[2].ref) == (2, 1)


def fail():
    """Log a failure as any part of the gate may."""
    Logger("tests.recorder").failure("It failed", failure=Failure(LookupError()))


def told(beating):
    found = beating.recording
    return [found.word(each.word) for each in found.records if each.kind == records.EXCEPTION]


@pytest.mark.parametrize("shared", [False, True])
def test_a_failure_in_another_thread_is_recorded_by_who_may(beating, shared, log_events):
    """By the reactor's thread where the numbers are for it alone, and at once where any may take them."""
    numbers = beating.service.flight.numbers
    numbers.shared = False  # as where it is not compiled
    if shared:
        numbers.share()
    fail()
    assert told(beating) == ["LookupError"]
    thread = threading.Thread(target=fail)
    thread.start()
    thread.join()
    assert told(beating) == ["LookupError"] * (2 if shared else 1)
    for call in beating.reactor.asked:
        call()
    assert told(beating) == ["LookupError", "LookupError"]
    log_events.clear()
