"""The pages under /_gate, asked for over the wire."""

import json
import threading

import pytest
from twisted.internet.defer import ensureDeferred
from twisted.internet.task import Clock

from couchgate.endpoints import Question
from couchgate.endpoints.status import Readiness
from couchgate.testing import Minter
from couchgate.upstream.probe import probe
from tests.web.live import HELLO, ORIGIN, running_gate
from tests.web.sockets import SOON, Upstream, eventually

MODES = pytest.mark.parametrize("mode", ["keepalive", "close", "threaded"])


def value(answer):
    assert answer.first(b"content-type") == b"application/json"
    return json.loads(answer.body)


def ask(gate, method, target, mode="keepalive", **options):
    return gate.client(method, target, f"Origin: {ORIGIN.decode()}", mode=mode, **{"token": None, **options}).answer(
        method
    )


@MODES
def test_health_needs_neither_token_nor_couchdb(gate, upstream, mode):
    """The process answers for itself, to GET and HEAD, with CORS."""
    answer = ask(gate, "GET", "/_gate/health", mode)
    assert (answer.status, value(answer)) == (200, {"status": "ok"})
    assert answer.first(b"access-control-allow-origin") == ORIGIN
    assert answer.first(b"cache-control") == b"no-store"
    head = ask(gate, "HEAD", "/_gate/health", mode)
    assert (head.status, head.body) == (200, b"")
    assert head.first(b"content-length") == answer.first(b"content-length")
    assert upstream.untouched


@MODES
@pytest.mark.parametrize("page", ["health", "ready"])
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_the_pages_can_only_be_read(gate, upstream, mode, page, method):
    """Another method is 405 and says which are allowed."""
    answer = ask(gate, method, f"/_gate/{page}", mode)
    assert (answer.status, value(answer)["error"]) == (405, "method_not_allowed")
    assert answer.first(b"allow") == b"GET, HEAD"
    assert upstream.untouched


@MODES
@pytest.mark.parametrize("target", ["/_gate", "/_gate/", "/_gate/nonsense", "/_gate/../db", "/_gate/%2e", "//_gate//x"])
def test_there_are_no_other_pages(gate, upstream, mode, target):
    """Whatever else stands under /_gate is a 404 of the gate's, with a token or without."""
    for token in (None, ""):
        answer = ask(gate, "GET", target, mode, token=token)
        assert (answer.status, value(answer)["error"]) == (404, "not_found")
    assert upstream.untouched


@pytest.mark.parametrize("target", ["//_gate/health", "/%5Fgate/health", "/_gate//health", "/_gate/health?x=1"])
def test_the_pages_are_found_as_couchdb_would_read_their_path(gate, upstream, target):
    """Empty segments, escapes and a query lead to the same page, never to CouchDB."""
    assert ask(gate, "GET", target).status == 200
    assert upstream.untouched


def test_many_askers_cause_one_question(gate, upstream):
    """While CouchDB thinks, all who ask for readiness wait for one answer, and the next one's is still that."""
    clients = [gate.client("GET", "/_gate/ready", token=None) for _ in range(20)]
    peer = upstream.accept()
    request = peer.message()
    assert request.start == b"GET / HTTP/1.1"
    assert b"authorization" not in dict(request.fields)
    for client in clients:
        eventually(client.taken)
        assert client.quiet()
    peer.send(HELLO)
    for client in clients:
        answer = client.message()
        assert (answer.status, value(answer)) == (200, {"status": "ready"})
    assert ask(gate, "HEAD", "/_gate/ready").status == 200
    assert upstream.untouched


def test_an_asker_that_leaves_does_not_spoil_the_answer_of_others(own_upstream):
    """The first who asked goes away: the question goes on for the second."""
    with running_gate(own_upstream) as gate:
        first = gate.client("GET", "/_gate/ready", token=None)
        peer = own_upstream.accept()
        peer.message()
        second = gate.client("GET", "/_gate/ready", token=None)
        eventually(second.taken)
        first.reset()
        eventually(first.gone)
        peer.send(HELLO)
        assert second.message().status == 200


