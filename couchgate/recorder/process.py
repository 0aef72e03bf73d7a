"""What a process says of itself in the head of its ring, and how much memory it has."""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

_STATM = Path("/proc/self/statm")
_BOOT = Path("/proc/sys/kernel/random/boot_id")


def about_process(run: str, more: Mapping[str, Any]) -> dict[str, Any]:
    """The head of this process's ring; `run` is its id. No secret: see `shown_command`."""
    program = os.path.realpath(sys.executable)
    about: dict[str, Any] = {
        "run": run,
        "pid": os.getpid(),
        "wall": time.time(),
        "monotonic": time.monotonic(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "executable": sys.executable,
        "program": program,
        "command": shown_command(sys.orig_argv),
        "boot": boot(),
        "peak_memory": not _STATM.exists() and os.name == "posix",
    }
    with suppress(OSError):
        about["folder"] = str(Path.cwd())
        status = Path(program).stat()
        about.update(program_bytes=status.st_size, program_modified=status.st_mtime)
    return {**about, **more}


def shown_command(arguments: Sequence[str]) -> list[str]:
    """A command line without what `--auth` is given, because that may be a password (`--auth memory:name:password`)."""
    shown: list[str] = []
    for each in arguments:
        if shown and shown[-1].startswith("--au") and "=" not in shown[-1]:
            shown.append(_kind_only(each))
            continue
        flag, equals, value = each.partition("=")
        shown.append(f"{flag}={_kind_only(value)}" if equals and flag.startswith("--au") else each)
    return shown


def _kind_only(description: str) -> str:
    kind, colon, _ = description.partition(":")
    return f"{kind}:..." if colon else kind


def boot() -> str:
    """What is different after each start of the machine; empty where the system does not tell."""
    with suppress(OSError):
        return _BOOT.read_text("ascii").strip()
    return ""


def resident() -> int:
    """The resident memory of this process in bytes; 0 if it cannot be told. On macOS and BSD the most so far."""
    try:
        return int(_STATM.read_bytes().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError, AttributeError):
        return _resident_on_windows() if os.name == "nt" else _peak()


def _peak() -> int:
    try:
        import resource  # noqa: PLC0415 - not on Windows
    except ImportError:
        return 0
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def _resident_on_windows() -> int:
    import ctypes  # noqa: PLC0415 - only there
    from ctypes import wintypes  # noqa: PLC0415

    names = ("peak", "resident", "peak_paged", "paged", "peak_nonpaged", "nonpaged", "pagefile", "peak_pagefile")
    fields = [("size", wintypes.DWORD), ("faults", wintypes.DWORD), *((name, ctypes.c_size_t) for name in names)]
    counters = type("Counters", (ctypes.Structure,), {"_fields_": fields})()
    counters.size = ctypes.sizeof(counters)
    windows: Any = ctypes
    kernel = windows.windll.kernel32
    kernel.GetCurrentProcess.restype = wintypes.HANDLE
    kernel.K32GetProcessMemoryInfo.argtypes = [wintypes.HANDLE, ctypes.c_void_p, wintypes.DWORD]
    found = kernel.K32GetProcessMemoryInfo(kernel.GetCurrentProcess(), ctypes.byref(counters), counters.size)
    return int(counters.resident) if found else 0
