"""The numbers of records, and who may take them."""

import threading
from types import SimpleNamespace

import pytest
from twisted.internet.task import Clock
from twisted.logger import Logger
from twisted.python.failure import Failure

from couchgate.life.recording import Recording
from couchgate.recorder import records
from couchgate.recorder.numbers import Numbers
from couchgate.recorder.runs import folder_of, look
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


class Reactor(Clock):
    """A clock that keeps what another thread has asked for."""

    def __init__(self):
        super().__init__()
        self.asked = []

    def callFromThread(self, call, *arguments, **more):
        self.asked.append(lambda: call(*arguments, **more))

    def addSystemEventTrigger(self, phase, event, call):
        return (phase, event, call)

    def removeSystemEventTrigger(self, trigger):
        pass


@pytest.fixture
def recording(tmp_path):
    reactor = Reactor()
    settings = SimpleNamespace(
        gate=SimpleNamespace(state_dir=tmp_path, listeners=[]),
        recorder=SimpleNamespace(enabled=True, bytes=records.LEAST_BYTES),
        path=tmp_path / "couchgate.toml",
        digest="",
    )
    watched = SimpleNamespace(
        settings=settings,
        keyring=SimpleNamespace(states=list),
        pool=SimpleNamespace(opened=0, reused=0, open=0),
        listening=list,
    )
    service = Recording(watched, reactor, None)
    service.startService()
    yield SimpleNamespace(
        service=service, asked=reactor.asked, found=lambda: look(next(folder_of(tmp_path).glob("*.ring"))).recording
    )
    service.stopService()


def fail():
    """Log a failure as any part of the gate may."""
    Logger("tests.recorder").failure("It failed", failure=Failure(LookupError()))


def told(recording):
    found = recording.found()
    return [found.word(each.word) for each in found.records if each.kind == records.EXCEPTION]


@pytest.mark.parametrize("shared", [False, True])
def test_a_failure_in_another_thread_is_recorded_by_who_may(recording, shared, log_events):
    """By the reactor's thread where the numbers are for it alone, and at once where any may take them."""
    numbers = recording.service.flight.numbers
    numbers.shared = False  # as where it is not compiled
    if shared:
        numbers.share()
    fail()
    assert told(recording) == ["LookupError"]
    thread = threading.Thread(target=fail)
    thread.start()
    thread.join()
    assert told(recording) == ["LookupError"] * (2 if shared else 1)
    for call in recording.asked:
        call()
    assert told(recording) == ["LookupError", "LookupError"]
    log_events.clear()
