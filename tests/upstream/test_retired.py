"""A pool that a reload has replaced: requests that still belong to it are served by it, and held to its limits."""

import socket
from types import SimpleNamespace

from twisted.internet.task import Clock

from couchgate.upstream.pool import UpstreamPool
from tests.reload.gates import ReloadedGate
from tests.web.live import HELLO
from tests.web.sockets import Upstream, eventually


class Asker:
    """An exchange that only writes down what it hears."""

    def __init__(self):
        self.connections, self.errors = [], []

    def upstream_connected(self, connection):
        self.connections.append(connection)

    def upstream_failed(self, error, *, stale):
        self.errors.append(error.code)


class Silence:
    """A connector whose connections never stand, and are wires that a test may ask how they ended."""

    def connect(self, connection):
        wire = SimpleNamespace(stands=False, secure=False, blocked=False, unsent=False, sends=0, ended=False)

        def abort():
            wire.ended = True
            connection.lost(clean=False)

        wire.abort = wire.close = abort
        connection.wire = wire


def test_a_stopped_pool_tells_of_each_connection_that_it_still_opens():
    """Whoever sweeps pools hears of it once more: without a sweep nobody would give up a connection in the making."""
    clock, used = Clock(), []
    pool = UpstreamPool(Silence(), clock.seconds, connect_seconds=1)
    pool.stop(used.append)
    assert (used, pool.open) == ([], 0)
    pool.acquire(Asker())
    assert (used, pool.open) == ([pool], 1)
    clock.advance(2)
    pool.sweep()
    assert pool.open == 0


def test_a_request_that_a_reload_overtakes_is_not_without_limits(tmp_path):
    """A body is still judged when CouchDB's address changes, and then that CouchDB does not take the connection: the
    503 comes after `connect_seconds`.
    """
    couchdb, other = Upstream(backlog=0), Upstream()
    gate = ReloadedGate(tmp_path, couchdb.url, auth='auth = "none"\nconnect_seconds = 2')
    crowd = []
    try:
        couchdb.looked_at()
        client = gate.client("POST", "/db/_bulk_docs", "Content-Type: application/json", "Content-Length: 11")
        client.send(b'{"docs"')
        eventually(client.taken)
        assert gate.reload(upstream=other.url)[0]
        other.looked_at()
        other_client = gate.client()
        peer, _ = other.exchange(HELLO)
        assert other_client.message().status == 200
        assert peer.ending()[0] == "fin"  # the pools have been swept several times: it was idle for too long
        for _ in range(3):  # its queue is full: the kernel answers nobody
            sock = socket.socket()
            sock.setblocking(False)
            sock.connect_ex(("127.0.0.1", couchdb.port))
            crowd.append(sock)
        client.send(b":[]}")
        answer = client.message()
        assert answer.status == 503
        assert other.untouched
    finally:
        gate.stop()
        for each in (*crowd, couchdb, other):
            each.close()
