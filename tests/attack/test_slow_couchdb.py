"""A CouchDB that takes a request slowly is not one that cannot be reached."""

import time

from tests.web.live import HELLO, running_gate

# Elsewhere than on loopback a connection's send buffer is this small at first.
NARROW = """
import socket
class Narrow(socket.socket):
    def connect_ex(self, address):
        self.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 32768)
        return super().connect_ex(address)
socket.socket = Narrow
"""


def test_a_judged_body_on_a_slow_way_to_couchdb_is_no_failed_connect(own_upstream):
    """The connection stands and has taken a part of the held body; the rest takes longer than `connect_seconds`."""
    body = b'{"docs":[' + b" " * 1_048_000 + b"]}"
    own_upstream._listener.setsockopt(1, 8, 4096)  # SO_RCVBUF: a narrow way
    with running_gate(own_upstream, more_upstream="connect_seconds = 0.5", prologue=NARROW) as gate:
        client = gate.client("POST", "/db/_bulk_docs", "Content-Type: application/json", f"Content-Length: {len(body)}")
        client.send(body)
        peer = own_upstream.accept()
        peer.head()  # CouchDB has accepted, and reads
        until = time.monotonic() + 3
        taken = len(peer.buffer)
        peer.buffer = b""
        while taken < len(body):
            data = peer.sock.recv(2048 if time.monotonic() < until else 1 << 18)
            assert data, "cut"
            taken += len(data)
            time.sleep(0.02 if time.monotonic() < until else 0)
        peer.send(HELLO)
        assert client.message().status == 200
