"""How many a threaded listener serves, and what the others are told."""

import json
from pathlib import Path

from tests.web.live import HELLO, running_gate
from tests.web.sockets import Client, eventually


def test_a_client_beyond_the_threads_is_told_so_at_once(own_upstream):
    """It gets a 503 in CouchDB's form with Retry-After; other listeners serve on; when one has left it is served."""
    with running_gate(own_upstream, limits="threads = 3") as gate:
        clients = [Client(gate.ports["threaded"]) for _ in range(3)]
        late = gate.client("GET", "/db/doc", mode="threaded")
        answer = late.message()
        assert answer.start == b"HTTP/1.0 503 Service Unavailable"
        assert json.loads(answer.body)["error"] == "service_unavailable"
        assert int(answer.first(b"retry-after")) > 0
        assert late.ending() == ("fin", b"")
        other = gate.client("GET", "/db/doc", mode="close")
        own_upstream.exchange(HELLO)
        assert other.message().status == 200
        clients.pop().close()
        eventually(lambda: health(gate) == 200)
        # Told by its own thread, after the answer: others may come before it.
        eventually(lambda: [line for line in gate.access() if line["reason"] == "threads"])
        for client in clients:
            client.close()


def health(gate):
    """The status of a page that needs no CouchDB."""
    return gate.client("GET", "/_gate/health", mode="threaded").message().status


def test_clients_beyond_all_threads_are_closed_and_nobody_else_notices(own_upstream):
    """A crowd that sends nothing costs no more threads than the bound and a few that say no."""
    with running_gate(own_upstream, limits="threads = 2") as gate:
        crowd = [Client(gate.ports["threaded"]) for _ in range(60)]
        for client in crowd[2:]:
            assert client.message().status == 503
        threads = len(list(Path(f"/proc/{gate.process.pid}/task").iterdir()))
        assert threads < 2 + 16 + 20
        for client in crowd:
            client.close()


def test_a_spare_connection_gives_its_thread_back(own_upstream):
    """One that brings nothing is closed after head_seconds, however long a kept one may be idle in other modes."""
    with running_gate(own_upstream, limits="threads = 1\nhead_seconds = 0.5\nidle_seconds = 60") as gate:
        spare = Client(gate.ports["threaded"])
        assert spare.ending() == ("fin", b"")
        eventually(lambda: health(gate) == 200)
