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


# A stranger's key may be asked for only once in 10 seconds; no test waits that long.
NO_COOLDOWN = "from couchgate.facts.keyurl import UrlKeys; UrlKeys.__init__.__kwdefaults__['cooldown'] = 0; "


@pytest.fixture
def by_url(own_upstream, issuer):
    """A gate that has keys of its issuer's server, but not those of `gate.minter`."""
    with running_gate(own_upstream, keys=f"{issuer.url}/jwks.json", prologue=NO_COOLDOWN) as gate:
        issuer.exchange(jwks(Minter("ES256", kid="old")))
        unsigned = Minter("ES256", kid="old").token()
        eventually(lambda: gate.client("GET", "/_session", token=unsigned).message().status == 401)
        yield gate


def jwks(minter):
    """A server's answer with the minter's key."""
    body = minter.jwks()
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


def asked(issuer):
    """The connection on which the gate asks for keys."""
    asking = issuer.accept()
    assert asking.message().start == b"GET /jwks.json HTTP/1.1"
    return asking


def test_until_the_first_keys_are_there_requests_wait(own_upstream, issuer):
    """Who comes while a gate that has just started loads its first keys is served as soon as they are there."""
    with running_gate(own_upstream, keys=f"{issuer.url}/jwks.json") as gate:
        asking = asked(issuer)
        clients = [gate.client("GET", "/_session") for _ in range(3)]
        for client in clients:
            eventually(client.taken)
            assert client.quiet()
        asking.send(jwks(gate.minter))
        assert [client.message().status for client in clients] == [200, 200, 200]


def test_without_keys_everything_is_503(own_upstream, issuer):
    """After a first load that failed nobody can be told from anybody, and nobody waits: come again later."""
    with running_gate(own_upstream, keys=f"{issuer.url}/jwks.json") as gate:
        waiting = gate.client("GET", "/db/doc")
        asking = asked(issuer)
        eventually(waiting.taken)
        asking.send(b"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n")
        for client in (waiting, gate.client("GET", "/_session")):
            answer = client.message()
            assert (answer.status, int(answer.first(b"retry-after")) > 0) == (503, True)


def test_requests_with_an_unknown_key_share_one_fetch(by_url, issuer, own_upstream):
    """Several clients wait while the keys are fetched once; then they are served."""
    good = [by_url.client("GET", "/db/doc") for _ in range(3)]
    asking = asked(issuer)
    own = by_url.client("GET", "/_session")
    for client in (*good, own):
        eventually(client.taken)
        assert client.quiet()
    asking.send(jwks(by_url.minter))
    for _ in good:
        own_upstream.exchange(HELLO)
    assert [client.message().status for client in good] == [200, 200, 200]
    assert own.message().status == 200
    assert issuer.untouched


def test_who_comes_during_a_fetch_is_refused_after_the_next(by_url, issuer):
    """A stranger's key may be newer than the answer that is on its way, so it is asked about once more, and refused."""
    good = by_url.client("GET", "/_session")
    asking = asked(issuer)
    bad = by_url.client("GET", "/db/doc", token=Minter("ES256", kid="other").token())
    eventually(bad.taken)
    asking.send(jwks(by_url.minter))
    assert good.message().status == 200
    asking = asked(issuer)
    assert bad.quiet()
    asking.send(jwks(by_url.minter))
    answer = bad.message()
    assert (answer.status, json.loads(answer.body)["error"]) == (401, "unauthorized")
    assert issuer.untouched


@pytest.mark.parametrize("reply", [b"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n", b"garbage\r\n\r\n"])
def test_a_fetch_that_fails_is_a_401(by_url, issuer, own_upstream, reply):
    """The issuer's server fails: whose key is still unknown is refused, and the old keys stay in use."""
    client = by_url.client("GET", "/db/doc")
    asking = asked(issuer)
    asking.send(reply)
    asking.half_close()
    assert client.message().status == 401
    assert own_upstream.untouched


def test_a_client_that_leaves_while_keys_are_fetched_is_forgotten(by_url, issuer, own_upstream):
    """Who left never reaches CouchDB, the one who stayed is served."""
    leaves, stays = by_url.client("GET", "/db/leaves"), by_url.client("GET", "/db/stays")
    asking = asked(issuer)
    eventually(stays.taken)
    leaves.reset()
    eventually(leaves.gone)
    asking.send(jwks(by_url.minter))
    _, request = own_upstream.exchange(HELLO)
    assert request.start == b"GET /db/stays HTTP/1.1"
    assert stays.message().status == 200
    assert own_upstream.untouched


@pytest.mark.parametrize("size", [40_000, 1_000_000])
def test_an_upload_that_comes_while_keys_are_fetched_arrives(by_url, issuer, own_upstream, size):
    """What of a body came before the decision goes up after it, and then the rest."""
    body = bytes(range(250)) * (size // 250)
    client = by_url.client("PUT", "/db/doc/a", f"Content-Length: {size}")
    asking = asked(issuer)
    for at in (0, 18000):
        client.send(body[at : at + 18000])
        eventually(client.taken)
    asking.send(jwks(by_url.minter))
    peer = own_upstream.accept()
    peer.head()
    assert peer.take(36000) == body[:36000]
    client.send(body[36000:])
    assert peer.take(size - 36000) == body[36000:]
    peer.send(HELLO)
    assert client.message().status == 200


@pytest.mark.parametrize("mode", ["keepalive", "close", "threaded"])
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
