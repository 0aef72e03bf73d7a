"""The run itself, in this process: that a server is still there does not say that it lives."""

import threading
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from couchgate.demo_settings import UpstreamAuth
from couchgate.probe import run
from couchgate.probe.candidates import Bench, absent
from couchgate.probe.desk import SILENT_SECONDS, Desk
from couchgate.probe.results import Row
from couchgate.probe.run import Amount, Probe
from tests.probe.conftest import gone


class Silence:
    """Progress that nobody sees."""

    def show(self, about, text):
        pass

    def say(self, text):
        pass


class Page:
    """A page that says of each task what `said` has for it, and `(answered, …)` by its number of words so far."""

    def __init__(self, desk, says):
        self.desk, self.says = desk, says
        self.over = threading.Event()
        self.words = 0

    def serve(self):
        running = None
        while not self.over.wait(0.02):
            said = self.says(self.words) if running is not None else {}
            if said is None:
                return
            self.words += running is not None
            task = self.desk.tell({"page": "a", "running": running, **said})["task"]
            running = task and task["number"]


@contextmanager
def page(desk, says):
    """The page serves from a thread meanwhile."""
    made = Page(desk, says)
    thread = threading.Thread(target=made.serve)
    thread.start()
    try:
        yield made
    finally:
        made.over.set()
        thread.join()


@pytest.fixture
def probe(tmp_path):
    """A probe that has not been run; what it keeps is in `kept`."""
    kept = []
    bench = Bench(tmp_path, "http://127.0.0.1:9", UpstreamAuth("none"), "http://127.0.0.1:8")
    made = Probe(Desk(), bench, Amount(1.0, 0), Silence(), kept.append)
    made.kept = kept
    return made


def judged(probe, says, *, amount=None):
    """The row of the control beside a page that says this."""
    if amount is not None:
        probe._amount = amount
    with page(probe._desk, says):
        probe.run(["control"], 5)
    (row,) = probe.rows
    gone([row.pid])
    return row


def test_a_server_that_nobody_asked_does_not_survive(probe, monkeypatch):
    """Without an answer it is no traffic, and no advice comes of it."""
    monkeypatch.setattr(run, "START_SECONDS", 0.3)
    row = judged(probe, lambda _: {"answered": 0})
    assert (row.result, row.note, row.seconds) == ("no traffic", "", 0.0)
    assert row.status.startswith("stopped by the probe")


def test_a_server_that_answers_no_request_does_not_survive(probe, monkeypatch):
    """It is told that there were requests."""
    monkeypatch.setattr(run, "START_SECONDS", 0.3)
    row = judged(probe, lambda words: {"failed": words})
    assert (row.result, row.note) == ("no traffic", "it runs, and the browser gets no answer")


def test_a_few_answers_do_not_make_it_survive(probe):
    """Fifty are needed, or all that were asked for."""
    assert judged(probe, lambda _: {"answered": 49}).result == "too little traffic"


def test_enough_answers_make_it_survive(probe):
    """Of those that the page tells, refusals do not count."""
    row = judged(probe, lambda _: {"answered": 60, "refused": 10})
    assert (row.result, row.requests, row.note) == ("survived", 60, "")


def test_refusals_are_no_traffic(probe):
    """What is refused is not what an app does, and the reason is told."""
    row = judged(probe, lambda _: {"answered": 400, "refused": 390, "complaint": "PUT was answered 403"})
    assert row.result == "too little traffic"
    assert row.note == "390 answers were refusals; the last: PUT was answered 403"


def test_a_number_of_requests_ends_it(probe):
    """The next has its turn long before the time is over."""
    row = judged(probe, lambda words: {"answered": words}, amount=Amount(600, 7))
    assert (row.result, row.requests >= 7) == ("survived", True)


def test_a_server_that_stops_answering_is_stalled(probe, monkeypatch):
    """It lived once, and its process is still there."""
    monkeypatch.setattr(run, "STALL_SECONDS", 0.2)
    row = judged(probe, lambda words: {"answered": 70 + min(words, 3)})
    assert row.result == "stalled"
    assert row.note.startswith("no answer in its last ")


def test_a_page_that_leaves_makes_nothing_survive(probe, monkeypatch):
    """Neither what it was asking, nor what would have come: that is not run, and not waited for again."""
    monkeypatch.setattr("couchgate.probe.desk.SILENT_SECONDS", 1.0)
    probe._amount = Amount(600, 0)
    with page(probe._desk, lambda words: {"answered": 100} if words < 3 else None):
        probe.run(["control", "threaded", "close"], 1.0)
    assert [(row.result, row.note) for row in probe.rows] == [
        ("too little traffic", "the page in the browser has gone"),
        ("not run", "the page in the browser has gone"),
        ("not run", "the page in the browser has gone"),
    ]
    assert SILENT_SECONDS > 3  # a page speaks three times a second
    assert probe.kept[-1].advice.verdict == "unknown"


def test_what_is_known_is_kept_at_each_step(probe):
    """First that it runs, with its process; then the row; then that this is the end."""
    row = judged(probe, lambda _: {"answered": 60})
    assert [[(each.name, each.result) for each in outcome.rows] for outcome in probe.kept] == [
        [("control", "running")],
        [("control", "survived")],
        [("control", "survived")],
    ]
    assert probe.kept[0].rows[0].pid == row.pid
    assert [outcome.finished for outcome in probe.kept] == [False, False, True]


def test_an_interruption_leaves_a_row_and_no_process(probe, monkeypatch):
    """Whatever it is that interrupts."""

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(probe, "_drive", interrupt)
    with page(probe._desk, lambda _: {}), pytest.raises(KeyboardInterrupt):
        probe.run(["control"], 5)
    (row,) = probe.rows
    assert row.result == "interrupted"
    gone([row.pid])
    assert not probe.finished


def test_the_relay_is_not_given_credentials(tmp_path):
    """It is run in front of a database that asks nobody, or not at all."""
    basic = UpstreamAuth("basic", username="admin", password_file=Path("password.txt"))
    assert absent("keepalive", basic) == ""
    assert absent("asyncio relay", basic)


def test_the_relay_is_run_where_its_packages_are(probe, monkeypatch):
    """What is missing is named, in the table too."""
    monkeypatch.setattr("couchgate.probe.relay.PACKAGES", ("json", "no_such_package_here"))
    assert absent("asyncio relay", None) == "it needs no_such_package_here"
    probe.run(["asyncio relay"], 0)
    assert probe.rows == [Row("asyncio relay", "not installed", note="it needs no_such_package_here")]
    assert probe.kept[-1].advice.verdict == "unknown"
    monkeypatch.setattr("couchgate.probe.relay.PACKAGES", ("json",))
    assert absent("asyncio relay", None) == ""
    assert absent("asyncio relay", UpstreamAuth("proxy")) == "it is not given CouchDB's credentials"


def test_time_is_not_spent_on_waiting_for_a_page_that_is_here():
    """`wait_for_page` and `wait_until_idle` are over at once, where there is nothing to wait for."""
    desk = Desk()
    desk.tell({"page": "a"})
    begun = time.monotonic()
    assert desk.wait_for_page(60)
    desk.wait_until_idle(60)
    assert time.monotonic() - begun < 30
