"""A running gate whose settings a test writes anew, and how a test asks it to reload."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

from couchgate.life.mailbox import Mailbox
from couchgate.testing import Minter
from tests.ports import free_port
from tests.web.live import CHECKOUT, TWISTD
from tests.web.sockets import PATIENCE, Client, eventually

COUCHGATE = "import sys; from couchgate.cli import main; sys.exit(main(sys.argv[1:]))"
RULES = '[[rules]]\ndatabases = ["db"]\nallow = ["read", "write"]\n'


def tcp(port):
    return f"tcp:{port}:interface=127.0.0.1"


class ReloadedGate:
    """`twistd -n couchgate` in `folder`. `write` writes its settings; `port` is in every one of them."""

    def __init__(
        self, folder, upstream_url, *, flags=(), stdin=subprocess.DEVNULL, session=False, prologue="", **first
    ):
        self.folder = Path(folder)
        self.path = self.folder / "couchgate.toml"
        self.upstream_url = upstream_url
        self.minter = Minter("ES256")
        (self.folder / "key.pem").write_bytes(self.minter.public_pem())
        self.port = free_port()
        self.access_log = self.folder / "access.log"
        self.mailbox = Mailbox(self.folder / "state", self.path)
        self.environment = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
        self.write(**first)
        self._log = self.folder / "gate.log"
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [
                    sys.executable,
                    "-c",
                    prologue + TWISTD,
                    "-n",
                    "--pidfile=",
                    "couchgate",
                    *flags,
                    "--config",
                    self.path,
                ],
                cwd=self.folder,
                stdin=stdin,
                stdout=log,
                stderr=log,
                start_new_session=session,
                env=self.environment,
            )
        eventually(lambda: self.alive() and f"port={self.port})" in self.log(), 100)

    def alive(self):
        assert self.process.poll() is None, self.log()
        return True

    def write(
        self,
        *,
        ports=(),
        close_ports=(),
        others=(),
        mode="keepalive",
        upstream=None,
        rules=RULES,
        keys="key.pem",
        gate="",
        limits="",
        more="",
        access="access.log",
        auth='auth = "none"',
    ):
        """Write settings; `ports` are further listeners, `close_ports` too, in mode close, and `others` by endpoint."""
        modes = {**dict.fromkeys((self.port, *ports), mode), **dict.fromkeys(close_ports, "close")}
        endpoints = {**{tcp(port): each for port, each in modes.items()}, **dict.fromkeys(others, mode)}
        listeners = ", ".join(f"{{endpoint = '{each}', mode = '{mode}'}}" for each, mode in endpoints.items())
        new = self.path.with_suffix(".new")
        new.write_text(
            f"[gate]\nlisteners = [{listeners}]\n"
            f"state_dir = 'state'\ndrain_seconds = 5\n{gate}\n"
            f"[upstream]\nurl = {upstream or self.upstream_url!r}\n{auth}\n"
            f"[[issuers]]\nissuer = 'https://id.example.com/'\naudiences = ['couchgate']\n"
            f"algorithms = ['ES256']\nkeys = {keys!r}\nleeway = 0\n"
            f"{more}\n{rules}\n[limits]\n{limits}\n[log]\naccess = {access!r}\n"
        )
        new.replace(self.path)

    def reload(self, **settings):
        """Write these settings, and ask for a reload: (whether it went well, the sentence)."""
        if settings:
            self.write(**settings)
        nonce = self.mailbox.put()
        return eventually(lambda: self.alive() and self.mailbox.outcome(nonce), 20)

    def command_line(self):
        """`couchgate reload` as a person runs it."""
        return [sys.executable, "-c", COUCHGATE, "reload", "--config", self.path]

    def command(self):
        """Run it to its end."""
        return subprocess.run(
            self.command_line(),
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    def log(self):
        return self._log.read_text()

    def head(self, method="GET", target="/db/doc", *lines, **claims):
        fields = [f"{method} {target} HTTP/1.1", "Host: 127.0.0.1", *lines]
        fields.append(f"Authorization: Bearer {self.minter.token(**claims)}")
        return "\r\n".join([*fields, "", ""]).encode()

    def client(self, *head, port=None, **claims):
        """A client that has sent this head."""
        client = Client(port or self.port)
        client.send(self.head(*head, **claims))
        return client

    def refuses(self, port):
        """Whether nobody listens on `port`."""
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except ConnectionRefusedError:
            return True
        return False

    def access(self):
        return [json.loads(line) for line in self.access_log.read_text().splitlines()]

    def stop(self, number=signal.SIGTERM):
        """End it; nothing failed inside."""
        try:
            if self.process.poll() is None:
                self.process.send_signal(number)
            self.process.wait(PATIENCE)
        finally:
            self.process.kill()
            self.process.wait()
        assert not re.search("Traceback|Unhandled", self.log()), self.log()
