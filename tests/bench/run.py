"""The benchmark: couchgate beside HAProxy, nginx, FastAPI and Twisted's Agent, in one run.

    python -m tests.bench.run                                   print the report (about eight minutes)
    python -m tests.bench.run --write docs/performance.md       also put it between the markers in that file
    python -m tests.bench.run --quick --only small --only close shorter rounds, some measures only

Run it from the repository's root on Linux with two cores or more, in an environment with the project installed (the
installed couchgate is measured: `pip install .` compiles its hot modules, `pip install -e .` does not) and its `bench`
dependency group (fastapi, uvicorn, httpx, httptools). From Debian it needs `apt-get install haproxy nginx gcc`, and for
replication `nodejs npm`. Everything stays on loopback, and ends with the run. The column "others on it" says how much
of the gate's core other processes had; where that is more than a few per cent, measure again on a quiet machine, or
(root, on Linux with autogroups) put the run before them:

    setsid -w sh -c 'echo -20 >/proc/self/autogroup; exec python -m tests.bench.run'

The parts: `upstream.c` and `loadgen.c` (compiled at each start), `gates.py` (how each gate is set up, and the check of
its verdicts), `bench.py` (interleaved rounds), `speed.py`, `memory.py`, `replication.py` (the measures), `report.py`.
"""

from __future__ import annotations

import argparse
import os
import resource
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from . import memory, replication, report, speed
from .bench import FULL, QUICK, Bench, Row
from .processes import GATE_CORE, LOAD_CORE, MissingError

MEASURES: Mapping[str, Callable[[Bench], list[Row]]] = {
    "small": speed.small,
    "returning": speed.returning,
    "new": speed.new_tokens,
    "close": speed.closing,
    "latency": speed.latency,
    "bodies": speed.bodies,
    "slow": memory.slow_readers,
    "longpolls": memory.longpolls,
    "replication": replication.replication,
    "log": speed.access_log,
    "sight": speed.sight,
    "recorder": speed.recorder,
}
_DESCRIPTORS = 8192


def main() -> int:
    """Run the chosen measures; 1 when something is missing or a measure could not be taken."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.run", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", action="append", choices=list(MEASURES), help="this measure only (may be repeated)")
    parser.add_argument("--quick", action="store_true", help="short rounds: for development, not for the record")
    parser.add_argument(
        "--write", type=Path, metavar="FILE", help="put the report between the markers in this file too"
    )
    options = parser.parse_args()
    try:
        _prepare()
        with tempfile.TemporaryDirectory(prefix="couchgate-bench-") as folder:
            bench = Bench(Path(folder), QUICK if options.quick else FULL, _say)
            try:
                rows, failed = _measure(bench, options.only or list(MEASURES))
            finally:
                bench.close()
            text = report.markdown(rows, bench.figures, bench.checked, bench.effort)
    except MissingError as missing:
        _say(str(missing))
        return 1
    sys.stdout.write(text)
    if options.write and not failed:
        report.write(options.write, text)
    return 1 if failed else 0


def _measure(bench: Bench, names: list[str]) -> tuple[list[Row], bool]:
    """The rows of these measures, and whether one failed: it is said and passed over, for the others' sake."""
    rows, failed = [], False
    for name in names:
        try:
            rows += MEASURES[name](bench)
        except MissingError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever stopped this measure, the next may work
            _say(f"{name} FAILED: {type(error).__name__}: {error}")
            failed = True
    return rows, failed


def _prepare() -> None:
    """See that there are two cores, and take the file descriptors that 2,000 longpolls need on both sides."""
    if not {GATE_CORE, LOAD_CORE} <= os.sched_getaffinity(0):
        raise MissingError("the benchmark needs two cores: 0 for the gate, 1 for everything else")
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < _DESCRIPTORS:
        raise MissingError(f"the benchmark needs {_DESCRIPTORS} file descriptors: ulimit -Hn says {hard}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # unwinds, and so ends what was started
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65536) if hard != resource.RLIM_INFINITY else 65536, hard))


def _say(text: str) -> None:
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} {text}\n")


if __name__ == "__main__":
    sys.exit(main())
