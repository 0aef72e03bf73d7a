"""A reload: everything or nothing, and nobody who is served notices."""

import json
import socket

import pytest

from tests.ports import free_port
from tests.reload.gates import RULES, ReloadedGate, tcp
from tests.web.live import HELLO
from tests.web.sockets import Client, Upstream, eventually

CLOSED = '[[rules]]\ndatabases = ["other"]\nallow = ["read"]\n'
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def chunk(data):
    return b"%x\r\n%b\r\n" % (len(data), data)


WITH_A_PAGE = """
from twisted.web.static import Data
from couchgate.service import GateService

begin = GateService.__init__

def with_a_page(self, *args, **kwargs):
    begin(self, *args, **kwargs)
    self.root.putChild(b"_app", Data(b"mine", "text/plain"))

GateService.__init__ = with_a_page
"""


@pytest.fixture
def other_upstream():
    listening = Upstream()
    yield listening
    listening.close()


def test_a_kept_connection_is_decided_by_the_new_rules(gate, upstream):
    """The next request of a connection that was there before is refused, then allowed, as the rules say."""
    client = gate.client()
    peer, _ = upstream.exchange(HELLO)
    assert client.message().status == 200
    assert gate.reload(rules=CLOSED) == (True, f"Reloaded {gate.path}: rules changed.")
    client.send(gate.head())
    assert client.message().status == 403
    assert gate.reload(rules=RULES)[0]
    client.send(gate.head())
    peer.message()  # on the same connection: the pool was kept
    peer.send(HELLO)
    assert client.message().status == 200


def test_the_same_settings_again_change_nothing(gate, upstream):
    """A reload without a change says so, and does not even make a connection."""
    assert gate.reload() == (True, f"Reloaded {gate.path}: no setting has changed.")
    assert upstream.untouched


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"rules": '[[rules]]\ndatabases = 3\nallow = ["read"]\n'}, "rules[0].databases must be"),
        ({"gate": "colour = 1"}, "gate.colour"),
        ({"keys": "missing.pem"}, "issuers[0].keys names"),
        ({"access": "missing/access.log"}, "log.access must be"),
    ],
)
def test_wrong_settings_change_nothing(gate, upstream, settings, reason):
    """What is wrong is told in one sentence, to who asked and in the log; requests are decided as before."""
    ok, sentence = gate.reload(**settings)
    assert not ok
    assert sentence.startswith(f"Nothing was changed: {gate.path}: ")
    assert reason in sentence
    assert sentence in gate.log()
    client = gate.client()
    upstream.exchange(HELLO)
    assert client.message().status == 200


def test_a_port_in_use_changes_nothing(gate, upstream):
    """One of two new listeners cannot be bound: the other one is given up, the old ones and the rules stay."""
    good = free_port()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = taken.getsockname()[1]
        ok, sentence = gate.reload(ports=[good, number], rules=CLOSED)
    assert not ok
    assert f"cannot listen on '{tcp(number)}'" in sentence
    assert "in use" in sentence
    assert gate.refuses(good)
    client = gate.client()
    upstream.exchange(HELLO)
    assert client.message().status == 200


def test_listeners_come_and_go(gate, upstream):
    """A new listener serves; when it is removed its requests finish, its feeds end well, and nobody new is let in."""
    second = free_port()
    assert gate.reload(ports=[second]) == (True, f"Reloaded {gate.path}: gate.listeners changed.")
    kept, waiting, idle = gate.client(), gate.client(port=second), Client(second)
    first_peer, peer = upstream.accept(), upstream.accept()
    feed = gate.client("GET", "/db/_changes?feed=longpoll&since=5", port=second)
    feed_peer = upstream.accept()
    feed_peer.message()
    feed_peer.send(CHUNKED, chunk(b'{"results":[\n'))
    feed.until(b"results")
    first_peer.message()
    peer.message()
    assert gate.reload(ports=[])[0]
    eventually(lambda: gate.refuses(second))
    idle.send(gate.head("GET", "/_gate/health"))  # it was under way, as it seems to this client
    answer = idle.message()
    assert (answer.status, answer.first(b"connection")) == (200, b"close")
    assert idle.ending() == ("fin", b"")
    for each in (first_peer, peer):
        each.send(HELLO)
    answers = [kept.message(), waiting.message()]
    assert [answer.status for answer in answers] == [200, 200]
    assert [answer.first(b"connection") for answer in answers] == [None, b"close"]
    assert waiting.ending() == ("fin", b"")
    assert b'"last_seq":5,"pending":0}' in feed.ending()[1]
    kept.send(gate.head("GET", "/_gate/health"))
    assert kept.message().status == 200
    assert gate.reload(ports=[second])[0]
    again = gate.client("GET", "/_gate/health", port=second)
    assert again.message().status == 200


