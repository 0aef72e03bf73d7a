"""The run: one candidate after the other, each under the browser's traffic until it has served enough or has ended."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from couchgate.probe.advice import advise
from couchgate.probe.candidates import CANDIDATES, Bench, Candidate, absent
from couchgate.probe.desk import Desk, Heard, Task
from couchgate.probe.ends import End, end_of, out_of_memory_kills
from couchgate.probe.progress import Progress
from couchgate.probe.results import (
    INTERRUPTED,
    LITTLE_TRAFFIC,
    NO_TRAFFIC,
    NOT_INSTALLED,
    NOT_RUN,
    RUNNING,
    STALLED,
    SURVIVED,
    Row,
)
from couchgate.probe.told import Outcome
from couchgate.recorder.letter import program_at
from couchgate.system import program

START_SECONDS = 40
"""How long a candidate may take until the page has its first answer."""
STALL_SECONDS = 15
"""A live sync asks all the time: a server that answers nothing for so long has stopped serving."""
LEAST_REQUESTS = 50
"""With fewer answers it is not said that a candidate lives."""
IDLE_SECONDS = 8
STOP_SECONDS = 15
"""Longer than a gate drains."""
_LOOK_SECONDS = 0.1
_LAST_WORD_SECONDS = 1.0  # the page tells three times a second: what it got before the end, too
_LEFT = "the page in the browser has gone"


class Amount(NamedTuple):
    """How much traffic each candidate gets: for `seconds`, and until `requests` are answered if that is not 0."""

    seconds: float
    requests: int

    def __str__(self) -> str:
        """For a person."""
        seconds = f"{self.seconds:g} s of a browser's traffic"
        return f"{seconds}, or {self.requests} requests." if self.requests else f"{seconds}."

    def least(self) -> int:
        """How many answers are needed to say that it lives."""
        return min(LEAST_REQUESTS, self.requests or LEAST_REQUESTS)


class Traffic(NamedTuple):
    """What a candidate got: `began` and `ended` on the monotonic clock, `answered_at` when it last answered.

    `left`: the page has gone before it was enough.
    """

    heard: Heard
    began: float | None
    answered_at: float
    ended: float
    left: bool

    @property
    def seconds(self) -> float:
        """From the first answer on."""
        return 0.0 if self.began is None else self.ended - self.began


class Probe:
    """The rows so far, and what makes them. `keep` is called with the outcome whenever there is more of it."""

    def __init__(
        self, desk: Desk, bench: Bench, amount: Amount, progress: Progress, keep: Callable[[Outcome], None]
    ) -> None:
        self._desk = desk
        self._bench = bench
        self._amount = amount
        self._progress = progress
        self._keep = keep
        self._program = program_at(program())
        self.rows: list[Row] = []
        self.finished = False
        self._chosen: Sequence[str] = CANDIDATES

    def outcome(self, *more: Row) -> Outcome:
        """What is known so far, and `more`."""
        results = {row.name: row.result for row in self.rows}
        unasked = {row.name for row in self.rows if not row.requests}
        advice = advise(results, unasked, self._chosen)
        return Outcome((*self.rows, *more), advice, self.finished, str(self._amount), self._program)

    def run(self, names: Sequence[str], page_seconds: float) -> None:
        """Probe these candidates; a page is waited for before each. Whatever is raised, there is a row for it."""
        self._chosen = names
        for number, name in enumerate(names, 1):
            if reason := absent(name, self._bench.auth):
                self._add(Row(name, NOT_INSTALLED if "needs" in reason else NOT_RUN, note=reason))
            elif not self._desk.wait_for_page(page_seconds):
                page_seconds = 0
                self._add(Row(name, NOT_RUN, note=_LEFT))
            else:
                self._one(number, name, f"{name} ({number} of {len(names)})")
        self.finished = True
        self._keep(self.outcome())

    def _add(self, row: Row) -> None:
        self.rows.append(row)
        self._progress.say(f"{row.name}: {row.result}{f' ({row.note})' if row.note else ''}")
        self._keep(self.outcome())

    def _one(self, number: int, name: str, about: str) -> None:
        starved, began = out_of_memory_kills(), time.time()
        self._progress.show(about, "starting")
        candidate = Candidate(name, self._bench)
        row = Row(name, RUNNING, pid=candidate.process.pid, began=began, command=tuple(candidate.command))
        self._traffic = Traffic(Heard(), None, 0.0, 0.0, left=False)
        try:
            self._keep(self.outcome(row))
            self._drive(candidate, Task(number, name, candidate.url, candidate.token), about)
            stopped = self._let_go(candidate)
        except BaseException:
            stopped = candidate.is_stopped() or not candidate.ended()
            candidate.stop(STOP_SECONDS)
            end, row = self._ended(row, candidate, starved, stopped=stopped)
            self.rows.append(row._replace(result=INTERRUPTED if end.result == SURVIVED else end.result))
            self._keep(self.outcome())
            raise
        end, row = self._ended(row, candidate, starved, stopped=stopped)
        result, note = self._judged(end, self._traffic)
        self._add(row._replace(result=result, note=note))

    def _ended(self, row: Row, candidate: Candidate, starved: int, *, stopped: bool) -> tuple[End, Row]:
        """How a candidate has ended, and its row with all but the result. `starved`: `out_of_memory_kills` before."""
        ended, report, traffic = time.time(), candidate.report(), self._traffic
        end = end_of(
            candidate.process.returncode,
            stopped=stopped,
            by_itself=None if report is None else report.ending in {"orderly", "exited"},
            said=candidate.written(),
            starved=out_of_memory_kills() > starved,
        )
        return end, row._replace(
            requests=traffic.heard.answered,
            failures=traffic.heard.failed,
            seconds=traffic.seconds,
            status=end.status,
            event=report.events[-1].text if report is not None and report.events else "",
            ended=ended,
        )

    def _drive(self, candidate: Candidate, task: Task, about: str) -> None:
        """Until it has had its traffic, has ended, or gets none; `_traffic` is what it has had so far."""
        self._desk.assign(task)
        opened = answered_at = time.monotonic()
        began, answered = None, 0
        while True:
            now, over = time.monotonic(), candidate.ended()
            self._desk.wait(_LAST_WORD_SECONDS if over else _LOOK_SECONDS)
            heard = self._desk.heard()
            if heard.answered > answered:
                answered, answered_at = heard.answered, now
                began = now if began is None else began
            enough = (
                now - opened > START_SECONDS
                if began is None
                else now - began >= self._amount.seconds or 0 < self._amount.requests <= answered
            )
            left = not self._desk.here()
            self._traffic = Traffic(heard, began, answered_at, now, left and not enough)
            if over or enough or left:
                return
            passed = 0.0 if began is None else now - began
            self._progress.show(about, f"{answered} requests served, {passed:.0f} of {self._amount.seconds:.0f} s")

    def _let_go(self, candidate: Candidate) -> bool:
        """End the task, and the candidate if it lives; whether it did."""
        alive = not candidate.ended()
        self._desk.assign(None)
        if alive:
            self._desk.wait_until_idle(IDLE_SECONDS)
            alive = not candidate.ended()
        candidate.stop(STOP_SECONDS)
        return alive

    def _judged(self, end: End, traffic: Traffic) -> tuple[str, str]:
        """The result and a note: that a process has not ended does not say that it lives."""
        heard = traffic.heard
        if end.result != SURVIVED:
            return end.result, ""
        if traffic.left:
            return LITTLE_TRAFFIC if heard.answered else NO_TRAFFIC, _LEFT
        if not heard.answered:
            return NO_TRAFFIC, "it runs, and the browser gets no answer" if heard.failed else ""
        if traffic.ended - traffic.answered_at > STALL_SECONDS:
            return STALLED, f"no answer in its last {traffic.ended - traffic.answered_at:.0f} s"
        if heard.answered - heard.refused < self._amount.least():
            refused = f"{heard.refused} answers were refusals; the last: {heard.complaint}"
            return LITTLE_TRAFFIC, refused if heard.refused else heard.complaint
        return SURVIVED, ""
