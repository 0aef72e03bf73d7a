"""Makes a Python on Linux look like one on Windows, before anything else runs in it. See `tests/windows/conftest.py`.

`site` loads this where PYTHONPATH names this folder, so a child of such a process is such a process, too.
What the standard library and compiled packages choose by the system they choose before, on Linux: they have to run.
"""

# ruff: noqa: F401
import asyncio
import builtins
import concurrent.futures
import ctypes.wintypes
import errno
import fcntl
import getpass
import http.server
import importlib.metadata
import io
import json
import logging.handlers
import math
import mimetypes
import mmap
import os
import pathlib
import platform
import random
import secrets
import select
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import types
import urllib.request
import uuid
import webbrowser
from contextlib import suppress
from pathlib import Path

import OpenSSL.SSL

TICK = 1 / 64  # seconds: what clocks of Windows go by
MOST_SELECTED = 512
GONE = {"fcntl", "grp", "posix", "pwd", "readline", "resource", "spwd", "syslog", "termios", "tty", "pty", "crypt"}
GONE |= {"_posixsubprocess", "_posixshmem", "nis", "curses", "_curses"}
REAL = types.SimpleNamespace(
    kill=os.kill,
    open=os.open,
    io_open=io.open,
    rename=os.rename,
    select=select.select,
    unlink=os.unlink,
    popen=subprocess.Popen.__init__,
    SIGKILL=signal.SIGKILL,
)


class Gone:
    """Finds nothing where Windows has nothing."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        if name in GONE:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


# -- files: nobody renames or removes what somebody has open, and no rename replaces a file


def in_use(path):
    """Whether any process that can be looked at has the file open."""
    try:
        wanted = Path(path).stat()
    except OSError:
        return False
    for descriptor in Path("/proc").glob("[0-9]*/fd/*"):
        with suppress(OSError):
            found = descriptor.stat()
            if (found.st_dev, found.st_ino) == (wanted.st_dev, wanted.st_ino):
                return True
    return False


def refuse_in_use(*paths):
    for path in paths:
        if in_use(path):
            raise PermissionError(errno.EACCES, "The process cannot access the file (in use)", os.fspath(path))


def rename(source, target):
    refuse_in_use(source)
    if os.path.lexists(target):
        raise FileExistsError(errno.EEXIST, "Cannot create a file when that file already exists", os.fspath(target))
    REAL.rename(source, target)


def replace(source, target):
    refuse_in_use(source, target)
    REAL.rename(source, target)


def unlink(path, *, dir_fd=None):
    if dir_fd is None:
        refuse_in_use(path)
    REAL.unlink(path, dir_fd=dir_fd)


def io_open(file, *arguments, **named):
    if not isinstance(file, int) and Path(os.fsdecode(file)).is_dir():
        raise PermissionError(errno.EACCES, "Permission denied", os.fspath(file))
    return REAL.io_open(file, *arguments, **named)


def os_open(path, flags, mode=0o777, *, dir_fd=None):
    caller = sys._getframe(1).f_globals.get("__name__", "")
    assert flags & os.O_BINARY or not caller.startswith("couchgate"), f"{caller} opens {path} as text"
    return REAL.open(path, flags & ~os.O_BINARY, mode, dir_fd=dir_fd)


def locking(descriptor, mode, count):
    """As msvcrt's: by the place where the file stands, and those bytes cannot be read by others."""
    assert os.lseek(descriptor, 0, os.SEEK_CUR) >= os.fstat(descriptor).st_size, "bytes that others read are locked"
    assert (mode, count) == (2, 1)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise PermissionError(errno.EACCES, "Permission denied") from None


# -- processes


def kill(pid, number):
    """Ends the process, whatever the number, 0 too."""
    assert pid == os.getpid(), "os.kill ends the process on Windows"
    os._exit(number)


def popen(self, args, *positional, creationflags=0, **named):
    assert creationflags in (0, subprocess.CREATE_NEW_PROCESS_GROUP)
    assert Path(args[0]).is_absolute(), "CreateProcess finds no npm.cmd by the name npm"
    assert not named.get("pass_fds")
    assert named.get("preexec_fn") is None
    REAL.popen(self, args, *positional, **named)


