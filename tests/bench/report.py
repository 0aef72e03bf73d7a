"""The report: what was reached, beside what was asked, and the figures behind it, as Markdown."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from .bench import Effort, Rounds, Row

BEGIN = "<!-- bench: begin (written by python -m tests.bench.run; do not edit) -->"
END = "<!-- bench: end -->"


def markdown(rows: Sequence[Row], figures: Sequence[Rounds], checked: Mapping[str, int], effort: Effort) -> str:
    """The whole report between its two markers."""
    parts = [BEGIN, _method(checked, effort)]
    if rows:
        parts.append("### Reached\n\n" + _verdicts(rows))
    if figures:
        parts.append("### Figures\n\n" + _figures(figures))
    return "\n\n".join([*parts, END]) + "\n"


def write(file: Path, text: str) -> None:
    """Put the report into `file` where its markers are, or at its end; prose around the markers stays."""
    old = file.read_text() if file.exists() else ""
    before, begin, rest = old.partition(BEGIN)
    _, _, after = rest.partition(END)
    if not begin:
        before, after = old.rstrip("\n") + ("\n\n" if old.strip() else ""), ""
    file.write_text(before + text + after.removeprefix("\n"))


def _method(checked: Mapping[str, int], effort: Effort) -> str:
    verdicts = ", ".join(f"{name} {count}" for name, count in checked.items())
    return (
        f"Measured {datetime.now(UTC):%Y-%m-%d %H:%M} UTC on {_processor()}, {os.cpu_count()} cores, "
        f"Linux {platform.release()}. {_versions()}\n\n"
        "Every gate is one process or one worker on core 0; the load generator and the upstream (both C, epoll) are on "
        f"core 1. Gates alternate in {effort.rounds} rounds of {effort.seconds:g} s each after a warm-up (what a part "
        "costs: four times as many, each a quarter as long); a ratio is the median of the rounds' ratios, a figure the "
        "median of the rounds. RS256 with a 2,048-bit key; every "
        "answer's status was checked. " + (f"Verdicts checked before timing: {verdicts}." if verdicts else "")
    )


def _verdicts(rows: Sequence[Row]) -> str:
    lines = ["| measure | reached | at least | aim | | besides |", "| --- | --- | --- | --- | --- | --- |"]
    for row in rows:
        word = {True: "aim", False: ""}[_fits(row, row.aim)] or ("reached" if _fits(row, row.least) else "**missed**")
        sign = "" if row.more else "≤ "
        bounds = f"{sign}{row.least:g}{row.unit} | {sign}{row.aim:g}{row.unit}"
        digits = 1 if row.value >= 10 else 2
        lines.append(f"| {row.measure} | {row.value:.{digits}f}{row.unit} | {bounds} | {word} | {row.detail} |")
    return "\n".join(lines)


def _fits(row: Row, bound: float) -> bool:
    return row.value >= bound if row.more else row.value <= bound


def _figures(figures: Sequence[Rounds]) -> str:
    lines = [
        "| load | gate | requests/s | CPU µs per request | gate's core | others on it | median µs | p99 µs | MB/s |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for load, side, sample in figures:
        lines.append(
            f"| {load} | {side} | {sample.rate:,.0f} | {sample.cpu:,.1f} | {sample.busy:.0%} | {sample.strangers:.0%} "
            f"| {sample.p50:,.0f} | {sample.p99:,.0f} | {sample.throughput / 1e6:,.1f} |"
        )
    return "\n".join(lines)


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _versions() -> str:
    # Asked of another process: this one runs in the checkout, and the gate that was measured did not.
    couchgate = [sys.executable, "-P", "-c", "from couchgate.cli import main; main(['--version'])"]
    said = subprocess.run(couchgate, capture_output=True, text=True, check=True).stdout
    found = [said.strip(), f"Python {platform.python_version()}"]
    for name in ("twisted", "httptools", "pyjwt", "cryptography", "fastapi", "uvicorn", "httpx"):
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    for command in (["haproxy", "-v"], ["nginx", "-v"], ["node", "--version"]):
        try:
            said = subprocess.run(command, capture_output=True, text=True, check=False)
        except FileNotFoundError:
            continue
        words = (said.stdout + said.stderr).splitlines()[0].split()
        found.append(
            {"haproxy": "HAProxy " + words[2 if len(words) > 2 else 0], "nginx": words[-1], "node": "Node " + words[0]}[
                command[0]
            ]
        )
    return ", ".join(found) + "."