@pytest.mark.parametrize(
    "answer", [b"HTTP/1.1 500 Internal\r\nContent-Length: 0\r\n\r\n", b"garbage\r\n\r\n", b"HTTP/1.1 200 OK\r\nCont"]
)
def test_a_couchdb_that_answers_badly_is_not_ready(own_upstream, answer):
    """A 5xx, garbage or half an answer to `GET /` is a 503 with a sentence."""
    with running_gate(own_upstream) as gate:
        client = gate.client("GET", "/_gate/ready", token=None)
        peer, _ = own_upstream.exchange(answer)
        peer.half_close()
        said = client.message()
        assert said.status == 503
        assert [sentence.startswith("CouchDB") for sentence in value(said)["missing"]] == [True]


def test_a_couchdb_that_hangs_is_not_ready_in_two_seconds(own_upstream):
    """No answer in 1.5 seconds is a 503 with a sentence, and the question's connection is cut."""
    with running_gate(own_upstream) as gate:
        client = gate.client("GET", "/_gate/ready", token=None)
        peer = own_upstream.accept()
        peer.message()
        said = client.message()
        assert (said.status, value(said)["missing"]) == (503, ["CouchDB did not answer within 1.5 seconds."])
        assert peer.ending(SOON)[1] == b""


def test_a_gate_without_keys_or_couchdb_says_both_and_recovers():
    """Readiness names the source without keys and CouchDB; when both are there, it turns to 200 within two seconds."""
    upstream, issuer = Upstream(), Upstream()
    with running_gate(upstream, keys=f"{issuer.url}/jwks.json") as gate:
        asking = issuer.accept()
        upstream.close()
        said = ask(gate, "GET", "/_gate/ready")
        assert said.status == 503
        assert value(said)["status"] == "not ready"
        missing = value(said)["missing"]
        assert missing == [f"No usable keys: {issuer.url}/jwks.json.", "CouchDB cannot be reached."]
        assert ask(gate, "GET", "/_gate/health").status == 200
        body = Minter("ES256").jwks()
        asking.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
        eventually(lambda: value(ask(gate, "GET", "/_gate/ready"))["missing"] == ["CouchDB cannot be reached."])
    issuer.close()


class Hanging:
    """A pool that connects at once to a CouchDB that says nothing."""

    def acquire(self, exchange, *, fresh):
        exchange.upstream_connected(self)

    def begin(self, exchange, method, data, *, complete, keep):
        """Take the question."""

    def abandon(self):
        """Forget it."""


def test_readiness_is_right_within_two_seconds_whatever_couchdb_does():
    """Whenever one asks, the answer tells of a moment at most two seconds before it is given."""
    clock = Clock()
    known = []  # when CouchDB was found well

    async def ask():
        if not known:
            known.append(clock.seconds())
            return None
        return await probe(Hanging(), "db", clock)

    readiness = Readiness(tuple, ask, clock.seconds)

    def asked():
        given = []
        ensureDeferred(readiness(Question(b"GET", None))).addCallback(lambda answer: given.append(answer.status))
        return given

    assert asked() == [200]
    last_well, said_no = 0.0, None
    for _ in range(40):
        waiting = asked()
        while not waiting:
            clock.advance(0.125)
        if waiting == [200]:
            last_well = clock.seconds()
        elif said_no is None:
            said_no = clock.seconds()
        clock.advance(0.125)
    assert last_well <= 2.0
    assert said_no <= 2.0


def test_a_couchdb_that_dies_and_comes_back_is_seen(own_upstream):
    """Ready; then it is gone and readiness names it; then it is there again and so is readiness."""
    with running_gate(own_upstream) as gate:

        def ready():
            return ask(gate, "GET", "/_gate/ready")

        client = gate.client("GET", "/_gate/ready", token=None)
        own_upstream.exchange(HELLO)
        assert client.message().status == 200
        port = own_upstream.port
        own_upstream.close()
        eventually(lambda: ready().status == 503)
        assert value(ready())["missing"] == ["CouchDB cannot be reached."]
        again = Upstream(port=port)
        answering = threading.Thread(target=serve, args=(again,))
        answering.start()
        eventually(lambda: ready().status == 200)
        answering.join()
        again.close()


def serve(upstream):
    """Answer one question as CouchDB would."""
    upstream.exchange(HELLO)
