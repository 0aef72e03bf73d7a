"""What the probe found out: a row for each candidate, and the words for how it went."""

from __future__ import annotations

from typing import NamedTuple

SURVIVED = "survived"
KILLED = "killed"
CRASHED = "crashed"
OUT_OF_MEMORY = "out of memory"
FAILED = "failed"
STALLED = "stalled"
LITTLE_TRAFFIC = "too little traffic"
NO_TRAFFIC = "no traffic"
INTERRUPTED = "interrupted"
RUNNING = "running"
NOT_INSTALLED = "not installed"
NOT_RUN = "not run"

LOST = frozenset({KILLED, CRASHED, STALLED})
"""It was serving, and did not stay so, for no reason of its own that is known."""


class Row(NamedTuple):
    """One candidate. `requests`: answers that the page has got; `seconds`: since the first of them.

    `status`: how the process ended, for people; `event`: what the flight recorder has last, empty without one; `note`:
    what else a person should know. `pid` is 0 if none was started; `began` and `ended` are seconds since the epoch.
    """

    name: str
    result: str
    requests: int = 0
    failures: int = 0
    seconds: float = 0.0
    status: str = ""
    event: str = ""
    note: str = ""
    pid: int = 0
    began: float = 0.0
    ended: float = 0.0
    command: tuple[str, ...] = ()
