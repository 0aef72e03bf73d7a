"""From results to the mode to use, with one sentence of why. A pure function.

The fastest mode is advised that survived together with every calmer one. Where there is none, because the calmest was
lost, was not run or had no traffic, it is the calmest that survived, with a word of doubt.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
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


def advise(
    results: Mapping[str, str], unanswered: Collection[str] = (), chosen: Collection[str] = (CONTROL, *MODES, RELAY)
) -> Advice:
    """What to do, from the result of each candidate by its name; a candidate that is missing was not run.

    Those in `unanswered` gave the page no answer. Those that are not in `chosen` were not asked for.
    """
    seen = _Seen(
        results,
        lived=[mode for mode in MODES if results.get(mode) == SURVIVED],
        lost=[mode for mode in MODES if results.get(mode) in LOST],
        unknown=[mode for mode in MODES if mode in chosen and results.get(mode) not in {*LOST, SURVIVED}],
        unanswered=unanswered,
        chosen=chosen,
    )
    if not seen.lived:
        return _none_lived(seen)
    steady = [mode for mode in seen.lived if all(calmer in seen.lived for calmer in _calmer(mode))]
    mode = steady[0] if steady else seen.lived[-1]
    return Advice(USE, mode, " ".join([*_why(seen, mode, steady=bool(steady)), *_doubts(seen)]))


class _Seen(NamedTuple):
    """The modes by what became of them, the fastest first; those that were not chosen are in none of the lists."""

    results: Mapping[str, str]
    lived: Sequence[str]
    lost: Sequence[str]
    unknown: Sequence[str]
    unanswered: Collection[str]
    chosen: Collection[str]

    def not_chosen(self) -> list[str]:
        """A sentence about modes that were not asked for, if there are any."""
        found = [mode for mode in MODES if mode not in {*self.chosen, *self.lived, *self.lost}]
        return [f"{_were(found)} not chosen (--only)."] if found else []


def _calmer(mode: str) -> Sequence[str]:
    return MODES[MODES.index(mode) + 1 :]


def _none_lived(seen: _Seen) -> Advice:
    lost, control = seen.lost, seen.results.get(CONTROL)
    if len(lost) < len(MODES):
        why = [f"{_were(lost)} lost."] if lost else []
        if seen.unknown:
            why.append(f"What becomes of {_list(seen.unknown)} is not known: see the table, and run the probe again.")
        return Advice(UNKNOWN, "", " ".join([*why, *seen.not_chosen()]))
    if control in LOST:
        about = "So was the control, which relays nothing: on this host no mode helps."
    elif control == SURVIVED:
        about = "The control, which relays nothing, lived: it is relaying that is ended here."
    elif CONTROL in seen.chosen:
        about = "What becomes of a server that relays nothing is not known."
    else:
        about = "The control, which relays nothing, was not chosen (--only)."
    return Advice(
        ALLOW_LIST,
        "",
        f"Every mode of the gate was lost. {about} Ask the security team for an allow-list entry; until there is "
        "one, run the gate on another host.",
    )


def _why(seen: _Seen, mode: str, *, steady: bool) -> list[str]:
    if seen.lost:
        asked = [each for each in seen.lost if each not in seen.unanswered]
        unasked = [each for each in seen.lost if each in seen.unanswered]
        how = [f"{_were(asked)} lost under the browser's traffic"] if asked else []
        how += [f"{_were(unasked)} lost before the page told of an answer"] if unasked else []
        return [f"{', '.join(how)}, and {mode} lived."]
    if seen.results.get(RELAY) in LOST:
        return [f"An asyncio relay was lost here, and {_list(seen.lived)} lived."]
    if seen.results.get(CONTROL) in LOST:
        return [f"The control was lost, although {_list(seen.lived)} lived."]
    if not steady:
        return [f"{mode} lived. What becomes of a calmer mode is not known, so that may be chance."]
    return ["Nothing was lost. That proves nothing for tomorrow, when a sensor may have other rules."]


def _doubts(seen: _Seen) -> list[str]:
    doubts = []
    if any(calmer in seen.lost for faster in seen.lived for calmer in _calmer(faster)):
        doubts.append("A calmer mode was lost while a faster one lived: run the probe again, with more --seconds.")
    if seen.unknown:
        doubts.append(f"What becomes of {_list(seen.unknown)} is not known: see the table.")
    doubts += seen.not_chosen()
    if not seen.lost and seen.results.get(RELAY) not in {*LOST, SURVIVED}:
        how = "run" if RELAY in seen.chosen else "chosen (--only)"
        doubts.append(f"A relay of the kind that is known to be ended was not {how}.")
    return doubts


def _list(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _were(names: Sequence[str]) -> str:
    return f"{_list(names)} {'was' if len(names) == 1 else 'were'}"
