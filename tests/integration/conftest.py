"""The real things: the stand-in database, the gate as its own process, and Node with PouchDB."""

import pytest

from couchgate.standin.start import start
from tests.integration.running import running_gate
from tests.integration.scripts import Script, installed


@pytest.fixture(scope="session")
def standin(tmp_path_factory):
    """A running stand-in database; its URL."""
    running = start(tmp_path_factory.mktemp("standin"))
    yield running.url
    running.stop()


@pytest.fixture(scope="session")
def clients(tmp_path_factory):
    """A directory with the scripts of `node/` and what they import."""
    return installed(tmp_path_factory.mktemp("clients"))


@pytest.fixture(params=["keepalive", "close", "threaded"])
def gate(request, tmp_path, standin):
    """A running gate in front of the stand-in, once in each mode."""
    with running_gate(tmp_path, standin, request.param) as running:
        yield running


@pytest.fixture
def script(clients):
    """Runs a PouchDB script: `script("replicate.mjs", gate=url, …)`."""
    return Script(clients)