def test_who_was_connecting_to_a_removed_listener_is_served(gate):
    """Connections that the system had made, and the gate not taken yet, are not reset."""
    second = free_port()
    assert gate.reload(ports=[second])[0]
    gate.write(ports=[])
    nonce = gate.mailbox.put()
    crowd = [gate.client("GET", "/_gate/health", port=second) for _ in range(20)]
    assert eventually(lambda: gate.mailbox.outcome(nonce))[0]
    assert {client.message().status for client in crowd} == {200}


def test_a_changed_mode_holds_for_the_next_request(gate, upstream):
    """A kept connection's next answer is HTTP/1.0 and its last, in flight ones included; and back again."""
    idle = gate.client()
    peer, _ = upstream.exchange(HELLO)
    assert idle.message().start.startswith(b"HTTP/1.1")
    busy = gate.client()
    peer.message()
    assert gate.reload(mode="close") == (True, f"Reloaded {gate.path}: gate.listeners changed.")
    peer.send(HELLO)
    idle.send(gate.head())
    upstream.exchange(HELLO)
    for client in (busy, idle):
        answer = client.message()
        assert answer.start.startswith(b"HTTP/1.0 200")
        assert answer.first(b"connection") == b"close"
        assert client.ending() == ("fin", b"")
    assert gate.reload(mode="keepalive")[0]
    kept = gate.client("GET", "/_gate/health")
    assert kept.message().start.startswith(b"HTTP/1.1")
    kept.send(gate.head("GET", "/_gate/health"))
    assert kept.message().status == 200


