"""What every test has: a failure that Twisted only logs fails the test, too."""

import gc
import signal

import pytest
from hypothesis import HealthCheck, settings
from twisted.logger import formatEvent, globalLogPublisher

# A busy machine is no failure.
settings.register_profile("couchgate", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("couchgate")


def pytest_collection_finish(session):
    """Set aside what exists before the first test, so that the collection after each test looks at its own only."""
    gc.collect()
    gc.freeze()


def pytest_runtestloop():
    """A SIGTERM, of `timeout` for one, ends the run as Ctrl-C does. Twisted's handler would stop the reactor, and every
    test from there on would fail for want of it.
    """
    from twisted.internet import reactor  # noqa: TID251 - tests own the process

    reactor.callWhenRunning(signal.signal, signal.SIGTERM, signal.default_int_handler)


@pytest.fixture(autouse=True)
def log_events():
    """The events that were logged during this test, which fails if any of them holds a failure.

    Deferreds that failed and were dropped report it when they are collected: so that happens before the look.
    """
    events = []
    globalLogPublisher.addObserver(events.append)
    try:
        yield events
        gc.collect()
    finally:
        globalLogPublisher.removeObserver(events.append)
    failures = [_text(event) for event in events if event.get("isError") or event.get("log_failure") is not None]
    assert not failures, "\n".join(["Twisted logged:", *failures])


def _text(event):
    failure = event.get("log_failure")
    return f"{formatEvent(event)}\n{failure.getTraceback() if failure is not None else ''}"


@pytest.fixture
def reactor():
    """The reactor that pytest-twisted runs."""
    from twisted.internet import reactor  # noqa: TID251 - tests own the process

    return reactor
