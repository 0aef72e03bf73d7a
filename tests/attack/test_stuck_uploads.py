"""Bodies that come before anybody can take them."""

import json

from couchgate.testing import Minter
from tests.web.live import HELLO, running_gate
from tests.web.sockets import Upstream, eventually
from tests.web.test_keys import NO_COOLDOWN, jwks

BODY = b'{"docs":[{"a":"' + b"x" * 300_000 + b'"}]}'
EARLY = 100_000  # more than a head may be long, less than what is held


def test_a_judged_body_that_came_while_keys_were_fetched_arrives(own_upstream):
    """A key is fetched for a `_bulk_docs`, and more than a head's size of its body comes meanwhile: the connection is
    read on afterwards, and the whole body goes up.
    """
    issuer = Upstream()
    try:
        with running_gate(own_upstream, keys=f"{issuer.url}/jwks.json", prologue=NO_COOLDOWN) as gate:
            issuer.exchange(jwks(gate.minter))
            eventually(lambda: gate.client("GET", "/_session").message().status == 200)
            other = Minter("ES256", kid="new")
            fields = ("Content-Type: application/json", f"Content-Length: {len(BODY)}")
            client = gate.client("POST", "/db/_bulk_docs", *fields, token=other.token())
            asking = issuer.accept()
            asking.message()
            client.send(BODY[:EARLY])
            eventually(lambda: not client.unacknowledged())
            assert gate.client("GET", "/_gate/health").message().status == 200  # by now it has read what it will
            keys = {"keys": json.loads(gate.minter.jwks())["keys"] + json.loads(other.jwks())["keys"]}
            body = json.dumps(keys).encode()
            asking.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body))
            asking.send(body)
            client.send(BODY[EARLY:])
            eventually(lambda: not own_upstream.untouched)
            _, request = own_upstream.exchange(HELLO)
            assert request.body == BODY
            assert client.message().status == 200
    finally:
        issuer.close()