def memory_of(_process, counters, size):
    assert size == 8 + 8 * ctypes.sizeof(ctypes.c_size_t)
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    at = ctypes.cast(counters, ctypes.POINTER(ctypes.c_size_t))
    at[2] = pages * mmap.PAGESIZE
    return 1


def win_dll(name):
    assert name == "kernel32"
    current = types.FunctionType((lambda: -1).__code__, {})
    return types.SimpleNamespace(
        GetCurrentProcess=current, K32GetProcessMemoryInfo=types.FunctionType(memory_of.__code__, globals())
    )


# -- sockets


def has_peer(selectable):
    descriptor = selectable if isinstance(selectable, int) else selectable.fileno()
    with socket.socket(fileno=os.dup(descriptor)) as sock:
        try:
            sock.getpeername()
        except OSError as error:
            return error.errno != errno.ENOTCONN
    return True


def winsock_select(reading, writing, failing, timeout=None):
    """Takes 512, and at least one; who could not connect has failed, and nothing else."""
    reading, writing, failing = list(reading), list(writing), list(failing)
    if not (reading or writing or failing):
        raise OSError(errno.EINVAL, "An invalid argument was supplied")
    if max(map(len, (reading, writing, failing))) > MOST_SELECTED:
        raise ValueError("too many file descriptors in select()")
    readable, writable, failed = REAL.select(reading, writing, failing, timeout)
    broken = [each for each in writable if not has_peer(each)]
    failed += [each for each in failing if each in broken and each not in failed]
    return readable, [each for each in writable if each not in broken], failed


def socketpair(family=socket.AF_INET, kind=socket.SOCK_STREAM, proto=0):
    assert (family, kind, proto) == (socket.AF_INET, socket.SOCK_STREAM, 0)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        one = socket.create_connection(listening.getsockname())
        other, _ = listening.accept()
    return one, other


# -- the change


class Linux:
    """The module `os` as files of the standard library know it that go on working as on Linux."""

    name = os.name
    WNOHANG = os.WNOHANG

    def __getattr__(self, name):
        return getattr(os, name)


def coarse(clock):
    return lambda: math.floor(clock() / TICK) * TICK


def pretend():
    sys.meta_path.insert(0, Gone)
    for name in [name for name in sys.modules if name.partition(".")[0] in GONE]:
        del sys.modules[name]
    lacking = json.loads(Path(os.environ["COUCHGATE_TEST_LACKING"]).read_text())
    for module, names in lacking.items():
        for name in names:
            if hasattr(sys.modules[module], name):
                delattr(sys.modules[module], name)
    os.O_BINARY = 1 << 30
    signal.SIGBREAK, signal.CTRL_C_EVENT, signal.CTRL_BREAK_EVENT = 21, 0, 1
    subprocess.CREATE_NEW_PROCESS_GROUP = 0x200
    for name in [name for name in dir(errno) if name.startswith("E")]:
        setattr(errno, f"WSA{name}", getattr(errno, name))
    os.rename, os.replace, os.unlink, os.remove = rename, replace, unlink, unlink
    io.open = builtins.open = io_open
    os.open, os.kill = os_open, kill
    select.select, socket.socketpair = winsock_select, socketpair
    time.time, time.monotonic = coarse(time.time), coarse(time.monotonic)
    ctypes.WinDLL, ctypes.wintypes.DWORD = win_dll, ctypes.c_uint32
    subprocess.Popen.__init__ = popen
    subprocess.Popen.kill = subprocess.Popen.terminate = lambda child: REAL.kill(child.pid, REAL.SIGKILL)
    sys.modules["msvcrt"] = msvcrt = types.ModuleType("msvcrt")
    msvcrt.locking, msvcrt.LK_NBLCK = locking, 2
    platform.platform = lambda: "Windows-10-10.0.19045-SP0"
    # Twisted and couchgate ask which system this is in one place each. Asked later, and by others, it is Linux.
    linux = os.name, sys.platform
    pathlib.os = subprocess.os = Linux()  # paths and children remain those of Linux
    os.name, sys.platform = "nt", "win32"
    import twisted.python.runtime

    import couchgate.system

    os.name, sys.platform = linux


pretend()
