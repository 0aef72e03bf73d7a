"""Load for a gate that is to be killed, which knows what it asked for and what came back: the truth about its ring.

Each client asks for a thing that no other asks for, so what a ring tells of that kind of target is about that client.
"""

import re
import socket
import threading
from collections import Counter
from contextlib import contextmanager, suppress

from tests.web.live import HELLO
from tests.web.sockets import eventually

# Mode, method, target, and what the recorder calls it.
ASKED = (
    ("keepalive", "GET", "/db/doc", "document"),
    ("keepalive", "POST", "/db/_bulk_get", "_bulk_get"),
    ("close", "GET", "/db/_all_docs", "_all_docs"),
    ("close", "POST", "/db/_revs_diff", "_revs_diff"),
    ("threaded", "GET", "/db/doc/picture", "attachment"),
    ("threaded", "POST", "/db/_find", "_find"),
)
MODES = ("keepalive", "close", "threaded")
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
FEED = "/db/_changes?feed=continuous"


class Couch:
    """A CouchDB with one answer for all but feeds, which only begin. `received` counts requests by method and path."""

    def __init__(self):
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.received = Counter()
        self._connections = self._ended = 0
        self._lock = threading.Lock()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        with suppress(OSError):
            while True:
                peer, _ = self._listener.accept()
                self._connections += 1
                threading.Thread(target=self._answer, args=(peer,), daemon=True).start()

    def _answer(self, peer):
        with suppress(OSError), peer, self._counted():
            data = b""
            while piece := peer.recv(65536):
                data += piece
                while b"\r\n\r\n" in data:
                    head, _, data = data.partition(b"\r\n\r\n")
                    method, path, _ = head.split(b" ", 2)
                    length = int((_LENGTH.search(head) or (b"", b"0"))[1])
                    while len(data) < length:
                        piece = peer.recv(65536)
                        if not piece:
                            return
                        data += piece
                    data = data[length:]
                    with self._lock:
                        self.received[method.decode(), path.decode()] += 1
                    feed = b"_changes" in path
                    peer.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n\n\r\n" if feed else HELLO)

    @contextmanager
    def _counted(self):
        try:
            yield
        finally:
            with self._lock:
                self._ended += 1

    def settled(self):
        """Once the gate is gone: everything that it had sent was counted."""
        eventually(lambda: self._ended == self._connections)

    def close(self):
        self._listener.close()


class Asker(threading.Thread):
    """One client, that asks for one thing again and again until the gate is gone. `asked` and `answered` count."""

    def __init__(self, port, head, *, keepalive):
        super().__init__(daemon=True)
        self.asked = self.answered = 0
        self._port, self._head, self._keepalive = port, head, keepalive
        self.start()

    def run(self):
        with suppress(OSError):
            answered = True
            while answered:
                with socket.create_connection(("127.0.0.1", self._port), timeout=60) as client:
                    while (answered := self._ask(client)) and self._keepalive:
                        pass

    def _ask(self, client):
        self.asked += 1
        client.sendall(self._head)
        data = b""
        while not data.endswith(b'{"ok":true}'):
            piece = client.recv(65536)
            if not piece:
                return False
            data += piece
        self.answered += 1
        return True


class Load:
    """All the clients of ASKED, and one feed in each mode, at `gate` in front of `couch`."""

    def __init__(self, gate, couch):
        self._couch = couch
        self._before = Counter(couch.received)
        self.feeds = [gate.client("GET", FEED, mode=mode) for mode in MODES]
        for feed in self.feeds:
            feed.until(b"\r\n\r\n")
        self.askers = {}
        for mode, method, path, name in ASKED:
            body = ("Content-Type: application/json", "Content-Length: 2") if method == "POST" else ()
            head = gate.head(method, path, *body) + (b"{}" if body else b"")
            self.askers[name] = Asker(gate.ports[mode], head, keepalive=mode == "keepalive")
        eventually(lambda: all(asker.answered for asker in self.askers.values()))

    def received(self, method, path):
        """How many of these have reached CouchDB."""
        return self._couch.received[method, path] - self._before[method, path]

    def over(self):
        """The gate is gone: everything is counted."""
        for asker in self.askers.values():
            asker.join(20)
            assert not asker.is_alive()
        self._couch.settled()
        for feed in self.feeds:
            feed.close()
