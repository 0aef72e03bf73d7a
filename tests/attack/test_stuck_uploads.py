"""Bodies that come before anybody can take them."""

import json

from tests.web.live import HELLO, running_gate
from tests.web.sockets import Upstream, eventually
from tests.web.test_keys import NO_COOLDOWN

BODY = b"x" * 300_000


def test_an_upload_to_an_upstream_that_is_found_by_name_arrives(own_upstream):
    """While a connection to `localhost` is being made, more than a head's size of the body comes: all of it goes up."""

    class Named:
        url = own_upstream.url.replace("127.0.0.1", "localhost")
        exchange = own_upstream.exchange
        settle = own_upstream.settle

    with running_gate(Named) as gate:
        client = gate.client("PUT", "/db/doc/a", f"Content-Length: {len(BODY)}")
        client.send(BODY[:100000]); import time; time.sleep(1); client.send(BODY[100000:])
        peer = own_upstream.accept()
        peer.sock.settimeout(3)
        assert len(peer.message().body) == len(BODY)
        peer.send(HELLO)
        assert client.message().status == 200


def test_an_upload_that_came_while_keys_were_fetched_arrives(own_upstream):
    """A key is fetched for the first request under it, and more than a head's size of its body comes meanwhile: with a
    kept connection to CouchDB, too, all of it goes up.
    """
    issuer = Upstream()
    try:
        with running_gate(own_upstream, keys=f"{issuer.url}/jwks.json", prologue=NO_COOLDOWN) as gate:
            asking = issuer.accept()
            asking.message()
            body = gate.minter.jwks()
            asking.send(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
            )
            eventually(lambda: gate.client("GET", "/_session").message().status == 200)
            warm = gate.client("GET", "/db/doc")
            peer, _ = own_upstream.exchange(HELLO)
            assert warm.message().status == 200
            from couchgate.testing import Minter

            other = Minter("ES256", kid="new")
            client = gate.client("PUT", "/db/doc/a", f"Content-Length: {len(BODY)}", token=other.token())
            asking = issuer.accept()
            asking.message()
            client.send(BODY[:100_000])
            eventually(lambda: client.unacknowledged() == 0)
            import time; time.sleep(.5)
            both = {"keys": json.loads(gate.minter.jwks())["keys"] + json.loads(other.jwks())["keys"]}
            body = json.dumps(both).encode()
            asking.send(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
            )
            client.send(BODY[100_000:])
            peer.sock.settimeout(4)
            assert len(peer.message().body) == len(BODY)
    finally:
        issuer.close()
