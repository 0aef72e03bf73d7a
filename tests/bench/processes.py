"""Starting, pinning and reading processes: what they cost in CPU time and memory, from `/proc` (Linux only).

Core 0 belongs to the gate that is measured, core 1 to the load generator, the upstream and this program.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

GATE_CORE = 0
LOAD_CORE = 1
_START_SECONDS = 20


class MissingError(Exception):
    """Something the benchmark needs is not on this machine; the text says what to install."""


def need(command: str, package: str) -> str:
    """The path of `command`; raises `MissingError` naming the Debian package that has it."""
    found = shutil.which(command)
    if found is None:
        raise MissingError(f"{command} is missing: apt-get install {package}")
    return found


def pinned(core: int, *command: object) -> list[str]:
    """`command`, to be run on that core alone."""
    return [need("taskset", "util-linux"), "-c", *(str(part) for part in (core, *command))]


def core_seconds(core: int) -> float:
    """How long `core` was busy since the machine started, in seconds, whoever used it."""
    for line in Path("/proc/stat").read_text().splitlines():
        name, *ticks = line.split()
        if name == f"cpu{core}":
            user, nice, system, _, _, irq, softirq, steal = (int(tick) for tick in ticks[:8])
            return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")
    raise RuntimeError(f"/proc/stat has no cpu{core}")


def free_port() -> int:
    """A TCP port on loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Process:
    """A child pinned to one core, with its children counted as part of it; its output goes to `log`."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        core: int,
        log: Path,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        ports: Sequence[int] = (),
        stdout: Path | None = None,
    ) -> None:
        """Start `command` and wait until it listens on `ports`; raises RuntimeError with its output if it does not."""
        self._log = log
        with log.open("ab") as errors, (stdout or log).open("ab") as output:
            self._child = subprocess.Popen(
                pinned(core, *command),
                cwd=cwd,
                env={**os.environ, **(env or {})},
                stdin=subprocess.PIPE,  # the stand-in database ends when its input does
                stdout=output,
                stderr=errors,
            )
        deadline = time.monotonic() + _START_SECONDS
        for port in ports:
            while not _listens(port):
                if self._child.poll() is not None or time.monotonic() > deadline:
                    self.stop()
                    said = log.read_text(errors="replace")[-2000:]
                    raise RuntimeError(f"{command[0]} does not listen on {port}: {said}")
                time.sleep(0.05)

    def cpu_seconds(self) -> float:
        """CPU time used so far by the process and its children, in seconds (user and system)."""
        return sum(_cpu_seconds(pid) for pid in self._tree())

    def rss_bytes(self) -> int:
        """Resident memory of the process and its children, in bytes. `smaps_rollup` is exact, `VmRSS` is not."""
        return sum(_rss_kilobytes(pid) for pid in self._tree()) * 1024

    def stop(self) -> None:
        """End the process, by its id: SIGTERM, then SIGKILL after five seconds."""
        if self._child.poll() is None:
            self._child.send_signal(signal.SIGTERM)
            try:
                self._child.wait(5)
            except subprocess.TimeoutExpired:
                self._child.kill()
                self._child.wait()

    def _tree(self) -> list[int]:
        found, waiting = [], [self._child.pid]
        while waiting:
            pid = waiting.pop()
            found.append(pid)
            for children in Path(f"/proc/{pid}/task").glob("*/children"):
                waiting.extend(int(child) for child in children.read_text().split())
        return found


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _cpu_seconds(pid: int) -> float:
    """Of all its threads, also of those that have ended: the clock that clock_getcpuclockid(3) names on Linux."""
    return time.clock_gettime(~pid << 3 | 2)


def _rss_kilobytes(pid: int) -> int:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Rss:"):
            return int(line.split()[1])
    raise RuntimeError(f"/proc/{pid}/smaps_rollup has no Rss")
