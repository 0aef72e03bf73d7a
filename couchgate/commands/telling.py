"""An explanation as text for a person, or as values for JSON."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from couchgate.commands.codes import CODES
from couchgate.core.explain import Explanation, Step
from couchgate.core.rewrite import refusal_body

_WIDTH = 12
_MOST = 200  # characters of a value: claims are as long as their maker likes
_TIMES = frozenset(("exp", "nbf", "iat"))
_WHY = {
    "issuers": "it is for another issuer",
    "roles": "it is for other roles",
    "databases": "it is for other databases",
}


def as_text(told: Explanation, request: str, settings: Path, lines: dict[int, int], now: float) -> str:
    """The explanation on a page. `lines` are where the rules stand in the settings file, by index."""
    page = [_line("request", _harmless(request))]
    for step in told.steps:
        told_lines = list(_step(step, settings, lines, now))
        page += [_line(step.name if not at else "", text) for at, text in enumerate(told_lines or ["read"])]
    if told.sent is not None:
        fields = [
            f"{_plain(name.decode('latin-1'))}: {_plain(value.decode('latin-1'))}" for name, value in told.sent.fields
        ]
        sent = [_plain(told.sent.start.decode("latin-1")), *fields]
        page += [_line("CouchDB gets" if not at else "", text) for at, text in enumerate(sent)]
    remedy = _remedy(told)
    if remedy:
        page.append(_line("what to do", remedy))
    return "\n".join([*page, "", verdict(told, settings)])


def _remedy(told: Explanation) -> str:
    if told.refusal is None:
        return CODES["preflight_refused"].remedy if told.outcome == "refused" else ""
    if told.refusal.code == "policy":
        return "Change [[rules]], or let the issuer give a role that a rule names. Rules decide in order."
    return CODES[told.refusal.code].remedy


def verdict(told: Explanation, settings: Path) -> str:
    """The decision in one sentence."""
    refusal = told.refusal
    if told.outcome == "forwarded":
        by = "" if told.rule is None else f" by rule {told.rule + 1} of {settings.name}"
        return f"forwarded{by}: CouchDB decides the rest"
    if told.outcome == "answered":
        return f"{told.status or 'answered'} by the gate itself"
    if refusal is None:
        return "403: the preflight is refused, because the origin is not one of [cors] origins"
    if refusal.code == "policy" and told.rule is not None:
        kind = told.steps[-1].found["kind"]
        return f"403 forbidden: rule {told.rule + 1} of {settings.name} does not allow {kind} (policy)"
    if refusal.code == "policy" and told.steps[-1].found.get("rule", 0) is None:
        return f"403 forbidden: no rule of {settings.name} applies (policy)"
    return f"{refusal.status} {refusal.error}: {refusal.reason} ({refusal.code})"


def as_values(told: Explanation, request: str, settings: Path, lines: dict[int, int]) -> dict[str, Any]:
    """The explanation as JSON has it."""
    refusal = told.refusal
    said = None if refusal is None else {**json.loads(refusal_body(refusal)), "code": refusal.code}
    rule = None if told.rule is None else {"number": told.rule + 1, "line": lines.get(told.rule)}
    sent = told.sent
    return {
        "request": request,
        "settings": str(settings),
        "steps": [{"step": step.name, "ok": step.refusal is None, "found": step.found} for step in told.steps],
        "verdict": {"outcome": told.outcome, "status": told.status or None, "refusal": said},
        "rule": rule,
        "sent": None
        if sent is None
        else {
            "start": sent.start.decode("latin-1"),
            "fields": [[name.decode("latin-1"), value.decode("latin-1")] for name, value in sent.fields],
        },
        "sentence": verdict(told, settings),
    }


def _line(label: str, text: str) -> str:
    return f"{label:<{_WIDTH}}  {text}".rstrip()


def _step(step: Step, settings: Path, lines: dict[int, int], now: float) -> Iterator[str]:
    if step.name == "rule":
        yield from _rule(step.found, settings, lines)
    else:
        for label, value in step.found.items():
            if label in _TIMES and step.name in ("claims", "issuer"):
                yield f"{label}: {_time(value, now)}"
            elif label == "dropped":
                yield from (f"dropped role {_shown(role)}: {problem}" for role, problem in value.items())
            else:
                yield f"{label}: {_shown(value)}"
    if step.refusal is not None:
        yield f"-> {step.refusal.status}: {step.refusal.reason}"


def _rule(found: dict[str, Any], settings: Path, lines: dict[int, int]) -> Iterator[str]:
    for passed in found.get("not_applying", ()):
        yield f"rule {passed['rule']} does not apply: {_WHY[passed['because_of']]}"
    if "rule" not in found:
        yield "no rule allows this to anybody" if found["kind"] == "never" else "none is needed"
    elif found["rule"] is None:
        yield "no rule applies"
    else:
        line = lines.get(found["rule"] - 1)
        where = f"{settings.name}, line {line}" if line else settings.name
        yield f"rule {found['rule']} decides ({where})"
        for key in ("databases", "roles", "allow"):
            if found[key] is not None:
                yield f"  {key} = {_shown(found[key])}"
        yield f"  asked for: {found['kind']}"


def _shown(value: Any) -> str:
    """A value that may come from a token: on one line, without control characters, short."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None:
        return "none"
    text = value if isinstance(value, str) and value and value.strip() == value else json.dumps(value)
    return _plain(text)


def _harmless(text: str) -> str:
    """`text` without what a terminal would obey."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)


def _plain(text: str) -> str:
    text = _harmless(text)
    return text if len(text) <= _MOST else f"{text[:_MOST]}... ({len(text)} characters)"


def _time(value: Any, now: float) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1 << 36:
        return _shown(value)
    seconds = value - now
    stamp = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(value))
    return f"{value} ({stamp}, {_span(abs(seconds))} {'ahead' if seconds >= 0 else 'ago'})"


def _span(seconds: float) -> str:
    for unit, name in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= unit:
            return f"{seconds / unit:.1f} {name}"
    return f"{seconds:.0f} s"
