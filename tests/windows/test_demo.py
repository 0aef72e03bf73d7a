"""`couchgate demo` on (a pretended) Windows: how the package starts a gate of its own, as the probe does, too."""

import signal
import subprocess
import sys

import pytest

from couchgate.testing import Minter
from tests.reload.gates import free_port
from tests.web.sockets import PATIENCE
from tests.windows.conftest import COUCHGATE
from tests.windows.gates import CouchDB

pytestmark = pytest.mark.slow


@pytest.fixture
def couchdb():
    listening = CouchDB(Minter("ES256"))
    yield listening
    listening.close()


def test_the_demo_starts_a_gate_and_ends_it_with_itself(windows, couchdb, tmp_path):
    """The gate's twistd knows no --pidfile; it ends in order when the demo lets go of its standard input."""
    (tmp_path / "password").write_text("pw\n")
    arguments = ["--upstream", couchdb.url, "--basic", "admin:password", "--port", free_port(), "--dir", "here"]
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
    assert (process.returncode, "has ended" in rest) == (0, True), rest
    log = (tmp_path / "here" / "gate.log").read_text("cp1252")
    assert "SelectReactor" in log
    assert log.rstrip().endswith("Server Shut Down.")
