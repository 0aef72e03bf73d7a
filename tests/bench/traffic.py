"""Load and its measurement: the C programs built once, request files, and one timed run against one gate."""

from __future__ import annotations

import json
import struct
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from .processes import GATE_CORE, LOAD_CORE, Process, core_seconds, need, pinned

_HERE = Path(__file__).parent


class Load(NamedTuple):
    """What one run sends: see `loadgen.c`. It ends after `seconds`, or `total` requests when that is not 0."""

    requests: Path
    connections: int
    seconds: float
    close: bool = False
    body: int = 0
    status: int = 200
    total: int = 0
    start: int = 0


class Sample(NamedTuple):
    """One run. `rate` in requests per second, `cpu` of the gate in microseconds per request, `p50` and `p99` of latency
    in microseconds, `throughput` in body bytes per second.

    `busy` is the gate's share of its core, from 0 to 1, and `strangers` that of processes that are no part of the run:
    well above 0.05 the machine is too busy to measure on.
    """

    rate: float
    cpu: float
    busy: float
    strangers: float
    p50: float
    p99: float
    throughput: float


def build(name: str, folder: Path) -> Path:
    """Compile `name`.c into `folder`; the path of the program."""
    program = folder / name
    subprocess.run([need("gcc", "gcc"), "-O2", "-o", program, _HERE / f"{name}.c"], check=True)
    return program


def request_text(method: str, target: str, token: str | None, *, body: int = 0, close: bool = False) -> bytes:
    """One request head as a small HTTP client would send it; the port is left out of `Host`, which fits any gate."""
    lines = [
        f"{method} {target} HTTP/1.1",
        "Host: 127.0.0.1",
        "User-Agent: bench/1",
        "Accept: application/json",
        *([f"Authorization: Bearer {token}"] if token else []),
        *([f"Content-Type: application/octet-stream\r\nContent-Length: {body}"] if body else []),
        *(["Connection: close"] if close else []),
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def write_requests(file: Path, requests: Iterable[bytes]) -> Path:
    """The file format of `loadgen.c`: each request behind its length."""
    with file.open("wb") as out:
        for request in requests:
            out.write(struct.pack("<I", len(request)) + request)
    return file


def run(loadgen: Path, gate: Process, port: int, load: Load) -> Sample:
    """One timed run; raises RuntimeError when a single answer was not the expected one: such a figure means nothing."""
    command = [
        loadgen,
        port,
        load.connections,
        load.requests,
        "close" if load.close else "keep",
        load.body,
        load.status,
        load.seconds,
        load.total,
        load.start,
    ]
    before, core_before = gate.cpu_seconds(), core_seconds(GATE_CORE)
    done = subprocess.run(
        pinned(LOAD_CORE, *command),
        capture_output=True,
        text=True,
        timeout=load.seconds + 60,
        check=False,
    )
    used, core_used = gate.cpu_seconds() - before, core_seconds(GATE_CORE) - core_before
    if done.returncode:
        raise RuntimeError(f"loadgen against port {port}: {done.stderr.strip()}")
    said = json.loads(done.stdout)
    if said["errors"] or not said["requests"]:
        raise RuntimeError(f"{said['errors']} of {said['requests']} answers from port {port} were not {load.status}")
    seconds, requests = said["seconds"], said["requests"]
    return Sample(
        rate=requests / seconds,
        cpu=used / requests * 1e6,
        busy=used / seconds,
        strangers=max(0.0, core_used - used) / seconds,
        p50=said["p50_us"],
        p99=said["p99_us"],
        throughput=said["bytes"] / seconds,
    )
