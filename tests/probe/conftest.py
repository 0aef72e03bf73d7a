"""The probe as its own process, with a fake sensor beside it and something that behaves as a browser."""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from couchgate.probe import pouchdb
from couchgate.standin.start import start
from tests.web.sockets import eventually

HERE = Path(__file__).parent
MAIN = "from couchgate.cli import main; raise SystemExit(main())"
# What a sensor does to a process so that it ends with a status of its own cannot be done from outside without a
# debugger: so the processes are told to do it themselves.
EXIT_127 = "import os, signal\nsignal.signal(signal.SIGUSR2, lambda *_: os._exit(127))\n"


@pytest.fixture(scope="session")
def standin(tmp_path_factory):
    """A running stand-in database; its URL. And PouchDB is there, so that no probe waits for npm."""
    pouchdb.script()
    running = start(tmp_path_factory.mktemp("standin"))
    yield running.url
    running.stop()


class Running:
    """`couchgate probe` with its sensor; `finish` waits for its end and reads what it wrote."""

    def __init__(self, directory, rule, number, arguments, environment, when):
        self.directory = directory
        self.process = subprocess.Popen(
            [sys.executable, "-c", MAIN, "probe", *arguments],
            cwd=directory,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.sensor = subprocess.Popen(
            [sys.executable, HERE / "sensor.py", rule, number, directory / "sensor", str(self.process.pid), when]
        )

    def finish(self, seconds=100):
        """The exit status, its JSON, and what it printed."""
        printed, shown = self.process.communicate(timeout=seconds)
        return self.process.returncode, self.told(), printed, shown

    def told(self):
        return json.loads((self.directory / "couchgate-probe.json").read_text())

    def children(self):
        """The processes that it has started, and their command lines."""
        found = {}
        for path in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                if int(path.read_text().rpartition(")")[2].split()[1]) == self.process.pid:
                    found[int(path.parent.name)] = (path.parent / "cmdline").read_bytes()
        return found

    def end(self):
        for process in (self.process, self.sensor):
            process.kill()
            process.communicate()


@pytest.fixture
def probe(standin):
    """Starts a probe: `probe("reuse", "SIGKILL", *arguments)`. The driver serves unless a browser is named."""
    running = []
    # The path of a Unix socket must be short.
    with tempfile.TemporaryDirectory(prefix="probe-") as place:

        def begin(rule, number="SIGKILL", *arguments, browser=None):
            directory = Path(place)
            when = "asked" if browser is None else "always"
            if browser is None:
                browser = directory / "browser"
                browser.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{HERE}/driver.py" "{place}/sensor" "$@"\n')
                browser.chmod(0o700)
            (directory / "python").mkdir()
            (directory / "python" / "sitecustomize.py").write_text(EXIT_127)
            options = ["--upstream", standin, "--browser", browser, *arguments]
            running.append(Running(directory, rule, number, options, {"PYTHONPATH": str(directory / "python")}, when))
            return running[-1]

        yield begin
        for each in running:
            each.end()


def gone(pids):
    """Wait until these processes have ended."""
    eventually(lambda: not [pid for pid in pids if alive(pid)], 30)


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in {"Z", "X"}
    except OSError:
        return False
