"""The soak: requests with cuts, stalls and crumbs on both sides, then plain ones; and nothing may have grown.

    python -m tests.endurance.soak --requests 10000 --plain 100000 [--seed S] [--reload SECONDS]

Prints the seed, what came of the requests, and what the gate held before and after. Exits with 1 if anything was wrong.
"""

import argparse
import asyncio
import json
import random
import sys
import tempfile
import time
from collections import Counter
from typing import NamedTuple

from couchgate.testing import Minter
from tests.endurance.clients import Session, Tokens, Wrong, trace_of
from tests.endurance.gate import Gate
from tests.endurance.plain import plain
from tests.endurance.upstream import Couch

WORKERS = 48
WARM = 0.1  # of the requests come first, so that what is made once is there before the first count
QUIET = {"connections": 0, "feeds": 0, "upstream": 0, "pooled": 0, "retired": 0}
SAME = ("descriptors", "threads", "timers")
MORE = {"objects": 100, "blocks": 1000, "resident": 16 * 1024}  # how many more there may be; kilobytes for `resident`
OURS = ("couchgate.", "twisted.", "builtins.coroutine", "builtins.frame", "_socket.", "OpenSSL.")


class Report(NamedTuple):
    """What came of it. `wrong`: sentences; none for a good soak."""

    wrong: list
    outcomes: Counter
    before: dict
    after: dict
    seconds: float


async def chaos(seed, first, requests, gate, tokens, couch):
    """Play sessions until so many requests were begun; the next one's number, and what came of them."""
    outcomes = Counter()
    number = first

    async def work():
        nonlocal number
        while outcomes["begun"] < requests:
            count = random.Random(f"{seed}/count/{number}").randint(1, 8)
            number += count
            session = Session(seed, number - count, count, gate, tokens, couch)
            try:
                await session.run()
            except Wrong as error:
                traces = [trace_of(one) for one in session.plans]
                couch.wrong.append(f"{error}; the gate's log says {gate.logged(traces)}")
            outcomes.update(session.outcomes)
            outcomes["begun"] += session.begun

    await asyncio.gather(*(work() for _ in range(WORKERS)))
    return number, outcomes


async def _reload(gate, every):
    """Tell the gate to read its settings again, time after time."""
    while every:
        await asyncio.sleep(every)
        gate.reload()


async def _play(seed, requests, plains, every, directory):
    wrong = []
    couch = Couch({}, wrong)
    gate = Gate(directory, await couch.start())
    try:
        tokens = Tokens(gate.minter, Minter("ES256"))
        warm = int(requests * WARM)
        reloading = asyncio.ensure_future(_reload(gate, every))
        first, _ = await chaos(seed, 0, warm, gate, tokens, couch)
        await plain(int(plains * WARM), gate, tokens)
        before = await asyncio.to_thread(gate.quiet_census, QUIET)
        _, outcomes = await chaos(seed, first, requests, gate, tokens, couch)
        outcomes["reloads"] = gate.log().count("Reloaded ")
        outcomes["plain"] = await plain(plains, gate, tokens)
        reloading.cancel()
        after = await asyncio.to_thread(gate.quiet_census, QUIET)
        if outcomes["lost"] > couch.spoiled:
            wrong.append(f"{outcomes['lost']} requests failed for no reason, {couch.spoiled} had one")
    finally:
        gate.stop()
        couch.close()
    return wrong, outcomes, before, after


def soak(seed, requests, plains, every=0.0):
    """Run it all, with a reload `every` so many seconds, 0 for none; a Report."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as directory:
        wrong, outcomes, before, after = asyncio.run(_play(seed, requests, plains, every, directory))
    return Report(wrong + grown(before, after), outcomes, before, after, time.monotonic() - began)


def grown(before, after):
    """What the gate holds more of than it did, as sentences.

    What is made for connections, requests, timers and their like must be gone to the last one. Beside it a handful of
    objects that are made once and late (an interface's table) is no growth; one per request, or per cut, is hundreds.
    Resident memory is what the allocator could not give back between blocks in use, which large bodies tear open.
    """
    found = [f"{name}: {before[name]} before, {after[name]} after" for name in SAME if after[name] > before[name]]
    for name, most in MORE.items():
        if after[name] > before[name] + most:
            found.append(f"{name}: {before[name]} before, {after[name]} after, which is over {most} more")
    for name, count in after["types"].items():
        if name.startswith(OURS) and count > before["types"].get(name, 0):
            found.append(f"{count} objects of {name} instead of {before['types'].get(name, 0)}")
    return found


def main():
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--plain", type=int, default=100_000)
    parser.add_argument("--seed", default=str(random.randrange(10**9)))
    parser.add_argument("--reload", type=float, default=0.0, metavar="SECONDS", help="tell the gate to reload so often")
    options = parser.parse_args()
    sys.stdout.write(f"seed {options.seed}\n")
    sys.stdout.flush()
    report = soak(options.seed, options.requests, options.plain, options.reload)
    more = Counter(report.after["types"])
    more.subtract(report.before["types"])
    lines = [json.dumps(report.outcomes)]
    lines += [f"{name}: {report.before[name]} -> {report.after[name]}" for name in report.before if name != "types"]
    lines.append(f"types: {json.dumps({name: count for name, count in more.most_common(40) if count})}")
    lines.append(f"{report.seconds:.1f} s; {len(report.wrong)} wrong")
    lines += [f" - {sentence[:1500]}" for sentence in report.wrong[:20]]
    sys.stdout.write("\n".join([*lines, ""]))
    return bool(report.wrong)


if __name__ == "__main__":
    sys.exit(main())
