"""What TLS agrees on before the first request (ALPN, RFC 7301)."""

import socket
import ssl

import pytest

from tests.upstream.certificates import Authority
from tests.web.live import running_gate
from tests.web.sockets import PATIENCE, Client, Upstream


class Visitor(Client):
    """A client whose socket is there already."""

    def __init__(self, sock):
        sock.settimeout(PATIENCE)
        self.sock = sock
        self.buffer = b""


@pytest.mark.parametrize("offered", [("h2", "http/1.1"), ("http/1.1",), ()], ids=["browser", "plain", "silent"])
def test_a_client_is_served_whatever_else_it_offers(offered, tmp_path):
    """Browsers and curl offer h2 and http/1.1 in the handshake: they get the latter, as do those that offer nothing."""
    authority = Authority(tmp_path)
    pem = authority.file("gate.pem", "localhost")
    trusting = ssl.create_default_context(cafile=authority.path)
    if offered:
        trusting.set_alpn_protocols(list(offered))
    endpoint = f"ssl:0:interface=127.0.0.1:privateKey={pem}:certKey={pem}"
    upstream = Upstream()
    endpoints = (endpoint, f"{endpoint}:backlog=201", f"{endpoint}:backlog=202")
    with running_gate(upstream, endpoints=endpoints) as gate:
        for mode in ("keepalive", "threaded"):
            sock = socket.create_connection(("127.0.0.1", gate.ports[mode]), PATIENCE)
            client = Visitor(trusting.wrap_socket(sock, server_hostname="localhost"))
            client.send(b"GET /_gate/health HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert client.answer().status == 200
            assert client.sock.selected_alpn_protocol() == ("http/1.1" if offered else None)
    upstream.close()
