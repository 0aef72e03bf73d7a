"""A feed whose token expires ends the way PouchDB takes up again; all other answers finish."""

import json
import time

from tests.web.live import OK, running_gate
from tests.web.sockets import SOON, eventually

MODES = ("keepalive", "close", "threaded")
LIFE = 2.0  # seconds until a token expires: each feed has begun by then, on a busy machine too
CHUNKED = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
ROW = b'{"seq":"%b","id":"%b","changes":[{"rev":"1-a"}]}'


def chunk(data):
    return b"%x\r\n%b\r\n" % (len(data), data)


class Feed:
    """An open feed with a token that is about to expire."""

    def __init__(self, gate, upstream, query, mode="keepalive", begin=b"", expires=None):
        self.gate = gate
        self.mode = mode
        self.expires = expires or time.time() + LIFE
        self.token = gate.token(exp=self.expires)
        self.client = gate.client("GET", f"/db/_changes?{query}", token=self.token, mode=mode)
        self.peer = upstream.accept()
        self.peer.message()
        if begin:
            self.peer.send(CHUNKED)
            self.client.peek()
            for piece in begin:
                self.peer.send(chunk(piece))

    def in_time(self):
        """That this moment is after the expiry, and that it was the expiry: the gate's design is a second in all
        (`SWEEP_SECONDS` and `END_SECONDS`); the bound is wider, since a busy machine must not decide a test.
        """
        assert 0 <= time.time() - self.expires < 15

    def goes_on(self):
        """That the client's connection serves another request, or in the other modes has ended well."""
        if self.mode != "keepalive":
            assert self.client.ending() == ("fin", b"")
            return
        self.client.send(self.gate.head("GET", "/_gate/health"))
        assert self.client.message().status == 200
        self.client.send(self.gate.head("GET", "/db", token=self.token))
        assert self.client.message().status == 401


def last_seq(answer):
    value = json.loads(answer.body)
    assert value["pending"] == 0
    return [row["id"] for row in value["results"]], value["last_seq"]


ENDS_WELL = [
    ((b'{"results":[\n',), [], 7),
    ((b'{"results":[\n', b"\n", b"\n"), [], 7),
    ((b'{"results":[\n', ROW % (b"8-x", b"a")), ["a"], "8-x"),
    ((b'{"results":[\n', ROW % (b"8-x", b"a"), b",\r\n" + ROW % (b"9-y", b"b"), b"\n"), ["a", "b"], "9-y"),
]


def test_a_longpoll_ends_as_valid_json_where_it_stands(gate, upstream):
    """Soon after expiry the array is closed with the last seq; CouchDB's connection is cut."""
    query = "feed=longpoll&since=7&heartbeat=10000"
    cases = [(mode, *case) for mode in MODES for case in ENDS_WELL]
    feeds = [Feed(gate, upstream, query, mode, begin) for mode, begin, _, _ in cases]
    for feed, (_, _, rows, seq) in zip(feeds, cases, strict=True):
        answer = feed.client.answer()
        feed.in_time()
        assert last_seq(answer) == (rows, seq)
        assert feed.peer.ending(SOON)[1] == b""
        feed.goes_on()


def test_a_longpoll_that_has_not_begun_gets_an_answer_of_the_gate(gate, upstream):
    """CouchDB has not answered yet: the gate gives an empty, whole answer with the request's since."""
    for feed in [Feed(gate, upstream, "feed=longpoll&since=5-abc", mode) for mode in MODES]:
        answer = feed.client.answer()
        feed.in_time()
        assert answer.status == 200
        assert answer.first(b"content-type") == b"application/json"
        assert answer.first(b"vary") == b"Origin"
        assert last_seq(answer) == ([], "5-abc")
        assert feed.peer.ending(SOON)[1] == b""
        feed.goes_on()


def test_a_longpoll_inside_a_row_waits_for_its_end(gate, upstream):
    """At expiry a row is half sent: its other half passes, and then the answer ends well."""
    row = ROW % (b"8-x", b"a")
    for mode in MODES:
        expires = time.time() + LIFE
        feed = Feed(gate, upstream, "feed=longpoll&since=7", mode, (b'{"results":[\n', row[:20]), expires)
        other = Feed(gate, upstream, "feed=longpoll&since=7", mode, expires=expires)
        assert last_seq(other.client.answer()) == ([], 7)  # this listener has seen them expire a moment ago
        feed.peer.send(chunk(row[20:]))
        assert last_seq(feed.client.answer()) == (["a"], "8-x")
        feed.goes_on()


CANNOT_END = [
    ("feed=longpoll&since=7", (b'{"results":[\n', b'{"seq":"8-x","id":"a')),
    ("feed=longpoll&since=7", (b'{"resu',)),
    ("feed=longpoll&since=now", (b'{"results":[\n', b"\n")),
    ("feed=longpoll&since=now", ()),
    ("feed=longpoll&since=7&descending=true", (b'{"results":[\n', ROW % (b"8-x", b"a"))),
    ("feed=continuous&since=7", (b'{"seq":"8-x","id":"a',)),
    ("feed=eventsource&since=7", (b'data: {"seq":"8-x"}\nid: 8',)),
    ("feed=continuous&since=7", ()),
]


