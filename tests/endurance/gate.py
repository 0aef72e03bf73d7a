"""The gate under test: `twistd couchgate` in its own process, on four listeners, with somebody inside who counts."""

import json
import os
import re
import signal
import ssl
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from couchgate.testing import Minter
from tests.web.live import CHECKOUT, TWISTD

SECRET = "the secret that the gate and CouchDB share"
_PATIENCE = 60.0  # seconds for a gate to begin, to count and to end
_LISTENS = re.compile(r"couchgate listens on IPv4Address\(type='TCP', host='127.0.0.1', port=(\d+)\)")
_SETTINGS = """
[gate]
listeners = [
    {{ endpoint = "tcp:0:interface=127.0.0.1", mode = "keepalive" }},
    {{ endpoint = "tcp:0:interface=127.0.0.1:backlog=201", mode = "close" }},
    {{ endpoint = "ssl:0:interface=127.0.0.1:privateKey={pem}:certKey={pem}", mode = "keepalive" }},
    {{ endpoint = "unix:{folder}/gate.sock", mode = "keepalive" }},
]
drain_seconds = 2

[upstream]
url = "{upstream}"
auth = "proxy"
secret_file = "secret"
connections = 32

[[issuers]]
issuer = "https://id.example.com/"
audiences = ["couchgate"]
algorithms = ["ES256"]
keys = "key.pem"
leeway = 0

[[rules]]
databases = ["db"]
allow = ["read", "write"]

[limits]
head_bytes = 8192
head_seconds = 60
idle_seconds = 120

[log]
access = "access.log"
"""


def _certificate(path):
    """A key and a certificate for localhost of its own making."""
    key = ec.generate_private_key(ec.SECP256R1())
    name, now = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")]), datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(certificate.public_bytes(Encoding.PEM) + private)


class Gate:
    """A running gate in `directory` in front of the upstream at `url`. `ports` are those of keepalive, close, TLS."""

    def __init__(self, directory, url):
        self.directory = Path(directory)
        self.minter = Minter("ES256")
        (self.directory / "key.pem").write_bytes(self.minter.public_pem())
        _certificate(self.directory / "server.pem")
        settings = self.directory / "couchgate.toml"
        (self.directory / "secret").write_text(SECRET)
        (self.directory / "secret").chmod(0o600)
        self._settings = settings
        self.reloads = 0
        self._text = _SETTINGS.format(upstream=url, folder=self.directory, pem=self.directory / "server.pem")
        settings.write_text(self._text)
        self._census = self.directory / "census.json"
        self._log = self.directory / "gate.log"
        prologue = f"from tests.endurance.census import install; install({str(self._census)!r}); "
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", prologue + TWISTD, "-n", "--pidfile=", "couchgate", "--config", settings],
                cwd=self.directory,
                stdout=log,
                stderr=log,
                env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
            )
        self._wait(lambda: "listens on UNIX" in self.log())
        self.ports = [int(port) for port in _LISTENS.findall(self.log())]
        self.unix = str(self.directory / "gate.sock")
        self.tls = ssl.create_default_context(cafile=self.directory / "server.pem")
        self.tls.check_hostname = False

    def log(self):
        """What the gate says of itself."""
        return self._log.read_text()

    def logged(self, ids):
        """The lines of its access log with one of these ids."""
        lines = (self.directory / "access.log").read_text().splitlines()
        return [line for line in lines if any(name in line for name in ids)]

    def _wait(self, condition):
        deadline = time.monotonic() + _PATIENCE
        while not condition():
            assert self.process.poll() is None, self.log()
            assert time.monotonic() < deadline, "the gate did not do it in time"
            time.sleep(0.02)

    def reload(self):
        """Change what it was told of browsers, or of CouchDB, and have it read that: decisions or the pool are new.

        Feeds that are open then may end.
        """
        cors = '\n[cors]\norigins = ["https://app.example.com"]\n' if self.reloads // 2 % 2 else ""
        text = self._text.replace("connections = 32", f"connections = {32 + self.reloads % 2}")
        self.reloads += 1
        beside = self._settings.with_suffix(".new")
        beside.write_text(text + cors)
        beside.replace(self._settings)
        self.process.send_signal(signal.SIGHUP)

    def census(self):
        """What it holds now."""
        self._census.unlink(missing_ok=True)
        self.process.send_signal(signal.SIGUSR2)
        self._wait(self._census.exists)
        return json.loads(self._census.read_text())

    def quiet_census(self, idle_most):
        """What it holds once nobody asks anything of it: all of `idle_most` keys are at most so many."""
        deadline = time.monotonic() + _PATIENCE
        while True:
            counted = self.census()
            if all(counted[name] <= most for name, most in idle_most.items()):
                return counted
            assert time.monotonic() < deadline, {name: counted[name] for name in idle_most}
            time.sleep(0.25)

    def stop(self):
        """End it as an operator would, and hold it to its word: nothing failed inside."""
        try:
            self.process.terminate()
            self.process.wait(_PATIENCE)
        finally:
            self.process.kill()
            self.process.wait()
        assert "Traceback" not in self.log(), self.log()
