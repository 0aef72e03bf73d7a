"""Ways round the door of the administrators' pages, on a listener that is not theirs."""

import json
import re

import pytest

from tests.web.live import running_gate
from tests.web.sockets import Upstream

SPELLINGS = [
    "/_gate/metrics",
    "//_gate//metrics",
    "/%5Fgate/metrics",
    "/_gate/%6Detrics",
    "/_gate/metrics/",
    "/_gate/metrics/x",
    "/_gate/metrics?role=gate-admin",
    "/_gate%2Fmetrics",
    "/./_gate/metrics",
    "/db/../_gate/metrics",
    "/_gate/refusals",
    "//_gate/refusals?limit=500&principal=",
    "/_gate/refusals?limit=-1",
    "/_gate/refusals?limit=99999999999999999999&id=%00%ff",
    "http://127.0.0.1/_gate/metrics",
    "http://evil.example.com/_gate/metrics",
    "/_GATE/metrics",
    "/_gate/metrics%00",
    "/_gate/metrics;x",
]


@pytest.fixture(scope="module")
def guarded():
    """A gate whose administrators have a role, and its upstream."""
    upstream = Upstream()
    try:
        with running_gate(upstream, role="gate-admin") as gate:
            yield gate, upstream
    finally:
        upstream.close()


@pytest.mark.parametrize("target", SPELLINGS)
def test_nobody_comes_round_the_door_of_the_administrators_pages(guarded, target):
    """However the target is spelt and whatever the method, strangers and ordinary people are refused, and CouchDB is
    not asked.
    """
    gate, upstream = guarded
    roles = {"_couchdb.roles": ["gate-admin "], "roles": ["gate-admin"], "role": "gate-admin"}
    for method in ("GET", "HEAD", "POST", "OPTIONS"):
        for token in (None, gate.token(), gate.token(**roles)):
            client = gate.client(method, target, token=token)
            answer = client.answer(method)
            assert 400 <= answer.status < 500, (method, target, answer)
            assert not re.search(rb"# HELP|couchgate_|refusals\"", answer.body)
    assert upstream.untouched


def test_invented_names_do_not_grow_the_metrics(guarded):
    """Hundreds of methods, paths, hosts and key ids that a client invents add no series."""
    gate, _ = guarded
    admin = gate.token(**{"_couchdb.roles": ["gate-admin"]})

    def series():
        answer = gate.client("GET", "/_gate/metrics", token=admin).message()
        assert answer.status == 200
        return {line.rpartition(b" ")[0] for line in answer.body.splitlines() if not line.startswith(b"#")}

    def invent(first):
        for number in range(first, first + 100):
            lines = [f"X-Name-{number}: x", f"User-Agent: a{number}"]
            token = gate.minter.token(headers={"kid": f"kid-{number}"}, iss=f"https://{number}.example.com/")
            for method, target in (
                (f"M{number}", "/db/x"),
                ("GET", f"/db-{number}/_x{number}"),
                ("GET", f"/_y{number}"),
            ):
                assert gate.client(method, target, *lines, token=token).answer().status in {401, 405}

    invent(0)
    series()  # being asked counts, too
    before = series()
    invent(1000)
    assert series() == before


LONG = "9" * 5000
QUERIES = [
    *("limit=-1", "limit=0", "limit=501", "limit=", "limit=1e2", "limit=+1", "limit=%D9%A3", "limit=1%00", "limit= 1"),
    *(f"limit={LONG}", f"id={LONG}", "id=%00%ff%0d%0a", "id=%F0%9F", "principal=%ED%A0%80", "id=%", "id=%zz", "&&&=&="),
    *("id=a&id=b", "x=1", "__class__=1", "limit=1;id=2", "id[]=1", "state=live&x", "&".join(["id=x"] * 2000)),
    "&".join(f"a{number}=1" for number in range(3000)),
]


@pytest.fixture(scope="module")
def open_to_administrators():
    """A gate with an admin listener."""
    upstream = Upstream()
    try:
        with running_gate(upstream, admin=True) as gate:
            yield gate
    finally:
        upstream.close()


@pytest.mark.parametrize("page", ["metrics", "refusals", "syncs"])
def test_no_query_of_an_administrator_is_too_much(open_to_administrators, page):
    """Huge, odd, negative and badly encoded parameters are answered or a 400 in JSON, never a fault."""
    for query in QUERIES:
        client = open_to_administrators.client("GET", f"/_gate/{page}?{query}", token=None)
        answer = client.message()
        assert answer.status in (200, 400), (query[:80], answer)
        if page != "metrics":
            assert isinstance(json.loads(answer.body), dict)
        client.close()


@pytest.mark.parametrize(
    ("target", "host", "status"),
    [
        ("/_gate/metrics", "evil.example.com", 421),
        ("/_gate/metrics", "127.0.0.1@evil.example.com", 421),
        ("/_gate/metrics", "127.0.0.1.evil.example.com:80", 421),
        ("/_gate/metrics", "localhost.", 421),
        ("/_gate/metrics", "0", 421),
        ("/_gate/metrics", "[::ffff:127.0.0.1]", 421),
        ("http://evil.example.com/_gate/metrics", "127.0.0.1", 400),
        ("http://127.0.0.1/_gate/metrics", "evil.example.com", 421),
        ("*", "127.0.0.1", 400),
        ("127.0.0.1:80", "127.0.0.1", 400),
    ],
)
def test_a_page_in_a_browser_cannot_reach_an_admin_listener_by_another_name(
    open_to_administrators, target, host, status
):
    """The Host is judged there as everywhere, and a target names no other."""
    client = open_to_administrators.client()
    client.send(f"GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    assert client.message().status == status