def test_a_feed_that_cannot_end_well_is_cut(gate, upstream):
    """Inside a row that does not go on, or where a last_seq would lose changes: a reset, no end that looks good."""
    feeds = [Feed(gate, upstream, query, mode, begin) for mode in MODES for query, begin in CANNOT_END]
    for feed in feeds:
        how, _ = feed.client.ending()
        feed.in_time()
        assert how == "reset"
        assert feed.peer.ending(SOON)[1] == b""


def test_since_now_with_a_row_ends_well(gate, upstream):
    """Once a row has come, a feed since=now has a seq to end with."""
    feed = Feed(gate, upstream, "feed=longpoll&since=now", begin=(b'{"results":[\n', ROW % (b"8-x", b"a")))
    assert last_seq(feed.client.answer()) == (["a"], "8-x")
    feed.in_time()


LINES = [
    ("continuous", (ROW % (b"8-x", b"a") + b"\n",)),
    ("continuous", (b"\n",)),
    ("eventsource", (b'data: {"seq":"8-x"}\nid: 8-x\n\n',)),
    ("eventsource", (b"event: heartbeat\ndata: \n\n",)),
]


def test_feeds_of_lines_end_between_lines(gate, upstream):
    """Continuous and eventsource end at once where no row is open, and the answer is whole."""
    cases = [(mode, *case) for mode in MODES for case in LINES]
    feeds = [Feed(gate, upstream, f"feed={kind}&since=7", mode, begin) for mode, kind, begin in cases]
    for feed, (_, _, begin) in zip(feeds, cases, strict=True):
        answer = feed.client.answer()
        feed.in_time()
        assert answer.body == b"".join(begin)
        assert feed.peer.ending(SOON)[1] == b""
        feed.goes_on()


def test_only_feeds_end_at_expiry(gate, upstream):
    """An ordinary download and a normal _changes go on after the token has expired."""
    downloads = [Feed(gate, upstream, "feed=normal"), Feed(gate, upstream, "since=0&limit=5")]
    for download in downloads:
        download.peer.send(OK[:-2] + b"\r\n")
    watch = Feed(gate, upstream, "feed=longpoll&since=7")
    watch.client.answer()
    for download in downloads:
        assert time.time() > download.expires
        download.peer.send(b'{"ok":true}')
        assert download.client.answer().body == b'{"ok":true}'


def test_a_feed_whose_token_lives_goes_on(gate, upstream):
    """Another person's feed is not touched when a token expires."""
    longer = gate.client("GET", "/db/_changes?feed=longpoll&since=7")
    peer = upstream.accept()
    peer.message()
    peer.send(CHUNKED)
    longer.peek()
    expiring = Feed(gate, upstream, "feed=longpoll&since=7")
    expiring.client.answer()
    for piece in (b'{"results":[\n', b'],\n"last_seq":"9-x","pending":3}\n', b""):
        peer.send(chunk(piece))
    assert longer.answer().body == b'{"results":[\n],\n"last_seq":"9-x","pending":3}\n'


def test_a_feed_by_post_ends_well_too(gate, upstream):
    """POST _changes with a selector follows the same rules."""
    expires = time.time() + LIFE
    body = b'{"selector":{"_id":{"$gt":"a"}}}'
    client = gate.client()
    client.send(
        gate.head(
            "POST", "/db/_changes?feed=longpoll&since=3&filter=_selector", f"Content-Length: {len(body)}",
            "Content-Type: application/json", token=gate.token(exp=expires),
        ),
        body,
    )  # fmt: skip
    peer = upstream.accept()
    assert peer.message().body == body
    assert last_seq(client.answer()) == ([], 3)
    assert time.time() - expires < 1


def test_an_answer_that_is_no_feed_passes_as_it_is(gate, upstream):
    """A 404 to a feed's request, or a feed that is already complete, passes and counts no more as open."""
    client = gate.client("GET", "/db/_changes?feed=longpoll", token=gate.token(exp=time.time() + LIFE))
    answer = b"HTTP/1.1 404 Object Not Found\r\nTransfer-Encoding: chunked\r\n\r\n"
    peer, _ = upstream.exchange(answer)
    client.peek()
    watch = Feed(gate, upstream, "feed=longpoll&since=7")
    watch.client.answer()
    peer.send(chunk(b'{"error":"not_found"}'), chunk(b""))
    assert client.answer().body == b'{"error":"not_found"}'


def test_leeway_lets_a_feed_live_longer(own_upstream):
    """With a leeway the feed ends when the token and the leeway are over, not before."""
    with running_gate(own_upstream, leeway=1) as gate:
        expires = time.time() + 0.3
        client = gate.client("GET", "/db/_changes?feed=longpoll&since=7", token=gate.token(exp=expires))
        own_upstream.accept()
        assert last_seq(client.answer()) == ([], 7)
        assert time.time() - expires >= 1


def test_a_slow_reader_does_not_keep_its_feed_open(gate, upstream):
    """A feed whose client stopped reading is cut after its token expired: CouchDB need not wait for it."""
    feed = Feed(gate, upstream, "feed=continuous&since=7", begin=(b"\n",))
    lines = chunk((ROW % (b"8-x", b"a") + b"\n") * 1000)
    feed.peer.send_until_stuck(lines, 50_000_000, 0.1)
    eventually(feed.peer.gone)
    feed.client.close()
