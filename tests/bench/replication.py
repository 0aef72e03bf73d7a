"""PouchDB replicating through the gate and directly, in pairs: the time that the gate adds for a person."""

from __future__ import annotations

import json
import statistics
import subprocess
from pathlib import Path

from couchgate.standin.install import StandinError, cache_directory, node, npm_install

from .bench import TIMES, Bench, Row
from .gates import Setting, couchgate
from .processes import LOAD_CORE, MissingError, Process, free_port, pinned

_HERE = Path(__file__).parent


def replication(bench: Bench) -> list[Row]:
    """A pull and a push of 2,000 documents, through the gate against direct: the median of the pairs' ratios."""
    try:
        program, modules = node(), npm_install(cache_directory())
    except StandinError as error:
        raise MissingError(str(error)) from error
    effort = bench.effort
    bench.say(f"replication, {effort.pairs} pairs of {effort.documents} documents")
    port = free_port()
    folder = bench.folder / "replication"
    folder.mkdir()
    standin = Process(
        [program, str(modules / "server.js"), str(port)], core=LOAD_CORE, log=folder / "standin.log", ports=(port,)
    )
    try:
        gate = couchgate(Setting(folder, port, bench.tokens), auth="none")
        try:
            before = gate.process.cpu_seconds()
            urls = [f"http://127.0.0.1:{port}", f"http://127.0.0.1:{gate.ports['keepalive']}"]
            counts = [str(effort.pairs), str(effort.documents)]
            done = subprocess.run(
                pinned(
                    LOAD_CORE,
                    program,
                    "--expose-gc",
                    _HERE / "replicate.mjs",
                    modules,
                    *urls,
                    bench.tokens.good[0],
                    *counts,
                ),
                capture_output=True,
                text=True,
                timeout=300,
                check=False,
            )
            used = (gate.process.cpu_seconds() - before) / (
                2 * effort.pairs + 2
            )  # each pair times it twice; so does the warm-up
        finally:
            gate.process.stop()
    finally:
        standin.stop()
    if done.returncode:
        raise RuntimeError(f"replicate.mjs: {done.stderr[-2000:]}")
    pairs = json.loads(done.stdout)
    value = statistics.median(through / direct for direct, through in pairs)
    direct, through = (statistics.median(column) for column in zip(*pairs, strict=True))
    detail = f"direct {direct:.2f} s, through the gate {through:.2f} s, of which CPU of the gate {used:.3f} s"
    title = f"PouchDB replication of {effort.documents:,} documents, against direct (median of {effort.pairs} pairs)"
    return [Row(title, value, TIMES, 1.05, 1.03, detail, more=False)]
