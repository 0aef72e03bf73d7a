"""The numbers of records, which any thread may take."""

import threading

from twisted.logger import Logger
from twisted.python.failure import Failure

from couchgate.recorder import records
from couchgate.recorder.numbers import Numbers


def test_none_is_left_out_and_none_is_given_twice():
    """Whichever threads take them."""
    numbers, taken = Numbers(), []
    threads = [threading.Thread(target=lambda: taken.extend([numbers.take() for _ in range(9000)])) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == list(range(1, 36001))


def test_a_failure_in_another_thread_is_recorded_at_once(beating, log_events):
    """It may be the last that the process does."""

    def fail():
        Logger("tests.recorder").failure("It failed", failure=Failure(LookupError()))

    thread = threading.Thread(target=fail)
    thread.start()
    thread.join()
    found = beating.recording
    assert [found.word(each.word) for each in found.records if each.kind == records.EXCEPTION] == ["LookupError"]
    log_events.clear()
