"""How a child process ended, told from its exit status and what it left: killed, crashed, failed, or stopped by us."""

from __future__ import annotations

import re
import signal
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from couchgate.probe.results import CRASHED, FAILED, KILLED, OUT_OF_MEMORY, SURVIVED

SENSOR_STATUS = 127
_NTSTATUS_ERROR = 0xC0000000  # from here on Windows' own codes for how a process was ended
_CRASHES = frozenset({"SIGSEGV", "SIGBUS", "SIGABRT", "SIGILL", "SIGFPE", "SIGTRAP", "SIGSYS"})
_EXCEPTION = re.compile(r"^Traceback \(most recent call last\):$(?:\n[ \t].*$)*\n([A-Za-z_][\w.]*)", re.MULTILINE)
_CGROUPS = Path("/sys/fs/cgroup")
_COUNTER = re.compile(r"^oom_kill (\d+)$", re.MULTILINE)


class End(NamedTuple):
    """`result` as in `results`; `status` for a person."""

    result: str
    status: str


def end_of(code: int, *, stopped: bool, by_itself: bool | None, said: str, starved: bool) -> End:
    """How a process with the exit status `code` (negative: a signal) ended.

    `stopped`: the probe had asked it to. `by_itself`: whether its recorder says that the interpreter came to its end,
    None where there is no recorder. `said` is what it wrote. `starved`: the system has ended a process meanwhile
    because memory ran out.
    """
    if stopped:
        return End(SURVIVED, f"stopped by the probe ({_status(code)})")
    if code < 0:
        name = _status(code)
        if name == "SIGKILL" and starved:
            return End(OUT_OF_MEMORY, "SIGKILL, when the system ran out of memory")
        return End(CRASHED if name in _CRASHES else KILLED, name)
    if code >= _NTSTATUS_ERROR:
        return End(CRASHED, _status(code))
    if code != SENSOR_STATUS and (bool(said.strip()) if by_itself is None else by_itself):
        return End(FAILED, ", ".join(filter(None, (_status(code), _why(said)))))
    return End(KILLED, _status(code))


def _status(code: int) -> str:
    if code < 0:
        with suppress(ValueError):
            return signal.Signals(-code).name
        return f"signal {-code}"
    return f"exit 0x{code:08X}" if code >= _NTSTATUS_ERROR else f"exit {code}"


def _why(said: str) -> str:
    exceptions = _EXCEPTION.findall(said)
    if exceptions:
        return str(exceptions[-1])
    line = (said.strip().splitlines() or [""])[-1][:200]
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in line)


def out_of_memory_kills() -> int:
    """How many processes the system has ended for want of memory: on this machine, and in our control group.

    0 where that is not told. Only its growth means anything.
    """
    found = 0
    for path in (Path("/proc/vmstat"), *_group_files()):
        with suppress(OSError):
            found += sum(map(int, _COUNTER.findall(path.read_text("ascii", errors="replace"))))
    return found


def _group_files() -> list[Path]:
    """The counters of our own control group, of either version."""
    files = []
    with suppress(OSError):
        for line in Path("/proc/self/cgroup").read_text("utf-8", errors="replace").splitlines():
            _, controllers, path = line.split(":", 2)
            if not controllers:
                files.append(_CGROUPS / path.lstrip("/") / "memory.events")
            elif "memory" in controllers.split(","):
                files.append(_CGROUPS / "memory" / path.lstrip("/") / "memory.oom_control")
    return files
