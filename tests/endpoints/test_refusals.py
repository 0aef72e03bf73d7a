"""`/_gate/refusals` and `/_gate/syncs`: why a person was refused, and how their syncs are."""

import json

import pytest

from tests.web.live import HELLO, running_gate
from tests.web.sockets import Upstream, eventually

MARK = "hush-hush"


@pytest.fixture
def upstream():
    listening = Upstream()
    yield listening
    listening.close()


@pytest.fixture
def gate(upstream):
    with running_gate(upstream, admin=True) as running:
        yield running


def ask(gate, page):
    answer = gate.client("GET", f"/_gate/{page}", token=None).message()
    return answer.status, json.loads(answer.body)


def refusals(gate, query=""):
    status, value = ask(gate, f"refusals{query}")
    assert status == 200
    return value["refusals"]


def syncs(gate, query=""):
    status, value = ask(gate, f"syncs{query}")
    assert status == 200
    return value["syncs"]


def test_a_403_is_told_with_person_database_and_reason(gate):
    """Everything that an administrator needs, under the id that the client was answered."""
    answer = gate.client("GET", f"/other/{MARK}?{MARK}", token=gate.token(sub="bob", mark=MARK), mode="close").message()
    (told,) = refusals(gate)
    assert told.pop("time").endswith("Z")
    assert told == {
        "id": answer.first(b"x-request-id").decode(),
        "principal": "bob",
        "address": "127.0.0.1",
        "method": "GET",
        "endpoint": "document",
        "kind": "read",
        "database": "other",
        "status": 403,
        "code": "policy",
        "reason": json.loads(answer.body)["reason"],
    }
    assert eventually(gate.access)[0]["principal"] == "bob"


def test_nothing_secret_and_no_document_is_told(gate):
    """No token, query, header or document id, whatever was refused."""
    for head in (
        ("GET", f"/db/{MARK}?{MARK}", f"X-Mark: {MARK}"),
        ("GET", f"/other/{MARK}/{MARK}", f"X-Mark: {MARK}"),
        ("COPY", "/db/doc", f"Destination: /{MARK}"),
        ("GET", f"/%zz{MARK}"),
    ):
        for token in (MARK, gate.token(sub="bob", mark=MARK, exp=1)):
            gate.client(*head, token=token, mode="close").message()
    gate.client("GET", f"/other/{MARK}?{MARK}", mode="close").message()
    answer = gate.client("GET", "/_gate/refusals", token=None).message()
    assert len(json.loads(answer.body)["refusals"]) == 9
    assert MARK not in answer.body.decode()


def test_the_newest_comes_first_and_parameters_choose(gate):
    """By id, by principal, and at most so many."""
    ids = [
        gate.client("GET", "/other/x", token=gate.token(sub=name)).message().first(b"x-request-id").decode()
        for name in ("alice", "bob", "alice")
    ]
    assert [told["id"] for told in refusals(gate)] == ids[::-1]
    assert [told["id"] for told in refusals(gate, "?principal=alice")] == [ids[2], ids[0]]
    assert [told["id"] for told in refusals(gate, "?principal=alice&limit=1")] == [ids[2]]
    assert [told["principal"] for told in refusals(gate, f"?id={ids[1]}")] == ["bob"]
    assert refusals(gate, "?principal=%ff") == []


@pytest.mark.parametrize("query", ["limit=0", "limit=501", "limit=x", "limit=", "limit=%B2", "name=alice", "%ff=1"])
@pytest.mark.parametrize("page", ["refusals", "syncs"])
def test_a_parameter_that_makes_no_sense_is_a_400(gate, page, query):
    """One sentence, and not another answer than was asked for."""
    status, value = ask(gate, f"{page}?{query}")
    assert (status, value["error"]) == (400, "bad_request")


def test_a_readiness_that_says_no_is_no_refusal(gate, upstream):
    """The gate's own 503 refuses nobody."""
    client = gate.client("GET", "/_gate/ready", token=None)
    upstream.exchange(b"HTTP/1.1 500 X\r\nContent-Length: 0\r\n\r\n")
    assert client.message().status == 503
    assert refusals(gate) == []


def test_a_sync_is_live_denied_and_backing_off_as_pouchdb_would_be(gate, upstream):
    """What a person's sync goes through can be read from the page."""

    def request(method, target, answer, **token):
        lines = ["Content-Length: 0"] if method == "POST" else []
        client = gate.client(method, target, *lines, token=gate.token(**token), mode="close")
        if answer:
            upstream.exchange(answer)
        client.message()

    down = HELLO.replace(b"200 OK", b"503 No")
    request("GET", "/db/_changes", HELLO, sub="ann")
    request("POST", "/db/_revs_diff", down, sub="bob")
    request("POST", "/db/_bulk_get", down.replace(b"503", b"400"), sub="cem")
    request("GET", "/other", None, sub="dan")
    client = gate.client("GET", "/db/_changes?feed=continuous", token=gate.token(sub="eve"), mode="close")
    upstream.accept().message()
    gate.client("GET", "/db/_changes", token=None, mode="close").message()
    told = {(sync["principal"], sync["database"]): sync for sync in syncs(gate)}
    assert {key: (sync["state"], sync["without_bulk_get"]) for key, sync in told.items()} == {
        ("ann", "db"): ("live", False),
        ("bob", "db"): ("backing_off", False),
        ("cem", "db"): ("quiet", True),
        ("dan", "other"): ("denied", False),
        ("eve", "db"): ("live", False),
        ("", "db"): ("denied", False),
    }
    assert told["", "db"]["address"] == "127.0.0.1"
    assert {sync["principal"] for sync in syncs(gate, "?state=live")} == {"ann", "eve"}
    assert [sync["principal"] for sync in syncs(gate, "?principal=dan")] == ["dan"]
    assert len(syncs(gate, "?limit=2")) == 2
    client.close()
