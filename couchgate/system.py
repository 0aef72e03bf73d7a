"""What differs between operating systems, in one place: nothing else in the package asks which one this is.

Where the standard library shows by itself what a system has (`hasattr(select, "epoll")`, `hasattr(signal, "SIGHUP")`),
the place that needs it looks there. What is here for Windows was written by the documentation of Windows and of
Python, and runs in tests that make Linux look like it (tests/windows); it was never run on Windows.
"""

from __future__ import annotations

import io
import os
import shlex
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, Final

WINDOWS: Final = os.name == "nt"
NAME: Final[str] = sys.platform  # as Python calls it: linux, win32, darwin, …

# Flags of os.open, 0 where the system has none. Without O_BINARY Windows changes line ends.
BINARY: Final[int] = getattr(os, "O_BINARY", 0)
NONBLOCK: Final[int] = getattr(os, "O_NONBLOCK", 0)
NOFOLLOW: Final[int] = getattr(os, "O_NOFOLLOW", 0)

RESET: Final = struct.pack("hh" if WINDOWS else "ii", 1, 0)  # of SO_LINGER: closing sends RST
TWISTD: Final = ("-n",) if WINDOWS else ("-n", "--pidfile=")  # in the foreground, without a file of its process id
MOST_SELECTED: Final = 512 if WINDOWS else None  # sockets for which one `select` can wait; None: no such bound

_STATM: Final = Path("/proc/self/statm")
_FAR: Final = 1 << 30  # on Windows a locked byte cannot be read by others: so it is one that no file here has
_TRIES: Final = 20  # at what another program has open or locked for a moment
_PAUSE_SECONDS: Final = 0.01


def lock(descriptor: int, *, wait: bool) -> bool:
    """Lock the open file until it is closed, which the system does when its process is gone, however that ends.

    False if another process has it. `wait`: for who has it for a moment. Raises OSError where that cannot be.
    """
    if WINDOWS:
        return any(_lock_on_windows(descriptor, attempt) for attempt in range(_TRIES if wait else 1))
    import fcntl  # noqa: PLC0415 - not on Windows

    with suppress(BlockingIOError):
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        return True
    return False


def held(descriptor: int) -> bool:
    """Whether another process has locked the open file. Who asks is in nobody's way who asks, too."""
    if WINDOWS:  # where a lock is never shared: who else asks has it for a moment
        return not lock(descriptor, wait=True)
    import fcntl  # noqa: PLC0415 - not on Windows

    with suppress(BlockingIOError):
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return False
    return True


def _lock_on_windows(descriptor: int, attempt: int) -> bool:
    import msvcrt  # noqa: PLC0415 - only there

    if attempt:
        time.sleep(_PAUSE_SECONDS)
    place = os.lseek(descriptor, 0, os.SEEK_CUR)
    os.lseek(descriptor, _FAR, os.SEEK_SET)  # what is locked begins where the file stands
    try:
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]
    except PermissionError:
        return False
    finally:
        os.lseek(descriptor, place, os.SEEK_SET)
    return True


def replace(source: Path, target: Path) -> None:
    """Rename `source` to `target`, which is replaced if it is there. May block for a moment. Raises OSError.

    Windows refuses that while any program, a virus scanner for one, has either open; most have it for a moment only.
    """
    for _ in range(_TRIES - 1 if WINDOWS else 0):
        with suppress(PermissionError):
            source.replace(target)
            return
        time.sleep(_PAUSE_SECONDS)
    source.replace(target)


def rename_new(source: Path, target: Path) -> None:
    """Give `source` the name `target`, beside its own or in its place. Raises OSError; FileExistsError: it is taken."""
    if WINDOWS:
        source.rename(target)
    else:  # where a rename would replace it
        target.hardlink_to(source)


def resident() -> int:
    """The resident memory of this process in bytes; 0 if it cannot be told. On macOS and BSD the most so far."""
    try:
        if WINDOWS:
            return _memory_call()()
        return int(_STATM.read_bytes().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError, AttributeError):
        return _peak()


def tells_peak_only() -> bool:
    """Whether `resident` is the most so far, and not what it is now."""
    return not WINDOWS and not _STATM.exists()


def _peak() -> int:
    try:
        import resource  # noqa: PLC0415 - not on Windows
    except ImportError:
        return 0
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if NAME == "darwin" else most * 1024


@cache
def _memory_call() -> Callable[[], int]:
    import ctypes  # noqa: PLC0415 - only there
    from ctypes import wintypes  # noqa: PLC0415

    names = ("peak", "resident", "peak_paged", "paged", "peak_nonpaged", "nonpaged", "pagefile", "peak_pagefile")
    fields = [("size", wintypes.DWORD), ("faults", wintypes.DWORD), *((name, ctypes.c_size_t) for name in names)]
    counters = type("Counters", (ctypes.Structure,), {"_fields_": fields})()  # PROCESS_MEMORY_COUNTERS
    counters.size = ctypes.sizeof(counters)
    windows: Any = ctypes
    kernel = windows.WinDLL("kernel32")
    kernel.GetCurrentProcess.restype = wintypes.HANDLE
    kernel.K32GetProcessMemoryInfo.argtypes = [wintypes.HANDLE, ctypes.c_void_p, wintypes.DWORD]
    process = kernel.GetCurrentProcess()

    def ask() -> int:
        found = kernel.K32GetProcessMemoryInfo(process, ctypes.byref(counters), counters.size)
        return int(counters.resident) if found else 0

    return ask


def program() -> str:
    """The path of the program that this process runs.

    On Windows the `python.exe` of a virtual environment only starts another one: that one opens the sockets.
    """
    started = getattr(sys, "_base_executable", "") if WINDOWS else ""
    return os.path.realpath(started or sys.executable)


def command_line(arguments: Sequence[str], platform: str) -> str:
    """A command line as one writes it on `platform` (as `platform.platform` names it)."""
    return subprocess.list2cmdline(arguments) if platform.startswith("Windows") else shlex.join(arguments)


def children_apart() -> int:
    """The `creationflags` of a child that does not hear Ctrl-C, beside `start_new_session`, which does it elsewhere."""
    return subprocess.CREATE_NEW_PROCESS_GROUP if WINDOWS else 0  # type: ignore[attr-defined,unused-ignore]


def end_group(leader: subprocess.Popen[bytes], *, by_force: bool) -> None:
    """End `leader`, a child with `start_new_session`, and all that it has started; on Windows `leader` alone.

    Nothing happens if they have ended, or what is left belongs to somebody else.
    """
    if WINDOWS:
        leader.terminate()
        return
    # What macOS says of a group that has ended is that it may not be.
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(leader.pid, signal.SIGKILL if by_force else signal.SIGTERM)


def has_screen() -> bool:
    """Whether a browser that is opened here can be seen."""
    screens = ("BROWSER", "DISPLAY", "WAYLAND_DISPLAY")
    return NAME in {"win32", "darwin"} or any(os.environ.get(name) for name in screens)


def caches() -> Path:
    """Where programs of this user keep what they can get again."""
    if WINDOWS:
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")


def write_what_can_be_written() -> None:
    """Let output hold any text.

    Into a file or a pipe Windows writes an old code page. What that lacks is escaped then, and ends neither a command
    nor a line of the log.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a service may have none
            stream.reconfigure(errors="backslashreplace")
