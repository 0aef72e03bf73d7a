"""`couchgate doctor`: is what the gate relies on so? Everything is asked, and nothing is changed anywhere."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from typing import Any

from couchgate.commands.asking import in_reactor
from couchgate.commands.couchdb import CouchDB
from couchgate.commands.findings import Finding
from couchgate.commands.issuer_checks import examine_issuers
from couchgate.commands.upstream_checks import examine_upstream
from couchgate.settings import Settings, load

_WIDTH = 8


async def examine(settings: Settings, reactor: Any, now: float) -> list[Finding]:
    """Every finding about CouchDB, then about the issuers. Never fails."""
    couchdb = CouchDB(settings.upstream, reactor)
    try:
        found = await examine_upstream(settings, couchdb, now)
    finally:
        couchdb.stop()
    return found + await examine_issuers(settings, reactor, now)


def run(args: argparse.Namespace) -> int:
    """Examine and print. 1 if anything is an error. Raises CommandError, SettingsError."""
    settings = load(args.config)
    found = in_reactor(lambda reactor: examine(settings, reactor, time.time()))
    if args.json:
        sys.stdout.write(json.dumps(as_values(found), indent=2) + "\n")
    else:
        sys.stdout.write(as_text(found))
    return 1 if _count(found, "error") else 0


def as_text(found: Sequence[Finding]) -> str:
    """The findings on a page."""
    page = []
    for finding in found:
        page.append(f"{finding.level:<{_WIDTH}} {_plain(finding.check)}: {_plain(finding.sentence)}")
        for at, fix in enumerate(finding.fixes):
            page.append(f"{'':<{_WIDTH}} {'or ' if at else ''}in {fix.file}:")
            page += [f"{'':<{_WIDTH}}   {line}" for line in fix.lines]
    errors, warnings = _count(found, "error"), _count(found, "warning")
    return "\n".join([*page, "", f"errors: {errors}, warnings: {warnings}, looked at: {len(found)}", ""])


def as_values(found: Sequence[Finding]) -> dict[str, Any]:
    """The findings as JSON has them."""
    return {
        "findings": [
            {
                "level": finding.level,
                "check": finding.check,
                "sentence": finding.sentence,
                "fixes": [{"file": fix.file, "lines": list(fix.lines)} for fix in finding.fixes],
            }
            for finding in found
        ],
        "errors": _count(found, "error"),
        "warnings": _count(found, "warning"),
    }


def _count(found: Sequence[Finding], level: str) -> int:
    return sum(finding.level == level for finding in found)


def _plain(text: str) -> str:
    """Without control characters: others had a hand in some of the words."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)
