"""A gate and its CouchDB, for one test."""

import pytest

from tests.reload.gates import ReloadedGate
from tests.web.sockets import Upstream


@pytest.fixture
def upstream():
    listening = Upstream()
    yield listening
    listening.close()


@pytest.fixture
def gate(tmp_path, upstream):
    running = ReloadedGate(tmp_path, upstream.url)
    try:
        upstream.looked_at()
        upstream.settle()
        yield running
    finally:
        running.stop()
