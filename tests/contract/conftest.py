"""The real gate, with a listener in each mode, and the upstream that records what reaches it."""

import time

import pytest

from couchgate.testing import Minter
from tests.web.live import own_upstream, running_gate
from tests.web.sockets import Upstream

__all__ = ["own_upstream"]

MODES = ("keepalive", "close", "threaded")


@pytest.fixture(scope="package")
def shared_upstream():
    listening = Upstream()
    yield listening
    listening.close()


@pytest.fixture(scope="package")
def gate(shared_upstream):
    """The gate, and `tokens` by the names that a case has for them."""
    with running_gate(shared_upstream) as running:
        expired = running.token(exp=int(time.time()) - 1000)
        # One for all, so that what CouchDB is told can be compared.
        running.tokens = {"": running.token(), "expired": expired, "foreign": Minter("ES256").token()}
        yield running


@pytest.fixture
def upstream(shared_upstream):
    """The gate's upstream; the gate's pool is emptied after the test."""
    yield shared_upstream
    shared_upstream.settle()
