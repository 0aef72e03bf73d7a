"""The table and the advice: for a terminal, as Markdown for people elsewhere, and as JSON for programs."""

from __future__ import annotations

import json
import platform
from collections.abc import Sequence
from importlib.metadata import version
from typing import NamedTuple

from couchgate.probe.advice import ALLOW_LIST, USE, Advice
from couchgate.probe.results import LOST, Row
from couchgate.recorder.letter import Program
from couchgate.recorder.telling import moment
from couchgate.system import NAME, command_line

_HEADINGS = ("mode", "requests served", "seconds", "result", "exit status", "last recorded event")
_UNFINISHED = "The probe has not come to its end: it still runs, was stopped, or was ended itself."


class Outcome(NamedTuple):
    """All that the probe has found out so far. `traffic` says what each candidate got; `program` is Python's."""

    rows: Sequence[Row]
    advice: Advice
    finished: bool
    traffic: str
    program: Program


def table(rows: Sequence[Row]) -> list[tuple[str, ...]]:
    """The cells, without headings."""
    return [
        (
            row.name,
            str(row.requests) if row.pid else "-",
            f"{row.seconds:.{0 if row.seconds >= 10 else 1}f}" if row.pid else "-",
            f"{row.result} ({row.note})" if row.note else row.result,
            row.status or "-",
            row.event or "-",
        )
        for row in rows
    ]


def headline(advice: Advice) -> str:
    """The advice in a line."""
    if advice.verdict == USE:
        return f'Use mode = "{advice.mode}".'
    return "Ask for an allow-list entry." if advice.verdict == ALLOW_LIST else "No mode can be named."


def text(outcome: Outcome) -> str:
    """For a terminal."""
    lines = [_HEADINGS, *table(outcome.rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(_HEADINGS))]
    written = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    ]
    return "\n".join([*written, "", headline(outcome.advice), outcome.advice.why, ""])


def markdown(outcome: Outcome) -> str:
    """A page to keep, or to hand to a security team."""
    started = [row for row in outcome.rows if row.pid]
    lost = any(row.result in LOST for row in outcome.rows)
    lines = [
        "# couchgate probe",
        "",
        *([] if outcome.finished else [f"**{_UNFINISHED}**", ""]),
        f"**{headline(outcome.advice)}** {outcome.advice.why}",
        "",
        f"Each server was a process of its own on this host, and got {outcome.traffic}",
        "",
        _line(_HEADINGS),
        _line(["---"] * len(_HEADINGS)),
        *(_line(cells) for cells in table(outcome.rows)),
        "",
        "## What was started",
        _line(("mode", "process id", "from", "to", "command line")),
        _line(["---"] * 5),
        *(_line(_started(row)) for row in started),
        "",
        f"Program: `{_cell(outcome.program.path)}`, SHA-256 "
        + (f"`{outcome.program.sha256}`." if outcome.program.sha256 else f"not known: {outcome.program.problem}."),
        f"couchgate {version('couchgate')}, Python {platform.python_version()}, {platform.platform()}.",
        "",
    ]
    if lost:
        lines += [
            "## What is asked for",
            "Please look into the sensor's own record for the process ids and times above. If the sensor ended a",
            "process, please put this program on the allow-list, by its path, SHA-256 and command line. The probe sees",
            "that a process ended, not who ended it.",
            "",
        ]
    return "\n".join(lines)


def as_json(outcome: Outcome) -> str:
    """For programs."""
    told = {
        "finished": outcome.finished,
        "verdict": outcome.advice.verdict,
        "mode": outcome.advice.mode or None,
        "why": outcome.advice.why,
        "rows": [row._asdict() for row in outcome.rows],
        "traffic": outcome.traffic,
        "program": {"path": outcome.program.path, "sha256": outcome.program.sha256 or None},
        "couchgate": version("couchgate"),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "system": NAME,
    }
    return json.dumps(told, indent=2) + "\n"


def _started(row: Row) -> tuple[str, ...]:
    command = command_line(row.command, platform.platform())
    return row.name, str(row.pid), moment(row.began), moment(row.ended) if row.ended else "-", f"`{command}`"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(map(_cell, cells)) + " |"


def _cell(content: str) -> str:
    return content.replace("|", "\\|").replace("\n", " ")
