"""What is probed, the calmest first, and how each is started: as a child process that ends with its parent."""

from __future__ import annotations

import os
import secrets
import socket
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from couchgate import demo_settings
from couchgate.demo import GATE_PROGRAM
from couchgate.demo_settings import NAME, UpstreamAuth
from couchgate.probe.advice import CONTROL, MODES, RELAY
from couchgate.probe.relay import TOKEN_VARIABLE, missing
from couchgate.recorder.process import boot
from couchgate.recorder.reading import UnreadableRingError
from couchgate.recorder.report import Report, report_of
from couchgate.recorder.runs import folder_of, look, runs
from couchgate.standin.child import Child
from couchgate.system import TWISTD

CANDIDATES = (CONTROL, *reversed(MODES), RELAY)
DATABASES = "couchgate-probe-*"
TOKEN_SECONDS = 24 * 3600


@dataclass(frozen=True, slots=True)
class Bench:
    """What all candidates have in common. `origin` is that of the page; `upstream` and `auth` are CouchDB's side.

    `upstream` is empty where only the control is run, which has no database.
    """

    directory: Path
    upstream: str
    auth: UpstreamAuth | None
    origin: str


class Candidate(Child):
    """A candidate that runs: `url` is where it listens, `token` what it lets in, `command` how it was started."""

    def __init__(self, name: str, bench: Bench) -> None:
        """Raises OSError."""
        self.directory = bench.directory / name.replace(" ", "-")
        self.directory.mkdir(mode=0o700, exist_ok=True)
        port = _free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.command, self.token = self._prepared(name, bench, port)
        environment = {**os.environ, TOKEN_VARIABLE: self.token} if name == RELAY else None
        self._began = time.time()
        super().__init__(name, self.command, self.directory / "output.log", cwd=self.directory, env=environment)

    def _prepared(self, name: str, bench: Bench, port: int) -> tuple[Sequence[str], str]:
        if name == CONTROL:
            program = [sys.executable, "-m", "couchgate.probe.control", str(port), bench.origin]
            return program, secrets.token_urlsafe(32)
        files = demo_settings.write(
            self.directory,
            bench.upstream,
            bench.auth,
            port,
            [bench.origin],
            mode=name if name in MODES else MODES[0],
            database=DATABASES,
        )
        token = files.minter.token(NAME, expires_in=TOKEN_SECONDS)
        if name in MODES:
            gate = [sys.executable, "-c", GATE_PROGRAM, *TWISTD, "couchgate"]
            return [*gate, "--config", str(files.settings)], token
        return [sys.executable, "-m", "couchgate.probe.relay", str(port), bench.origin, bench.upstream], token

    def report(self) -> Report | None:
        """What its flight recorder has; None if there is none that can be read. Once the process has ended."""
        try:
            found, _ = runs(folder_of(self.directory / "state"))
            own = [run for run in found if run.recording.started >= self._began]  # a folder may have been used before
            return report_of(look(own[0].path), boot()) if own else None
        except (OSError, UnreadableRingError):
            return None


def absent(name: str, auth: UpstreamAuth | None) -> str:
    """Why this candidate cannot be run here; empty if it can."""
    if name != RELAY:
        return ""
    if lacking := missing():
        return f"it needs {', '.join(lacking)}"
    if auth is not None and auth.auth != "none":
        return "it is not given CouchDB's credentials"
    return ""


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
