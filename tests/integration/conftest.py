"""The real things: the stand-in database, the gate as its own process, and Node with PouchDB."""

import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from couchgate.standin.install import cache_directory, node, npm_install
from couchgate.standin.start import start
from couchgate.testing import Minter

CLIENTS = Path(__file__).parent / "node"
TWISTD = "from twisted.scripts.twistd import run; run()"


@pytest.fixture(scope="session")
def standin(tmp_path_factory):
    """A running stand-in database; its URL."""
    running = start(tmp_path_factory.mktemp("standin"))
    yield running.url
    running.stop()


@pytest.fixture(scope="session")
def clients(tmp_path_factory):
    """A directory with the scripts of `node/` and what they import."""
    directory = tmp_path_factory.mktemp("clients")
    for script in CLIENTS.glob("*.mjs"):
        shutil.copy(script, directory)
    (directory / "node_modules").symlink_to(npm_install(cache_directory(CLIENTS), CLIENTS) / "node_modules")
    return directory


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class RunningGate:
    """couchgate as `twistd` runs it, on one port for all its lives."""

    def __init__(self, directory, upstream, mode, more=""):
        self.directory = directory
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.minter = Minter("ES256")
        self.access_log = directory / "access.log"
        self.process = None
        (directory / "key.pem").write_bytes(self.minter.public_pem())
        (directory / "couchgate.toml").write_text(
            f"""
[gate]
listen = ["tcp:{self.port}:interface=127.0.0.1"]
mode = "{mode}"
drain_seconds = 3

[upstream]
url = "{upstream}"
auth = "none"

[[issuers]]
issuer = "{self.minter.issuer}"
audiences = ["couchgate"]
algorithms = ["ES256"]
keys = "key.pem"
leeway = 0

[[rules]]
databases = ["*"]
allow = ["read", "write", "design", "admin"]

[log]
access = "access.log"
{more}
"""
        )

    def start(self):
        settings = self.directory / "couchgate.toml"
        with (self.directory / "gate.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", TWISTD, "-n", "--pidfile=", "couchgate", "--config", settings],
                cwd=self.directory,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + 20
        while not self.ready():
            assert self.process.poll() is None, self.log()
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.02)

    def ready(self):
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)) as connection:
            try:
                connection.request("GET", "/_gate/ready")
                return connection.getresponse().status == 200
            except (OSError, http.client.HTTPException):
                return False

    def end(self, number=signal.SIGTERM):
        """Send the signal and wait for the end; the exit status."""
        self.process.send_signal(number)
        return self.process.wait(15)

    def log(self):
        return (self.directory / "gate.log").read_text()

    def access(self):
        """The lines of the access log; the gate writes them at the end of each request."""
        return [json.loads(line) for line in self.access_log.read_text().splitlines()]


@pytest.fixture(params=["keepalive", "close", "threaded"])
def gate(request, tmp_path, standin):
    """A running gate in front of the stand-in, once in each mode."""
    running = RunningGate(tmp_path, standin, request.param)
    running.start()
    try:
        yield running
        status = running.end()
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(running.process.pid, signal.SIGKILL)
        running.process.wait()
    assert status == -signal.SIGTERM, running.log()  # what Twisted makes of it once it has stopped in order
    assert "Traceback" not in running.log()


class Script:
    """Runs a script of `node/`, answers what it asks, and gives its result."""

    def __init__(self, directory):
        self.directory = directory

    def __call__(self, name, answers=None, seconds=150, **config):
        """`answers` maps each question to a function that answers it; the script is ended after `seconds`."""
        process = subprocess.Popen(
            [node(), name, json.dumps(config)],
            cwd=self.directory,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        watchdog = threading.Timer(seconds, process.kill)
        watchdog.start()
        try:
            for line in process.stdout:
                message = json.loads(line)
                if "result" in message:
                    return message["result"]
                assert "ask" in message, message
                process.stdin.write(json.dumps(answers[message["ask"]]()) + "\n")
                process.stdin.flush()
            raise AssertionError(f"{name} ended without a result within {seconds} s")
        finally:
            watchdog.cancel()
            process.kill()
            process.communicate()


@pytest.fixture
def script(clients):
    """Runs a PouchDB script: `script("replicate.mjs", gate=url, …)`."""
    return Script(clients)
