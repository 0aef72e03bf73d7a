"""`couchgate demo` on (a pretended) Windows: how the package starts a gate of its own, as the probe does, too."""

import signal
import socket
import subprocess
import sys

import pytest

from couchgate.testing import Minter
from tests.web.sockets import PATIENCE
from tests.windows.conftest import COUCHGATE
from tests.windows.gates import CouchDB

pytestmark = pytest.mark.slow


def let_go():
    """A port where nobody listens. It is not held as `tests.ports` does: Twisted sets no SO_REUSEADDR on Windows."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


@pytest.fixture
def couchdb():
    listening = CouchDB(Minter("ES256"))
    yield listening
    listening.close()


def test_the_demo_starts_a_gate_and_ends_it_with_itself(windows, couchdb, tmp_path):
    """The gate's twistd knows no --pidfile; it ends in order when the demo lets go of its standard input."""
    (tmp_path / "password").write_text("pw\n")
    arguments = ["--upstream", couchdb.url, "--basic", "admin:password", "--port", let_go(), "--dir", "here"]
    process = subprocess.Popen(
        [sys.executable, "-c", COUCHGATE, "demo", *map(str, arguments)],
        cwd=tmp_path,
        env=windows,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="cp1252",
    )
    try:
        said = []
        for line in process.stdout:
            said.append(line)
            if "Ctrl-C ends everything" in line:
                break
        assert process.poll() is None, "".join(said)
        process.send_signal(signal.SIGTERM)
        rest, _ = process.communicate(timeout=PATIENCE)
    finally:
        process.kill()
        process.wait()
    assert (process.returncode, "has ended" in rest) == (0, True), "".join(said) + rest
    log = (tmp_path / "here" / "gate.log").read_text("cp1252")
    assert "SelectReactor" in log
    assert log.rstrip().endswith("Server Shut Down.")
