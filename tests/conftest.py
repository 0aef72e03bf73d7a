"""What every test has: a failure that Twisted only logs fails it, too. And how the tests are shared out to workers."""

import gc
import os
import signal

import pytest
from hypothesis import HealthCheck, settings
from twisted.logger import formatEvent, globalLogPublisher

# A busy machine is no failure.
settings.register_profile("couchgate", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("couchgate")

# A shell starts what runs in its background with SIGINT ignored, and so would be each gate that a test starts and ends.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config):
    """Two workers for each processor, at most eight: most tests wait for sockets."""
    return min(8, 2 * (os.cpu_count() or 1))


def pytest_collection_modifyitems(items):
    """Slow tests begin the run: at its end no worker waits for another's."""
    items.sort(key=lambda item: not any(item.iter_markers("slow")))


# Each of their tests takes long and shares little with the others.
APART = {"tests/conformance/test_conformance.py", "tests/endurance/test_soak.py", "tests/integration/test_pouchdb.py"}


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """How the workers share the tests, whatever `--dist` says."""
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):
        """Gives all tests of a file to one worker, which makes their fixtures once; those of APART go to any."""

        def _split_scope(self, nodeid):
            file = nodeid.partition("::")[0]
            return nodeid if file in APART else file

    return ByFile(config, log)


def pytest_collection_finish(session):
    """Set aside what exists before the first test, so that the collection after each test looks at its own only."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop():
    """A SIGTERM, of `timeout` for one, ends the run as Ctrl-C does, and with it the workers and what they started.
    Twisted's handler would stop the reactor, and every test from there on would fail for want of it.
    """
    from twisted.internet import reactor  # noqa: TID251 - tests own the process

    signal.signal(signal.SIGTERM, signal.default_int_handler)
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
