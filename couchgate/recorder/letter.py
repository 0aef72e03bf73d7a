"""What a security team is handed: facts about a run, and, if it ended from outside, the request for an entry."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import NamedTuple

from couchgate.recorder.reading import Recording, plain
from couchgate.recorder.report import Report
from couchgate.recorder.telling import doubts, duration, ending, listeners_of, moment, reuse_lines, size
from couchgate.system import command_line

_MOST_PROGRAM = 1 << 30
_ASKS = [
    "## What is asked for",
    "Please look into the sensor's own record for this process id and time. If the sensor ended the process, please",
    "put this program on the allow-list, by the path, the SHA-256 and the command line above.",
    "",
    "couchgate is a reverse proxy that checks tokens in front of a CouchDB database. It listens on the addresses above",
    "and connects to CouchDB and to the key servers of its issuers.",
]


class Program(NamedTuple):
    """The program that ran: its path, and the SHA-256 of the file that is there now, or why there is none.

    `changed`: the file is not the one that was there at the start.
    """

    path: str
    sha256: str
    problem: str
    changed: bool


def program_of(recording: Recording) -> Program:
    """Looks at the executable that the ring names."""
    named = recording.about.get("program")
    path = named if isinstance(named, str) else ""
    if not path or "\0" in path:
        return Program("", "", "the ring does not name it", changed=False)
    return program_at(path, (recording.number_of("program_bytes"), recording.number_of("program_modified")))


def program_at(path: str, before: tuple[float, float] | None = None) -> Program:
    """Looks at the program in this file; `before` is the size in bytes and the time that it should have."""
    try:
        found = Path(path).stat()
        if not Path(path).is_file() or found.st_size > _MOST_PROGRAM:
            return Program(plain(path), "", "it is no program", changed=False)
        with Path(path).open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except (OSError, ValueError) as error:
        return Program(
            plain(path), "", f"it cannot be read ({getattr(error, 'strerror', None) or error})", changed=False
        )
    now = (found.st_size, found.st_mtime)
    return Program(plain(path), digest, "", changed=before is not None and before != now)


def command_of(recording: Recording) -> str:
    """The command line of the run, on one line."""
    command = recording.about.get("command")
    if not isinstance(command, list):
        return "not known"
    return command_line([plain(str(each)) for each in command], recording.text_of("platform"))


def letter(report: Report, program: Program) -> str:
    """The Markdown file."""
    about = report.recording
    digest = f"`{program.sha256}`" if program.sha256 else f"not known: {program.problem}"
    if program.changed:
        digest += " (the file has changed since that start; this is the present one)"
    listeners = ", ".join(f"`{_code(each['endpoint'])}` ({_code(each['mode'])})" for each in listeners_of(report))
    rows = {
        "program": f"`{_code(program.path) or 'not known'}`",
        "SHA-256": digest,
        "started by": f"`{_code(about.text_of('executable')) or 'not known'}`",
        "command line": f"`{_code(command_of(about))}`",
        "started in": f"`{_code(about.text_of('folder')) or 'not known'}`",
        "process id": f"{about.number_of('pid'):.0f}",
        "system": _code(about.text_of("platform")) or "not known",
        "couchgate, Python": f"{_code(about.text_of('version'))}, {_code(about.text_of('python'))}",
        "listens on": listeners or "not known",
        "started": moment(report.started),
        "last record": f"{moment(report.last)}, after {duration(report.uptime)}",
        "memory at the end": size(report.memory),
    }
    feeds = sum(each.feed for each in report.in_flight)
    doubt = "".join(f" ({each})" for each in doubts(report))
    events = [f"{moment(each.wall)}  {_code(each.text)}" for each in report.events[-20:]]
    asks = _ASKS if report.ending == "killed" else ["Nothing is asked for: this run was not ended from outside."]
    return "\n".join(
        [
            f"# couchgate: run {_code(report.run.id)}",
            "",
            ending(report),
            "",
            "What follows was written by the process itself while it ran, into a file that outlives it. It shows",
            "what the process did, and when its records stop. Who or what ended a process is not in that file.",
            "",
            "| | |",
            "| --- | --- |",
            *(f"| {name} | {value} |" for name, value in rows.items()),
            "",
            "## What it was doing",
            f"Under way: {len(report.in_flight) - feeds} requests, {feeds} feeds{doubt}.",
            *(f"{line[0].upper()}{line[1:]}." for line in reuse_lines(report)),
            "",
            "The last records (no token, no name of a person, database or document is recorded):",
            "```",
            *events,
            "```",
            "",
            *asks,
            "",
        ]
    )


def _code(text: str) -> str:
    """Safe inside a table and between backquotes."""
    return text.replace("|", "\\|").replace("`", "'").replace("\n", " ")
