"""The browser that is started for the probe ends with it, whatever it is."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from couchgate.probe import browser
from tests.probe.conftest import alive, gone
from tests.web.sockets import eventually

PARENT = """
import sys
from pathlib import Path
from couchgate.probe import browser
child = browser.headless(sys.argv[1], "http://127.0.0.1:9/", Path(sys.argv[2]))
child.process.wait()
"""


def lives_on(tmp_path):
    """A browser that does not hear SIGTERM and has a process of its own; its file of process ids and profile."""
    program = tmp_path / "browser"
    program.write_text(
        "#!/bin/sh\ntrap '' TERM\nsleep 600 &\n"
        f'echo "$$ $! $*" > "{tmp_path}/new"\nmv "{tmp_path}/new" "{tmp_path}/started"\nwait\n'
    )
    program.chmod(0o700)
    return program


def started(tmp_path):
    """The process ids, and the folder of the profile."""
    path = tmp_path / "started"
    eventually(path.exists, 30)
    words = path.read_text().split()
    profile = next(word.partition("=")[2] for word in words if word.startswith("--user-data-dir="))
    return [int(word) for word in words[:2]], profile


def test_a_probe_that_is_killed_takes_its_browser_along(tmp_path, monkeypatch):
    """With all that the browser has started, though it does not hear SIGTERM, and with its profile."""
    parent = subprocess.Popen([sys.executable, "-c", PARENT, lives_on(tmp_path), tmp_path])
    pids, profile = started(tmp_path)
    assert all(map(alive, pids))
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    gone(pids)
    eventually(lambda: not Path(profile).exists(), 30)
    assert not profile.startswith(str(tmp_path))


def test_a_program_that_is_none_is_told(tmp_path):
    """In the log, and the guard ends."""
    program = tmp_path / "browser"
    program.write_text("this is no program")
    child = browser.headless(str(program), "http://127.0.0.1:9/", tmp_path)
    eventually(child.ended, 30)
    assert child.process.returncode == 126
    assert child.written() == "Permission denied\n"
    child.stop()
