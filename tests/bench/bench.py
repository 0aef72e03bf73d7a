"""What every measure shares: the upstream, the gates (verdicts checked before use), and interleaved rounds.

The machines this runs on are shared and noisy, so gates are compared in short rounds that alternate between them, and
a ratio is the median of the rounds' ratios: what disturbs one round disturbs both sides of it or is outvoted.
"""

from __future__ import annotations

import os
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from . import traffic
from .gates import STARTERS, Gate, Setting, check_verdicts
from .processes import LOAD_CORE, Process, free_port
from .tokens import Tokens, tokens
from .traffic import Load, Sample

TIMES = "\N{MULTIPLICATION SIGN}"

# One compared side: the name of a gate in `STARTERS`, and the port of it that is used.
Side = tuple[str, str]


class Effort(NamedTuple):
    """How long a run takes. `new_tokens` is the number of requests in a round where every token is new."""

    rounds: int
    seconds: float
    new_tokens: int
    pairs: int
    documents: int


FULL = Effort(rounds=5, seconds=2.0, new_tokens=4000, pairs=7, documents=2000)
QUICK = Effort(rounds=3, seconds=0.5, new_tokens=1000, pairs=3, documents=500)


class Row(NamedTuple):
    """One line of the verdict table: `value` is compared with `least` and `aim`; `more` says that more is better."""

    measure: str
    value: float
    unit: str
    least: float
    aim: float
    detail: str
    more: bool


class Rounds(NamedTuple):
    """One line of the table of figures: a side under a load, the median over the rounds."""

    load: str
    side: str
    sample: Sample


class Bench:
    """The running benchmark; `close` ends every process it started."""

    def __init__(self, folder: Path, effort: Effort, say: Callable[[str], None]) -> None:
        """Build the tools, mint or find the tokens on all cores, move to core 1 and start the upstream there.

        `say` reports progress.
        """
        self.folder = folder
        self.effort = effort
        self.say = say
        self.figures: list[Rounds] = []
        self.checked: dict[str, int] = {}
        self._loadgen = traffic.build("loadgen", folder)
        say("tokens (minting takes a minute the first time)")
        self.tokens: Tokens = tokens()
        os.sched_setaffinity(0, {LOAD_CORE})
        self.upstream = free_port()
        program = traffic.build("upstream", folder)
        self._processes = [
            Process(
                [str(program), str(self.upstream)], core=LOAD_CORE, log=folder / "upstream.log", ports=(self.upstream,)
            )
        ]
        self._gates: dict[str, Gate] = {}

    def close(self) -> None:
        """End the gates and the upstream."""
        for process in [*self._processes, *(gate.process for gate in self._gates.values())]:
            process.stop()

    def gate(self, name: str) -> Gate:
        """The running gate of that name, started and its verdicts checked if this is its first use."""
        if name not in self._gates:
            self._gates[name] = self._start(name)
        return self._gates[name]

    @contextmanager
    def fresh(self, name: str) -> Iterator[Gate]:
        """A gate of that name for one measure of memory alone, verdicts checked; ended afterwards."""
        gate = self._start(name)
        try:
            yield gate
        finally:
            gate.process.stop()

    def _start(self, name: str) -> Gate:
        folder = self.folder / f"{len(list(self.folder.iterdir()))}"
        folder.mkdir()
        self.say(f"starting {name}")
        gate = STARTERS[name](Setting(folder, self.upstream, self.tokens))
        try:
            self.checked[name] = check_verdicts(gate, self.tokens, self.upstream)
        except BaseException:
            gate.process.stop()
            raise
        return gate

    def requests(self, name: str, texts: Sequence[bytes]) -> Path:
        """A request file with these requests."""
        return traffic.write_requests(self.folder / f"{name}.requests", texts)

    def once(self, gate: Gate, mode: str, load: Load) -> Sample:
        """One run against one gate, outside the table: to warm it up."""
        return traffic.run(self._loadgen, gate.process, gate.ports[mode], load)

    def interleave(
        self, title: str, sides: Sequence[Side], load: Load, *, pieces: int = 1, anew: bool = False
    ) -> Mapping[Side, list[Sample]]:
        """Run `load` against each side in turn, round after round (after one short unmeasured one); a list per side.

        A load with a `total` goes on through its file, so that each round of a side has requests it never saw.
        `pieces`: so many times more rounds, each as much shorter, where little differs. `anew`: with a process of its
        own for each round of a side.
        """
        self.say(title)
        load = load._replace(seconds=load.seconds / pieces)
        samples: dict[Side, list[Sample]] = {side: [] for side in sides}
        if anew:
            for number in range(self.effort.rounds):
                for name, mode in sides if number % 2 else reversed(sides):
                    with self.fresh(name) as gate:
                        self.once(gate, mode, load._replace(seconds=min(load.seconds, 0.5)))
                        samples[name, mode].append(self.once(gate, mode, load))
            return self._taken(title, samples)
        for number in range(-1, self.effort.rounds * pieces):
            warm_up = number < 0
            for side in sides if number % 2 else reversed(sides):
                name, mode = side
                step = load._replace(start=load.start + (number + 1) * load.total)
                if warm_up:
                    step = step._replace(seconds=min(load.seconds, 0.5))
                sample = self.once(self.gate(name), mode, step)
                if not warm_up:
                    samples[side].append(sample)
        return self._taken(title, samples)

    def _taken(self, title: str, samples: Mapping[Side, list[Sample]]) -> Mapping[Side, list[Sample]]:
        for side, taken in samples.items():
            middle = Sample(*(statistics.median(column) for column in zip(*taken, strict=True)))
            self.figures.append(Rounds(title, side_name(side), middle))
        return samples


def side_name(side: Side) -> str:
    """How a side is named in the tables."""
    name, mode = side
    return name if mode == "keepalive" else f"{name} ({mode})"


def ratio(ours: Sequence[Sample], theirs: Sequence[Sample], figure: str) -> float:
    """The median over the rounds of our figure divided by theirs."""
    return statistics.median(
        float(getattr(a, figure)) / float(getattr(b, figure)) for a, b in zip(ours, theirs, strict=True)
    )
