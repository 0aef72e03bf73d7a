"""What is told of an outcome, and how far it is: text, Markdown, JSON, and the line for a terminal."""

import io
import json
import re

import pytest

from couchgate.probe.advice import advise
from couchgate.probe.ends import end_of
from couchgate.probe.progress import Progress
from couchgate.probe.results import Row
from couchgate.probe.told import Outcome, as_json, markdown, text
from couchgate.recorder.letter import Program

OURS = "stopped by the probe (SIGTERM)"
ROWS = (
    Row("control", "survived", 900, 0, 60.2, OURS, pid=11, began=1.7e9, ended=1.7e9 + 60, command=("py", "a b")),
    Row("threaded", "survived", 800, 0, 60.0, OURS, "stopped in order", pid=12, began=1.7e9, ended=1.7e9 + 60),
    Row("close", "killed", 31, 2, 4.4, "exit 127", "request 3: 200 | forwarded", pid=13, command=("py", "-c", "\n")),
    Row("keepalive", "killed", 20, 2, 3.0, "SIGKILL", "connection 2 gone", pid=14, began=1.7e9),
    Row("asyncio relay", "not installed", note="it needs httpx"),
)


def outcome(rows=ROWS, *, finished=True):
    advice = advise({row.name: row.result for row in rows})
    return Outcome(rows, advice, finished, "60 s of a browser's traffic.", Program("/usr/bin/py", "ab" * 32, "", False))


def test_the_table_has_each_mode_with_its_end_and_then_the_advice():
    """Mode, requests served, seconds, result, exit status and last recorded event, in columns."""
    head, *lines = text(outcome()).splitlines()
    assert re.split(r" {2,}", head) == [
        "mode", "requests served", "seconds", "result", "exit status", "last recorded event",
    ]  # fmt: skip
    assert re.split(r" {2,}", lines[2]) == ["close", "31", "4.4", "killed", "exit 127", "request 3: 200 | forwarded"]
    assert re.split(r" {2,}", lines[4]) == ["asyncio relay", "-", "-", "not installed (it needs httpx)", "-", "-"]
    assert lines[6] == 'Use mode = "threaded".'
    assert lines[7] == "keepalive and close were lost under the browser's traffic, and threaded lived."


def test_the_page_is_whole_tables_with_what_a_security_team_asks_for():
    """Each line of a table has its columns, whatever is in them; the program, its digest and the request follow."""
    page = markdown(outcome())
    tables = [line for line in page.splitlines() if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in tables[:7]} == {7}
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in tables[7:]} == {6}
    assert len(tables) == 7 + 6
    assert f"Program: `/usr/bin/py`, SHA-256 `{'ab' * 32}`." in page
    assert "What is asked for" in page
    assert "who ended it" in page


def test_a_page_without_losses_asks_for_nothing():
    """Nobody is asked for an entry where nothing was lost."""
    assert "What is asked for" not in markdown(outcome(ROWS[:2]))


def test_what_is_not_finished_says_so():
    """In both files."""
    assert "has not come to its end" in markdown(outcome(finished=False))
    assert json.loads(as_json(outcome(finished=False)))["finished"] is False
    assert "has not come to its end" not in markdown(outcome())


def test_a_program_reads_all_of_it():
    """Every row with every member."""
    told = json.loads(as_json(outcome()))
    assert [Row(**{**row, "command": tuple(row["command"])}) for row in told["rows"]] == list(ROWS)
    assert (told["verdict"], told["mode"]) == ("use", "threaded")


class Terminal(io.StringIO):
    encoding = "ascii"

    def __init__(self, *, tty):
        super().__init__()
        self.tty = tty

    def isatty(self):
        return self.tty


def test_in_a_terminal_one_line_is_rewritten(monkeypatch):
    """It never leaves a rest of the line before, is not longer than the terminal, and a line that stays is alone."""
    monkeypatch.setenv("COLUMNS", "40")
    stream = Terminal(tty=True)
    progress = Progress(stream)
    progress.show("close", "100 requests served, 10 of 60 s and more")
    progress.show("close", "5")
    progress.show("close", "5")
    progress.say("close: killed")
    first, second, wiped, said = stream.getvalue().split("\r")[1:]
    assert first == "close: 100 requests served, 10 of 60 s "
    assert second.rstrip() == "close: 5"
    assert len(second) == len(first)
    assert wiped.isspace()
    assert said == "close: killed\n"


def test_elsewhere_it_is_a_line_now_and_then(monkeypatch):
    """One when something else begins, and one after some time; letters that cannot be written are escaped."""
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    stream = Terminal(tty=False)
    progress = Progress(stream)
    for second in range(25):
        now[0] = float(second)
        progress.show("close", f"{second} s")
    progress.show("keepalive", "ä")
    assert stream.getvalue().splitlines() == ["close: 0 s", "close: 10 s", "close: 20 s", "keepalive: \\xe4"]


@pytest.mark.parametrize("code", [0, 1, 127, -9, -11, 0xC0000005])
def test_an_end_that_was_ours_is_never_called_a_kill(code):
    """Whatever status a stop leaves."""
    assert end_of(code, stopped=True, by_itself=False, said="", starved=True).result == "survived"
