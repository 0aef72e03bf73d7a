"""How a process ended, told apart."""

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from couchgate.probe.ends import end_of, out_of_memory_kills

TRACEBACK = """starting
Traceback (most recent call last):
  File "x.py", line 1, in <module>
    raise KeyError
twisted.internet.error.CannotListenError: port in use
"""


def end(code, *, stopped=False, by_itself=None, said="", starved=False):
    return end_of(code, stopped=stopped, by_itself=by_itself, said=said, starved=starved)


@pytest.mark.parametrize(
    ("ended", "expected"),
    [
        (end(127), ("killed", "exit 127")),
        (end(127, by_itself=False, said="log"), ("killed", "exit 127")),
        (end(-signal.SIGKILL), ("killed", "SIGKILL")),
        (end(-signal.SIGKILL, by_itself=False, said=TRACEBACK), ("killed", "SIGKILL")),
        (end(-signal.SIGTERM), ("killed", "SIGTERM")),
        (end(-signal.SIGKILL, starved=True), ("out of memory", "SIGKILL, when the system ran out of memory")),
        (end(-signal.SIGTERM, starved=True), ("killed", "SIGTERM")),
        (end(-signal.SIGSEGV), ("crashed", "SIGSEGV")),
        (end(-200), ("killed", "signal 200")),
        (end(0xC0000005), ("crashed", "exit 0xC0000005")),
        (end(1, said=TRACEBACK), ("failed", "exit 1, twisted.internet.error.CannotListenError")),
        (end(1, by_itself=True, said=TRACEBACK), ("failed", "exit 1, twisted.internet.error.CannotListenError")),
        (end(1, by_itself=False, said=TRACEBACK), ("killed", "exit 1")),
        (
            end(1, said="couchgate: gate.listen is\x1b wrong"),
            ("failed", "exit 1, couchgate: gate.listen is\\x1b wrong"),
        ),
        (end(1), ("killed", "exit 1")),
        (end(0, by_itself=True), ("failed", "exit 0")),
        (end(0), ("killed", "exit 0")),
        (end(-signal.SIGTERM, stopped=True), ("survived", "stopped by the probe (SIGTERM)")),
        (end(0, stopped=True, said=TRACEBACK), ("survived", "stopped by the probe (exit 0)")),
    ],
)
def test_an_end_is_told_from_its_traces(ended, expected):
    """Status, signal, exception, want of memory and our own stop are not taken for each other."""
    assert ended == expected


@pytest.mark.parametrize(
    ("program", "result", "status"),
    [
        ("import os; os._exit(127)", "killed", "exit 127"),
        ("raise LookupError('with a secret')", "failed", "exit 1, LookupError"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "killed", "SIGKILL"),
    ],
)
def test_the_end_of_a_real_process_is_told(program, result, status):
    """What the system gives of a process is what is understood; an exception's words are not told."""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert end(done.returncode, said=done.stderr) == (result, status)


def test_ends_for_want_of_memory_are_counted_where_the_system_tells():
    """The count is a number that does not fall; on Linux the kernel's own is in it."""
    before = out_of_memory_kills()
    assert before <= out_of_memory_kills()
    counted = re.search(r"^oom_kill (\d+)$", Path("/proc/vmstat").read_text(), re.MULTILINE)
    assert before >= int(counted[1])
