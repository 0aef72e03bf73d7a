"""Beside a sensor that ends processes by a rule, the probe's table and advice are right."""

import os
import signal

import pytest

from tests.browser.conftest import program
from tests.probe.conftest import gone
from tests.web.sockets import eventually

pytestmark = pytest.mark.slow
QUICK = ("--seconds", "60", "--requests", "30")
GATES = tuple(word for name in ("control", "threaded", "close", "keepalive") for word in ("--only", name))


def results(told):
    return {row["name"]: row["result"] for row in told["rows"]}


def row(told, name):
    return next(row for row in told["rows"] if row["name"] == name)


def test_where_nothing_is_ended_keepalive_is_advised_and_nothing_proved(probe):
    """Each candidate survives, after traffic, with what its recorder has last; the default is named, with a caution."""
    status, told, printed, _ = probe("nothing", "SIGKILL", *QUICK).finish()
    assert (status, told["verdict"], told["mode"], told["finished"]) == (0, "use", "keepalive", True)
    assert "proves nothing for tomorrow" in told["why"]
    every = ("control", "threaded", "close", "keepalive", "asyncio relay")
    assert results(told) == dict.fromkeys(every, "survived")
    for each in told["rows"]:
        assert each["requests"] >= 30
        assert each["status"].startswith("stopped by the probe")
    assert row(told, "threaded")["event"] == row(told, "keepalive")["event"] == "stopped in order"
    assert 'Use mode = "keepalive".' in printed


def test_where_reused_connections_of_a_selector_are_ended_close_is_advised(probe):
    """Only keepalive and the relay have several requests on connections of one selector; they are lost by SIGKILL."""
    running = probe("reuse", "SIGKILL", *QUICK)
    status, told, _, _ = running.finish()
    assert (status, told["verdict"], told["mode"]) == (0, "use", "close")
    assert told["why"].startswith("keepalive was lost under the browser's traffic, and close lived.")
    lived = dict.fromkeys(("control", "threaded", "close"), "survived")
    assert results(told) == {**lived, "keepalive": "killed", "asyncio relay": "killed"}
    lost = row(told, "keepalive")
    assert lost["status"] == "SIGKILL"
    assert lost["event"]
    page = (running.directory / "couchgate-probe.md").read_text()
    assert "What is asked for" in page
    assert f"| {lost['pid']} |" in page


def test_where_relays_with_a_selector_are_ended_only_threaded_lives(probe):
    """With status 127, as it was seen: close and keepalive are lost, threaded is advised."""
    status, told, printed, shown = probe("relay", "SIGUSR2", *QUICK, *GATES).finish()
    assert (status, told["verdict"], told["mode"]) == (0, "use", "threaded"), shown
    lived = dict.fromkeys(("control", "threaded"), "survived")
    lost = dict.fromkeys(("close", "keepalive"), "killed")
    assert results(told) == {**lived, **lost}
    assert {row(told, name)["status"] for name in lost} == {"exit 127"}
    assert 'Use mode = "threaded".' in printed
    assert "keepalive and close were lost under the browser's traffic, and threaded lived." in printed


def test_where_everything_is_ended_the_advice_is_an_allow_list(probe):
    """Whatever serves a client is lost, the control too: no mode is named."""
    status, told, printed, _ = probe("everything", "SIGKILL", *QUICK, *GATES).finish()
    assert (status, told["verdict"], told["mode"]) == (3, "allow-list", None)
    assert results(told) == dict.fromkeys(("control", "threaded", "close", "keepalive"), "killed")
    assert "So was the control" in told["why"]
    assert "Ask for an allow-list entry." in printed


def test_a_real_browser_finds_the_mode_that_lives(probe):
    """Chromium and PouchDB make the traffic that shows which mode lives, and it is real replication."""
    running = probe(
        "relay", "SIGKILL", "--seconds", "60", "--requests", "80", "--only", "threaded", "--only", "close",
        browser=program(),
    )  # fmt: skip
    status, told, _, shown = running.finish()
    assert (status, told["mode"]) == (0, "threaded"), shown
    assert results(told) == {"threaded": "survived", "close": "killed"}
    assert row(told, "threaded")["requests"] >= 80
    assert "keepalive was not chosen (--only)" in told["why"]


def test_ctrl_c_leaves_a_table_of_what_was_seen(probe):
    """What was probed is told, what was interrupted is called so, and no process is left, however often it is sent."""
    running = probe(
        "nothing",
        "SIGKILL",
        "--dir",
        "kept",
        "--seconds",
        "600",
        "--requests",
        "1000000",
        "--only",
        "threaded",
        "--only",
        "close",
    )
    # What is lost is over at once, so the next candidate's turn comes.
    gate = eventually(lambda: servers(running), 60)
    eventually(lambda: access(running, "threaded"), 60)
    os.kill(gate[0], signal.SIGKILL)
    eventually(lambda: (access(running, "close") or "").count("\n") > 100, 60)  # the page has told of many
    started = running.children()
    running.process.send_signal(signal.SIGINT)
    eventually(lambda: not servers(running), 60)  # so the first was heard
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGINT):
        running.process.send_signal(number)
    status, told, printed, shown = running.finish(60)
    assert (status, told["finished"], told["verdict"]) == (130, False, "unknown")
    assert results(told) == {"threaded": "killed", "close": "interrupted"}
    assert "threaded was lost. What becomes of close is not known" in told["why"]
    assert "keepalive was not chosen (--only)" in told["why"]
    interrupted = row(told, "close")
    assert interrupted["requests"] > 0
    assert interrupted["seconds"] > 0
    assert interrupted["status"].startswith("stopped by the probe")
    assert interrupted["event"]
    assert "Interrupted" in shown
    assert "interrupted" in printed
    gone(started)


def test_a_probe_that_is_killed_leaves_no_server_behind_and_says_that_it_was_not_done(probe):
    """Its children end with it, and what is on disk says that the probe did not come to its end."""
    running = probe("nothing", "SIGKILL", "--dir", "kept", "--seconds", "600", "--only", "close")
    started = eventually(lambda: servers(running), 60)
    eventually(lambda: access(running, "close"), 60)
    running.process.kill()
    gone(started)
    told = running.told()
    assert (told["finished"], results(told)) == (False, {"close": "running"})
    assert row(told, "close")["pid"] in started
    assert "has not come to its end" in (running.directory / "couchgate-probe.md").read_text()


def servers(running):
    """The processes of gates."""
    return [pid for pid, command in running.children().items() if b"couchgate.toml" in command]


def access(running, name):
    """What the gate in this mode has logged."""
    log = running.directory / "kept" / name / "access.log"
    return log.exists() and log.read_text()
