"""From results to the mode to use, with one sentence of why. A pure function.

The fastest mode is advised that lived together with every calmer one. Where a calmer one was lost and a faster one
lived, the pattern is not the one that the modes are made for: then the calmest that lived, with a warning.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from couchgate.probe.results import LOST, SURVIVED

CONTROL = "control"
RELAY = "asyncio relay"
MODES = ("keepalive", "close", "threaded")
"""The gate's modes, the fastest first; each is calmer than those before it."""

USE = "use"
ALLOW_LIST = "allow-list"
UNKNOWN = "unknown"


class Advice(NamedTuple):
    """`verdict` is USE (of `mode`), ALLOW_LIST (no mode lives) or UNKNOWN; `why` is for a person."""

    verdict: str
    mode: str
    why: str


def advise(results: Mapping[str, str]) -> Advice:
    """What to do, from the result of each candidate by its name; a candidate that is missing was not run."""
    lived = [mode for mode in MODES if results.get(mode) == SURVIVED]
    lost = [mode for mode in MODES if results.get(mode) in LOST]
    unknown = [mode for mode in MODES if mode not in lived and mode not in lost]
    if not lived:
        return _none_lived(results, lost, unknown)
    steady = [mode for mode in lived if not any(calmer in lost for calmer in MODES[MODES.index(mode) + 1 :])]
    mode = steady[0] if steady else lived[-1]
    return Advice(USE, mode, " ".join([*_why(results, mode, lived, lost), *_doubts(results, mode, lost, unknown)]))


def _none_lived(results: Mapping[str, str], lost: Sequence[str], unknown: Sequence[str]) -> Advice:
    if unknown:
        known = f"{_were(lost)} lost, and what " if lost else "What "
        return Advice(
            UNKNOWN, "", f"{known}becomes of {_list(unknown)} is not known: see the table, and run the probe again."
        )
    control = {
        True: "So was the control, which relays nothing: on this host no mode helps.",
        False: "The control, which relays nothing, lived: it is relaying that is ended here.",
    }.get(results.get(CONTROL) in LOST, "")
    if results.get(CONTROL) not in {*LOST, SURVIVED}:
        control = "What becomes of a server that relays nothing is not known."
    return Advice(
        ALLOW_LIST,
        "",
        f"Every mode of the gate was lost. {control} Ask the security team for an allow-list entry; until there is "
        "one, run the gate on another host.",
    )


def _why(results: Mapping[str, str], mode: str, lived: Sequence[str], lost: Sequence[str]) -> list[str]:
    if lost:
        return [f"{_were(lost)} lost under the browser's traffic, and {mode} lived."]
    if results.get(RELAY) in LOST:
        return [f"An asyncio relay was lost here, and {_list(lived)} lived."]
    if results.get(CONTROL) in LOST:
        return [f"The control was lost, although {_list(lived)} lived."]
    return ["Nothing was lost. That proves nothing for tomorrow, when a sensor may have other rules."]


def _doubts(results: Mapping[str, str], mode: str, lost: Sequence[str], unknown: Sequence[str]) -> list[str]:
    doubts = []
    calmer = [each for each in lost if MODES.index(each) > MODES.index(mode)]
    faster_lived = any(results.get(each) == SURVIVED for each in MODES[: MODES.index(mode)])
    if calmer or (lost and faster_lived):
        doubts.append("A calmer mode was lost while a faster one lived: run the probe again, with more --seconds.")
    if unknown:
        doubts.append(f"What becomes of {_list(unknown)} is not known: see the table.")
    if not lost and results.get(RELAY) not in {*LOST, SURVIVED}:
        doubts.append("A relay of the kind that is known to be ended was not run.")
    return doubts


def _list(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _were(names: Sequence[str]) -> str:
    return f"{_list(names)} {'was' if len(names) == 1 else 'were'}"
