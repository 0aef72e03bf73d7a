"""Keys over a reload: what has not changed is not fetched again, what is new is there before it counts."""

import http.server
import threading

import pytest

from couchgate.testing import Minter
from tests.web.live import HELLO


@pytest.fixture
def key_server():
    """A server of JWK sets by path; `asked` are the paths it was asked for."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            server.asked.append(self.path)
            body = server.sets.get(self.path, b"{}")
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            """Silence."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.asked, server.sets = [], {}
    server.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_keys_are_taken_over_or_loaded_first(gate, upstream, key_server):
    """Another leeway fetches nothing; another URL is loaded before the switch; one without keys changes nothing."""
    new = Minter("ES256")
    key_server.sets = {"/old": gate.minter.jwks(), "/new": new.jwks()}
    old = f"{key_server.url}/old"
    assert gate.reload(keys=old)[0]
    assert key_server.asked == ["/old"]
    client = gate.client()
    peer, _ = upstream.exchange(HELLO)
    assert client.message().status == 200
    assert gate.reload(keys=old, more="authorized_parties = []\nname_prefix = 'a:'\n")[0]
    assert gate.reload(keys=old, limits="feeds = 7")[0]
    assert key_server.asked == ["/old"]
    ok, sentence = gate.reload(keys=f"{key_server.url}/none")
    assert (ok, key_server.asked) == (False, ["/old", "/none"])
    assert "issuers[0].keys gives no keys to use: " in sentence
    client.send(gate.head())
    peer.message()
    peer.send(HELLO)
    assert client.message().status == 200
    assert gate.reload(keys=f"{key_server.url}/new")[0]
    gate.minter = new
    client.send(gate.head())
    peer.message()
    peer.send(HELLO)
    assert client.message().status == 200
