"""`couchgate postmortem`: what the last run of the gate was doing, and how it ended, from what its recorder left."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from couchgate.commands import CommandError
from couchgate.recorder.letter import command_of, letter, program_of
from couchgate.recorder.process import boot
from couchgate.recorder.reading import UnreadableRingError
from couchgate.recorder.report import Report, report_of
from couchgate.recorder.runs import Run, folder_of, look, runs
from couchgate.recorder.telling import as_json, moment, text
from couchgate.settings import load_state_dir


def run(args: argparse.Namespace) -> int:
    """Tell; the process's exit status. Raises CommandError, SettingsError."""
    state_dir: Path = args.state_dir or load_state_dir(args.config)
    found, problems = _runs(folder_of(state_dir))
    for problem in problems:
        sys.stderr.write(f"couchgate: warning: {problem}\n")
    chosen = _choose(found, args.which, folder_of(state_dir))
    try:
        whole = look(chosen.path)
    except (OSError, UnreadableRingError) as error:
        reason = getattr(error, "strerror", None) or error
        raise CommandError(f"{chosen.path} cannot be read: {reason}") from None
    report = report_of(whole, boot())
    program = program_of(report.recording)
    if args.markdown is not None:
        _write(args.markdown, letter(report, program))
    if args.json:
        others = [
            {"run": each.id, "started": each.recording.started, "state": each.state, "ring": str(each.path)}
            for each in found
        ]
        about = report.recording
        process = {
            "pid": int(about.number_of("pid")),
            "command": command_of(about),
            "folder": about.text_of("folder"),
            "platform": about.text_of("platform"),
            "program": program._asdict(),
        }
        sys.stdout.write(json.dumps({**as_json(report), "process": process, "runs": others}, indent=2) + "\n")
    else:
        sys.stdout.write(text(report) + _others(report, found))
        if args.markdown is not None:
            sys.stdout.write(f"\nFor the security team: {args.markdown}\n")
    return 0


def _runs(folder: Path) -> tuple[list[Run], list[str]]:
    try:
        found, problems = runs(folder)
    except OSError as error:
        raise CommandError(f"{folder} cannot be read: {error.strerror}") from None
    return found, list(problems.values())


def _choose(found: list[Run], wanted: str | None, folder: Path) -> Run:
    """The run that was named; else the last one that is over, or the one that is not."""
    if wanted is not None:
        named = [run for run in found if run.id == wanted]
        if not named:
            known = ", ".join(run.id for run in found) or "none"
            raise CommandError(f"{folder} has no readable ring of a run {wanted!a}; it has: {known}")
        return named[0]
    if not found:
        raise CommandError(
            f"{folder} has no ring of a run that can be read: no gate with [recorder] enabled has run with this "
            "state_dir. Name its settings by --config, or the folder by --state-dir."
        )
    return next((run for run in found if not run.alive), found[0])


def _others(report: Report, found: list[Run]) -> str:
    lines = [
        f"  {each.id}, started {moment(each.recording.started)}, {each.state}\n"
        for each in found
        if each.path != report.run.path
    ]
    return "".join(["\nOther runs (--run ID)\n", *lines]) if lines else ""


def _write(path: Path, content: str) -> None:
    try:
        path.write_text(content, "utf-8", errors="backslashreplace")
    except OSError as error:
        raise CommandError(f"--markdown {path} cannot be written: {error.strerror}; name another file") from None
