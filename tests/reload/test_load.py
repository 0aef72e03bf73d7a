"""Reloads under load: not one failed request.

For eight seconds; for the full minute set COUCHGATE_RELOAD_SECONDS=60.
"""

import contextlib
import os
import threading
import time
from itertools import count, cycle

import pytest

from tests.ports import free_port
from tests.reload.gates import RULES
from tests.web.live import HELLO
from tests.web.sockets import Client, eventually

SECONDS = float(os.environ.get("COUCHGATE_RELOAD_SECONDS", "8"))
OTHER = '[[rules]]\ndatabases = ["other"]\nallow = ["read"]\n'

pytestmark = [pytest.mark.slow, pytest.mark.timeout(SECONDS + 110)]


class Load:
    """Clients in threads of their own: how many requests were answered, and what went wrong."""

    def __init__(self, gate):
        self.gate = gate
        self.answered = count()
        self.by_port = {}
        self.failures = []
        self.over = threading.Event()
        self.threads = []
        self.head = gate.head("GET", "/db/doc")
        self.upload = gate.head("PUT", "/db/doc", "Content-Length: 5") + b"{   }"

    def start(self, port, *, keep, comes_and_goes=False):
        thread = threading.Thread(target=self._run, args=[port, keep, comes_and_goes], daemon=True)
        self.threads.append(thread)
        thread.start()

    def _run(self, port, keep, comes_and_goes):
        while not self.over.is_set():
            try:
                client = Client(port)
            except ConnectionRefusedError:
                if not comes_and_goes:
                    self.failures.append((port, "refused"))
                time.sleep(0.02)
                continue
            try:
                self._use(client, port, keep=keep)
            except (OSError, AssertionError) as error:
                self.failures.append((port, repr(error)))
            client.close()

    def _use(self, client, port, *, keep):
        for request in cycle((self.head, self.upload)):
            client.send(request)
            answer = client.message()
            assert answer.status == 200, answer
            self.by_port[port] = self.by_port.get(port, 0) + 1
            if not keep or answer.first(b"connection") == b"close" or self.over.is_set():
                return
            time.sleep(0.002)

    def stop(self):
        self.over.set()
        for thread in self.threads:
            thread.join(20)
            assert not thread.is_alive()


@contextlib.contextmanager
def served(upstream):
    """A CouchDB that answers whatever comes."""
    over = threading.Event()

    def serve(peer):
        with contextlib.suppress(OSError, AssertionError):
            while True:
                peer.message()
                peer.send(HELLO)

    def accept():
        while not over.is_set():
            with contextlib.suppress(OSError):
                threading.Thread(target=serve, args=[upstream.accept()], daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    yield
    over.set()
    Client(upstream.port).close()
    thread.join(20)


def test_a_reload_every_second_fails_no_request(gate, upstream):
    """Rules, hosts, limits, keys, modes' listeners, the log and CouchDB's settings change back and forth meanwhile."""
    closing, coming = free_port(), free_port()
    (gate.folder / "again.pem").write_bytes((gate.folder / "key.pem").read_bytes())
    changes = [
        {"rules": OTHER + RULES},
        {"ports": [coming], "limits": "idle_seconds = 20\nhead_bytes = 16384"},
        {"keys": "again.pem", "ports": [coming]},
        {"gate": "hosts = ['gate.example.com']", "rules": RULES + OTHER},
        {"more": "[cors]\norigins = ['https://app.example.com']\n", "access": "other.log"},
        {"ports": [coming], "auth": 'auth = "none"\nconnections = 7'},
        {"more": "name_prefix = 'x:'\n"},
        {},
    ]
    with served(upstream):
        assert gate.reload(close_ports=[closing])[0]
        load = Load(gate)
        for _ in range(3):
            load.start(gate.port, keep=True)
        load.start(gate.port, keep=False)
        load.start(closing, keep=False)
        load.start(coming, keep=True, comes_and_goes=True)
        end = time.monotonic() + SECONDS
        reloads = 0
        for change in cycle(changes):
            if time.monotonic() > end and reloads >= len(changes):
                break
            began = time.monotonic()
            outcome = gate.reload(close_ports=[closing], **change)
            assert outcome[0], outcome
            reloads += 1
            time.sleep(max(0.0, min(1.0, end - time.monotonic()) - (time.monotonic() - began)))
        load.stop()
    assert load.failures == []
    assert set(load.by_port) == {gate.port, closing, coming}
    assert gate.log().count(f"Reloaded {gate.path}: ") == reloads + 1
    print(f"{reloads} reloads, {sum(load.by_port.values())} requests")  # noqa: T201 - what a long run wants to know
    assert gate.reload(close_ports=[closing])[0]
    eventually(lambda: gate.refuses(coming))
