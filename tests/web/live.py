"""A real couchgate: `twistd couchgate` as its own process, in front of an upstream that the test plays itself."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from couchgate.testing import Minter
from tests.web.sockets import PATIENCE, Client, Upstream, eventually

CHECKOUT = Path(__file__).parent.parent.parent
TWISTD = "from twisted.scripts.twistd import run; run()"
ACTIVATED = (
    "import os, sys; os.dup2(int(sys.argv.pop()), 3); "
    "os.environ.update(LISTEN_FDS='1', LISTEN_FDNAMES='gate', LISTEN_PID=str(os.getpid())); "
)
ORIGIN = b"https://app.example.com"
OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 11\r\n\r\n"
HELLO = OK + b'{"ok":true}'
_LISTENS = re.compile(r"couchgate listens on \w+\(.*?(?:port=(\d+)|b?'(/.*?)')\) \((\w+)\)")
_TCP = "tcp:0:interface=127.0.0.1"
_SETTINGS = """
[gate]
listeners = [
    {{ endpoint = "{endpoint}", mode = "keepalive", admin = {admin} }},
    {{ endpoint = "{close_endpoint}", mode = "close" }},
    {{ endpoint = "{threaded_endpoint}", mode = "threaded" }},
]
drain_seconds = {drain_seconds}

[upstream]
url = "{upstream}"
auth = "none"
{more_upstream}

[[issuers]]
issuer = "{issuer}"
audiences = ["couchgate"]
algorithms = ["ES256"]
keys = "{keys}"
leeway = {leeway}

[cors]
origins = ["https://app.example.com"]

[[rules]]
databases = ["db"]
roles = ["designer"]
allow = ["read", "write", "design"]

[[rules]]
databases = ["db"]
allow = ["read", "write"]

[limits]
{limits}

[admin]
role = "{role}"

[log]
access = "{access}"
{more_log}
"""


class LiveGate:
    """A running gate. `port` serves in mode keepalive, `close_port` in mode close; a path, if it is a Unix socket.

    `ports` has them by mode. `endpoints` are the listeners, in the order keepalive, close, threaded; with `admin` the
    first is for administrators, whose role is `role`. `listener` is a socket for the first of them, handed over as
    systemd does it; `command` is what runs the gate, `prologue` is Python that comes before it.
    """

    def __init__(
        self,
        directory,
        upstream_url,
        *,
        limits="",
        drain_seconds=0.2,
        leeway=0,
        keys="key.pem",
        issuer="https://id.example.com/",
        access="access.log",
        admin=False,
        role="",
        more_upstream="",
        more_log="",
        listener=None,
        endpoints=(_TCP, f"{_TCP}:backlog=201", f"{_TCP}:backlog=202"),
        command=(),
        prologue="",
        env=None,
    ):
        self._told_to_end = False
        self.minter = Minter("ES256")
        self.directory = Path(directory)
        self.access_log = self.directory / "access.log"
        (self.directory / "key.pem").write_bytes(self.minter.public_pem())
        settings = self.directory / "couchgate.toml"
        settings.write_text(
            _SETTINGS.format(
                upstream=upstream_url,
                limits=limits,
                drain_seconds=drain_seconds,
                leeway=leeway,
                keys=keys,
                issuer=issuer,
                access=access,
                admin=str(admin).lower(),
                role=role,
                more_upstream=more_upstream,
                more_log=more_log,
                endpoint=endpoints[0] if listener is None else "systemd:domain=INET:index=0",
                close_endpoint=endpoints[1],
                threaded_endpoint=endpoints[2],
            )
        )
        self._log = self.directory / "gate.log"
        program = [*command, sys.executable, "-c", prologue + ("" if listener is None else ACTIVATED) + TWISTD]
        inherited = [] if listener is None else [listener.fileno()]
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [*program, "-n", "--pidfile=", "couchgate", "--config", settings, *map(str, inherited)],
                pass_fds=inherited,
                cwd=self.directory,
                stdout=log,
                stderr=log,
                env={**os.environ, "PYTHONPATH": str(CHECKOUT), **(env or {})},
            )

        def listening():
            assert self.process.poll() is None, self.log()
            ports = {mode: int(port) if port else path for port, path, mode in _LISTENS.findall(self.log())}
            return ports if len(ports) == len(endpoints) else None

        self.ports = ports = eventually(listening, 100)
        self.port, self.close_port = ports["keepalive"], ports["close"]

    def log(self):
        """What the gate says of itself."""
        return self._log.read_text()

    def access(self):
        """The access log's lines so far; one that is just being written is not one yet."""
        whole = self.access_log.read_text().rpartition("\n")[0]
        return [json.loads(line) for line in whole.splitlines()]

    def token(self, **claims):
        return self.minter.token(**claims)

    def head(self, method="GET", target="/db/doc", *lines, token="", version="1.1"):
        """The bytes of a request's head with a valid token (`token=None`: without any)."""
        fields = [f"{method} {target} HTTP/{version}", "Host: 127.0.0.1", *lines]
        if token is not None:
            fields.append(f"Authorization: Bearer {token or self.token()}")
        return "\r\n".join([*fields, "", ""]).encode("latin-1")

    def client(self, *head, mode="keepalive", **options):
        """A client that has sent this head (see `head`), or nothing without arguments."""
        client = Client(self.ports[mode])
        if head or options:
            client.send(self.head(*head, **options))
        return client

    def memory(self):
        """Resident bytes of the process."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) * 1024

    def signal(self, number=signal.SIGTERM):
        """End it as an operator would."""
        self._told_to_end = True
        self.process.send_signal(number)

    def stop(self):
        """End it, and hold it to its word: nothing failed inside."""
        if not self._told_to_end:
            self.signal()
        try:
            self.process.wait(PATIENCE)
        finally:
            self.process.kill()
            self.process.wait()
        assert "Traceback" not in self.log(), self.log()


@contextlib.contextmanager
def running_gate(upstream, **options):
    """A gate in front of `upstream`, whose first look at CouchDB is over."""
    with tempfile.TemporaryDirectory() as directory:
        gate = LiveGate(directory, upstream.url, **options)
        try:
            upstream.looked_at()
            upstream.settle()
            yield gate
        finally:
            gate.stop()


@pytest.fixture(scope="session")
def shared_upstream():
    """The upstream of the shared gate."""
    listening = Upstream()
    yield listening
    listening.close()


@pytest.fixture(scope="session")
def shared_gate(shared_upstream):
    """A gate with the default limits, for tests that leave it as it was."""
    with running_gate(shared_upstream) as running:
        yield running


@pytest.fixture
def gate(shared_gate, upstream):
    """The shared gate; its pool is emptied after the test."""
    return shared_gate


@pytest.fixture
def upstream(shared_upstream):
    """The shared gate's upstream."""
    yield shared_upstream
    shared_upstream.settle()


@pytest.fixture
def own_upstream():
    """An upstream for a gate that one test starts with settings of its own."""
    listening = Upstream()
    yield listening
    listening.close()
