"""A token whose key is unknown makes the gate look for new keys once, before it answers."""

import json

import pytest

from couchgate.testing import Minter
from tests.web.live import HELLO, running_gate
from tests.web.sockets import Upstream, eventually


@pytest.fixture
def issuer():
    """The issuer's server, which the test plays itself."""
    listening = Upstream()
    yield listening
    listening.close()


@pytest.fixture
def by_url(own_upstream, issuer):
    """A gate that waits for its first keys; the connection on which it asks for them."""
    with running_gate(own_upstream, keys=f"{issuer.url}/jwks.json") as gate:
        asking = issuer.accept()
        assert asking.message().start == b"GET /jwks.json HTTP/1.1"
        yield gate, asking


def jwks(minter):
    body = minter.jwks()
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


def test_requests_wait_for_the_keys_that_are_being_fetched(by_url, issuer, own_upstream):
    """Several clients with a token of an unknown key share one fetch, and then all are served or refused."""
    gate, asking = by_url
    stranger = Minter("ES256", kid="other")
    good = [gate.client("GET", "/db/doc") for _ in range(3)]
    bad = gate.client("GET", "/db/doc", token=stranger.token())
    own = gate.client("GET", "/_session")
    for client in (*good, bad, own):
        eventually(client.taken)
        assert client.quiet()
    asking.send(jwks(gate.minter))
    for client in good:
        own_upstream.exchange(HELLO)
    assert [client.message().status for client in good] == [200, 200, 200]
    assert own.message().status == 200
    answer = bad.message()
    assert (answer.status, json.loads(answer.body)["error"]) == (401, "unauthorized")
    assert issuer.untouched


def test_a_client_that_leaves_while_keys_are_fetched_is_forgotten(by_url, own_upstream):
    """The one who left reaches CouchDB never, the one who stayed is served."""
    gate, asking = by_url
    left, reset, stays = (gate.client("GET", f"/db/{name}") for name in ("left", "reset", "stays"))
    for client in (left, reset, stays):
        eventually(client.taken)
    left.close()
    reset.reset()
    eventually(left.gone)
    eventually(reset.gone)
    asking.send(jwks(gate.minter))
    _, request = own_upstream.exchange(HELLO)
    assert request.start == b"GET /db/stays HTTP/1.1"
    assert stays.message().status == 200
    assert own_upstream.untouched


def test_an_upload_that_comes_while_keys_are_fetched_arrives(by_url, own_upstream):
    """What of a body came before the decision goes up after it, and then the rest."""
    gate, asking = by_url
    body = bytes(range(256)) * 4000
    client = gate.client("PUT", "/db/doc/a", f"Content-Length: {len(body)}")
    for at in (0, 20000):
        client.send(body[at : at + 20000])
        eventually(client.taken)
    asking.send(jwks(gate.minter))
    peer = own_upstream.accept()
    peer.head()
    assert peer.take(40000) == body[:40000]
    client.send(body[40000:])
    assert peer.take(len(body) - 40000) == body[40000:]
    peer.send(HELLO)
    assert client.message().status == 200


def test_keys_that_cannot_be_had_refuse_in_the_end(by_url):
    """The issuer's server fails: the request that waited is a 401 and the gate is not ready."""
    gate, asking = by_url
    client = gate.client("GET", "/db/doc")
    eventually(client.taken)
    asking.send(b"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n")
    assert client.message().status == 401


@pytest.mark.parametrize("mode", ["keepalive", "close"])
def test_a_key_file_that_changed_is_read_for_its_first_token(own_upstream, mode):
    """After a rotation on disk the first token of the new key is served, one of the old key is refused."""
    with running_gate(own_upstream) as gate:
        new = Minter("ES256", kid="second")
        assert gate.client("GET", "/db/doc", token=new.token(), mode=mode).message().status == 401
        pending = gate.directory / "new.pem"
        pending.write_bytes(new.jwks())
        pending.replace(gate.directory / "key.pem")

        def served():
            client = gate.client("GET", "/_session", token=new.token(), mode=mode)
            return client.message().status == 200

        eventually(served)
        assert gate.client("GET", "/_session", mode=mode).message().status == 401


