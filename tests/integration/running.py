"""The gate as a process of its own, as `twistd` runs it."""

import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
import time

from couchgate.testing import Minter
from tests.ports import free_port

TWISTD = "from twisted.scripts.twistd import run; run()"


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
        deadline = time.monotonic() + 100
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


@contextlib.contextmanager
def running_gate(directory, upstream, mode, more=""):
    """A gate that runs, and has to end in order and without a traceback in its log."""
    running = RunningGate(directory, upstream, mode, more)
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
