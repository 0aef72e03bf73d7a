"""Feeds whose token expires end alike in every face and mode: to the byte, in the log, and for CouchDB."""

import time
from typing import NamedTuple

import pytest

from tests.contract.conftest import MODES
from tests.web.sockets import eventually

BEGUN = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
ROW = b'{"seq":"8-x","id":"a","changes":[{"rev":"1-a"}]}'


class Feed(NamedTuple):
    """A feed: its query, the pieces that CouchDB has sent when the token expires, and how it ends.

    `begun`: CouchDB has sent the head of its answer.
    """

    name: str
    query: str
    pieces: tuple
    ends: str
    begun: bool = True


FEEDS = [
    Feed("a longpoll without an answer", "feed=longpoll&since=7", (), "feed_ended", begun=False),
    Feed("a longpoll of heartbeats", "feed=longpoll&since=7", (b'{"results":[\n', b"\n"), "feed_ended"),
    Feed("a longpoll of rows", "feed=longpoll&since=7", (b'{"results":[\n', ROW, b",\n" + ROW), "feed_ended"),
    Feed("a longpoll in a row", "feed=longpoll&since=7", (b'{"results":[\n', ROW[:20]), "feed_cut"),
    Feed("a longpoll since now", "feed=longpoll&since=now", (b'{"results":[\n', b"\n"), "feed_cut"),
    Feed("a continuous feed", "feed=continuous&since=7", (ROW + b"\n", b"\n"), "feed_ended"),
    Feed("a continuous feed in a row", "feed=continuous&since=7", (ROW + b"\n", ROW[:9]), "feed_cut"),
    Feed("an eventsource", "feed=eventsource&since=7", (b"data: " + ROW + b"\nid: 8-x\n\n",), "feed_ended"),
    Feed("an eventsource in an event", "feed=eventsource", (b"data: " + ROW + b"\n",), "feed_cut"),
]


def begin(gate, upstream, feed, mode, token):
    """The client of this feed, which has what CouchDB has sent so far, and CouchDB's connection."""
    client = gate.client("GET", f"/db/_changes?{feed.query}", mode=mode, token=token)
    peer = upstream.accept()
    peer.message()
    if feed.begun:
        peer.send(BEGUN, *(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in feed.pieces))
        client.peek()
    return client, peer


def end(client, mode):
    """Status and body of the whole answer, or how it was cut and what came before that."""
    try:
        answer = client.answer()
    except (AssertionError, ConnectionResetError):
        return "cut"
    if mode == "keepalive" and answer.first(b"connection") != b"close":
        assert client.quiet()
    return answer.status, answer.body


@pytest.fixture
def ended(gate, upstream):
    """By feed and mode: how the client saw the end, CouchDB's side of it, and the log's line. All expire together."""
    first = len(gate.access())
    token = gate.token(exp=int(time.time()) + 5)
    under_way = {(feed.name, mode): begin(gate, upstream, feed, mode, token) for feed in FEEDS for mode in MODES}
    assert len(gate.access()) == first
    seen = {}
    for (name, mode), (client, peer) in under_way.items():
        seen[name, mode] = end(client, mode), peer.ending()[1]
    lines = eventually(lambda: len(gate.access()) == first + len(under_way) and gate.access()[first:])
    return seen, lines


def test_feeds_end_alike_at_expiry(ended):
    """What can end well does so with the same bytes; what cannot is cut; CouchDB is let go of either way."""
    seen, lines = ended
    for feed in FEEDS:
        ways = {mode: seen[feed.name, mode] for mode in MODES}
        assert ways["close"] == ways["keepalive"] == ways["threaded"], feed.name
        assert (ways["keepalive"][0] == "cut") == (feed.ends == "feed_cut"), feed.name
    told = sorted((line["reason"], line["endpoint"], line["status"], line["out"]) for line in lines)
    assert all(told[index : index + 3] == [told[index]] * 3 for index in range(0, len(told), 3))
    assert [line["reason"] for line in lines].count("feed_cut") == 3 * sum(each.ends == "feed_cut" for each in FEEDS)
