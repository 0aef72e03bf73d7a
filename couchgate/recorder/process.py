"""What a process says of itself in the head of its ring."""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from couchgate.system import program, tells_peak_only

_BOOT = Path("/proc/sys/kernel/random/boot_id")


def about_process(run: str, more: Mapping[str, Any]) -> dict[str, Any]:
    """The head of this process's ring; `run` is its id. No secret: see `shown_command`."""
    runs = program()
    about: dict[str, Any] = {
        "run": run,
        "pid": os.getpid(),
        "wall": time.time(),
        "monotonic": time.monotonic(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "executable": sys.executable,
        "program": runs,
        "command": shown_command(sys.orig_argv),
        "boot": boot(),
        "peak_memory": tells_peak_only(),
    }
    with suppress(OSError):
        about["folder"] = str(Path.cwd())
        status = Path(runs).stat()
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
