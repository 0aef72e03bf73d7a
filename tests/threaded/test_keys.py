"""Tokens that name keys which nobody knows make threads wait: never all of them."""

import json

from couchgate.testing import Minter
from tests.web.live import HELLO, running_gate
from tests.web.sockets import Upstream, eventually

THREADS = 8


def test_invented_key_ids_leave_half_of_the_threads(own_upstream):
    """A crowd waits for keys that do not come: good tokens are served meanwhile, and the rest of the crowd is sent away
    at once; an id that a load was asked about waits no more.
    """
    issuer = Upstream()
    with running_gate(own_upstream, keys=f"{issuer.url}/jwks.json", limits=f"threads = {THREADS}") as gate:
        body = gate.minter.jwks()
        keys = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
        issuer.exchange(keys)
        eventually(lambda: gate.client("GET", "/_session").message().status == 200)
        invented = [Minter("ES256", kid=f"invented-{number}").token() for number in range(THREADS)]
        waiting = []
        for token in invented[: THREADS // 2]:
            waiting.append(gate.client("GET", "/db/doc", token=token, mode="threaded"))
            eventually(waiting[-1].taken)
        asking = issuer.accept()
        asking.message()
        for token in invented[THREADS // 2 :]:
            answer = gate.client("GET", "/db/doc", token=token, mode="threaded").message()
            assert (answer.status, answer.first(b"retry-after")) == (503, b"1")
            assert json.loads(answer.body)["error"] == "service_unavailable"
        good = gate.client("GET", "/db/doc", mode="threaded")
        own_upstream.exchange(HELLO)
        assert good.message().status == 200
        assert all(client.quiet() for client in waiting)
        asking.send(keys)
        # Threads race for the reactor: which of them the load was asked about is not told by who came first.
        [asked, *_] = eventually(lambda: [number for number, client in enumerate(waiting) if not client.quiet()])
        assert waiting[asked].message().status == 401
        again = gate.client("GET", "/db/doc", token=invented[asked], mode="threaded")
        assert again.message().status == 401
        eventually(lambda: [line["reason"] for line in gate.access()].count("threads") == THREADS // 2)
    issuer.close()


def test_a_gate_that_stops_waits_for_no_key(own_upstream):
    """Threads that wait for keys are let go when the time to drain is over, and the gate ends."""
    issuer = Upstream()
    with running_gate(own_upstream, keys=f"{issuer.url}/jwks.json", drain_seconds=0) as gate:
        client = gate.client("GET", "/db/doc", mode="threaded")
        issuer.accept().message()
        eventually(client.taken)
        gate.signal()
        assert client.ending(4)[1] == b""
        gate.process.wait(4)
    issuer.close()
