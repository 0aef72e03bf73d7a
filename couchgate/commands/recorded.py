"""`couchgate explain --request-id`: how a request was decided, as the access log has it, or the running gate."""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from couchgate.commands import CommandError
from couchgate.commands.codes import CODES
from couchgate.commands.refusals import refusals
from couchgate.commands.request import shown_token
from couchgate.settings import load

REFUSED = 3
_ID = re.compile(r"[0-9A-Za-z._-]{1,128}")
_MOST_LINE = 1 << 16
_MOST_SHOWN = 20  # requests: a client may give many of them one id
_WIDTH = 12


def run(args: argparse.Namespace) -> int:
    """Find the request, say what is recorded, what it means and what to do. Raises CommandError, SettingsError."""
    wanted: str = args.request_id
    if not _ID.fullmatch(wanted):
        raise CommandError("--request-id must be the id of a request, as X-Request-ID or the access log has it")
    if args.gate is not None:
        found = refusals(args.gate, wanted, shown_token(args))
    else:
        found = list(_found(wanted, _log(args)))
        if not found:
            raise CommandError(f"no request {wanted} is in the access log; it is written when the request is over")
    if args.json:
        sys.stdout.write(json.dumps([{**each, "explained": _meaning(each)} for each in found], indent=2) + "\n")
    else:
        sys.stdout.write("\n\n".join(map(_page, found)) + "\n")
    return REFUSED if found[-1].get("verdict", "refused") == "refused" else 0


def _log(args: argparse.Namespace) -> str:
    if args.log is not None:
        given: str = args.log
        return given
    where = load(args.config).access_log
    if where in ("stdout", "off"):
        raise CommandError(f'[log] access is "{where}" in {args.config}: name the access log by --log FILE')
    return where


def _found(wanted: str, log: str) -> Iterator[dict[str, Any]]:
    try:
        if log == "-":
            yield from _matching(wanted, sys.stdin)
            return
        with Path(log).open(encoding="utf-8", errors="replace") as file:
            yield from _matching(wanted, file)
    except OSError as error:
        raise CommandError(f"the access log {log} cannot be read: {error.strerror}") from error


def _matching(wanted: str, lines: Iterable[str]) -> Iterator[dict[str, Any]]:
    shown = 0
    for line in lines:
        if wanted not in line or len(line) > _MOST_LINE or shown == _MOST_SHOWN:
            continue
        try:
            entry = json.loads(line[max(line.find("{"), 0) :])  # whoever kept the log may have put a time before it
        except (ValueError, RecursionError):
            continue
        if isinstance(entry, dict) and entry.get("id") == wanted:
            shown += 1
            yield entry


def _meaning(entry: dict[str, Any]) -> dict[str, str]:
    meaning = CODES.get(_word(entry))
    return {} if meaning is None else {"means": meaning.means, "remedy": meaning.remedy}


def _word(entry: dict[str, Any]) -> str:
    """The stable word. The log calls it `reason`; the gate's page has it as `code`, beside the sentence."""
    return str(entry.get("code", entry.get("reason")))


def _page(entry: dict[str, Any]) -> str:
    explained = _meaning(entry)
    told = [*entry.items(), ("means", explained.get("means", "This release does not know the reason."))]
    if explained.get("remedy"):
        told.append(("what to do", explained["remedy"]))
    lines = [f"{_plain(label):<{_WIDTH}}  {_plain(value)}" for label, value in told]
    last = f"{_plain(entry.get('status'))} {_plain(entry.get('verdict', 'refused'))}: {_plain(_word(entry))}"
    return "\n".join([*lines, "", last])


def _plain(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)[:400]