def test_another_couchdb_serves_new_requests_while_old_ones_finish(gate, upstream, other_upstream):
    """What is under way ends where it began; idle connections close at once, feeds end well and come again."""
    idle = gate.client()
    idle_peer, _ = upstream.exchange(HELLO)
    idle.message()
    download = gate.client()
    down = idle_peer
    down.message()
    down.send(b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n", b'{"ok"')
    download.until(b'{"ok"')
    other = gate.client()
    other_peer, _ = upstream.exchange(HELLO)
    other.message()
    feed = gate.client("GET", "/db/_changes?feed=longpoll&since=5")
    feed_peer = other_peer
    feed_peer.message()
    more = gate.client()
    spare, _ = upstream.exchange(HELLO)
    more.message()
    assert gate.reload(upstream=other_upstream.url)[0]
    other_upstream.looked_at()
    assert spare.ending() == ("fin", b"")
    assert json.loads(feed.answer().body) == {"results": [], "last_seq": 5, "pending": 0}
    assert feed_peer.ending()[1] == b""
    more.send(gate.head())
    _, request = other_upstream.exchange(HELLO)
    assert request.first(b"host") == other_upstream.url.removeprefix("http://").encode()
    assert more.message().status == 200
    down.send(b":true}")
    assert download.take(6) == b":true}"
    assert down.ending() == ("fin", b"")


def test_open_feeds_are_decided_again(gate, upstream):
    """Feeds that are no longer allowed end in PouchDB's form; those that still are stay open, with all limits."""
    rules = '[[rules]]\ndatabases = ["db"]\nroles = ["{0}"]\nallow = ["read"]\n'
    both = rules.format("editor") + rules.format("reader")
    assert gate.reload(rules=both)[0]
    feeds = []
    for role in ("editor", "editor", "reader"):
        claims = {"_couchdb.roles": [role]}
        feed = gate.client("GET", "/db/_changes?feed=longpoll&since=5", **claims)
        peer = upstream.accept()
        peer.message()
        peer.send(CHUNKED, chunk(b'{"results":[\n'), chunk(b'{"seq":"6-x","id":"a","changes":[]}'))
        feed.until(b"changes")
        feeds.append((feed, peer))
    assert gate.reload(rules=rules.format("editor"), limits="feeds = 1")[0]
    gone, gone_peer = feeds.pop()
    assert gone.until(b'"last_seq":"6-x","pending":0}')
    assert gone_peer.ending()[1] == b""
    for feed, peer in feeds:
        peer.send(chunk(b',\n{"seq":"7-x","id":"b","changes":[]}'))
        assert b"7-x" in feed.until(b"7-x")
        assert feed.sock.fileno() >= 0
    eventually(lambda: [line["reason"] for line in gate.access()] == ["feed_ended"])


@pytest.mark.parametrize(
    "change",
    [
        {"gate": "hosts = ['gate.example.com']", "more": "[cors]\norigins = ['https://b.example.com']\n"},
        {"rules": RULES, "more": "name_prefix = 'x:'\n"},
    ],
    ids=["origin", "name"],
)
def test_a_feed_that_would_now_be_another_ends(gate, upstream, change):
    """A feed of an origin that is no longer allowed, or that CouchDB gives under another name, ends and comes again."""
    assert gate.reload(more="[cors]\norigins = ['https://a.example.com']\n")[0]
    feed = gate.client("GET", "/db/_changes?feed=longpoll&since=5", "Origin: https://a.example.com")
    peer = upstream.accept()
    peer.message()
    assert gate.reload(**change)[0]
    assert json.loads(feed.answer().body)["last_seq"] == 5


def test_the_access_log_is_opened_again(gate, upstream):
    """After a rename and a reload lines go to a new file, and none is lost."""
    assert gate.client("GET", "/_gate/health").message().status == 200
    old = gate.folder / "access.log.1"
    gate.access_log.rename(old)
    client = gate.client("GET", "/_gate/health")
    assert client.message().status == 200
    assert gate.reload() == (True, f"Reloaded {gate.path}: no setting has changed.")
    client.send(gate.head("GET", "/_gate/health"))
    assert client.message().status == 200
    assert len(eventually(gate.access)) == 1
    assert len(old.read_text().splitlines()) == 2
    assert gate.reload(access="off")[0]
    client.send(gate.head("GET", "/_gate/health"))
    assert client.message().status == 200
    assert gate.reload(access="stdout")[0]
    client.send(gate.head("GET", "/_gate/health"))
    assert client.message().status == 200
    eventually(lambda: '"endpoint":"_gate/health"' in gate.log())
    assert len(gate.access()) == 1


def test_a_changed_state_dir_is_told_and_not_obeyed(gate):
    """The rest is put in force; a warning says that this takes a restart."""
    gate.path.write_text(gate.path.read_text().replace("'state'", "'elsewhere'"))
    assert gate.reload()[0]
    assert "gate.state_dir has changed, which takes a restart" in gate.log()
    assert not (gate.folder / "elsewhere").exists()
    assert gate.reload()[0]


def test_resources_of_a_deployment_stay_over_reloads(tmp_path, upstream):
    """What was put into the tree before the start is there after each reload, on kept and on new connections."""
    gate = ReloadedGate(tmp_path, upstream.url, prologue=WITH_A_PAGE)
    try:
        kept = Client(gate.port)
        for change in (
            {},
            {"rules": CLOSED},
            {"gate": "hosts = ['gate.example.com']"},
            {"auth": "auth = 'none'\nconnections = 3"},
        ):
            assert gate.reload(**change)[0]
            for client in (kept, Client(gate.port)):
                client.send(gate.head("GET", "/_app"))
                answer = client.message()
                assert (answer.status, answer.body) == (200, b"mine")
    finally:
        gate.stop()
