"""Whatever clients and CouchDB say, a strict reader on the other side of the gate reads what one on this side reads.

Pipelines go through the real channel, gate, relay and pool, cut anywhere, while CouchDB answers anything at all.
"""

import json

from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.endurance.face import AUTHORITY, NAME, TOKEN, Face
from tests.endurance.said import answers, pieces, requests

_OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
GATES_OWN = {b"content-length", b"transfer-encoding", b"connection", b"vary", b"x-content-type-options", b"date"}
GATES_OWN |= {b"content-security-policy", b"x-request-id"}
IDENTITY = {b"x-auth-couchdb-username", b"x-auth-couchdb-roles", b"x-auth-couchdb-token"}
ONCE = {b"host", b"x-forwarded-host", b"x-forwarded-proto", b"x-forwarded-for", *IDENTITY}
GATES_ADDED = {*ONCE, b"content-length", b"transfer-encoding", b"connection", b"traceparent", b"x-couch-request-id"}


def read_requests(wire, data):
    """All requests that the judge reads in what a client sent, where empty lines may stand before one."""
    found = []
    while data:
        while data.startswith(b"\r\n"):
            data = data[2:]
        more, error, rest = wire.strict_requests(data)
        found += more
        if error is None or not rest.startswith(b"\r\n"):
            break
        data = rest
    return found


class Play:
    """One scenario: what the client sends, piece by piece, and CouchDB's answers as requests reach it."""

    def __init__(self, wire, mode, data, replies, sizes):
        self.wire = wire
        self.face = Face(mode)
        self.data = data
        self._replies = iter(replies)
        self._up_size, self._down_size = sizes
        self.exchanges = []  # of each whole request at CouchDB: what the judge reads, and what CouchDB answered
        self._answered = {}

    def run(self):
        """Play it to the end."""
        client = self.face.client
        left = self.data
        while left and not client.gone:
            piece, left = left[: self._up_size], left[self._up_size :]
            if not client.comes(piece):
                break
            while self._couch():
                pass
        while self._couch():
            pass
        for upstream in self.face.upstream:
            upstream.closes()
        client.closes()
        self.face.site.sweep()
        self.face.clock.advance(1000)
        self.face.site.sweep()
        self.face.site.sweep()

    def _couch(self):
        """Answer the next whole request that came to CouchDB; whether there was one."""
        for upstream in self.face.upstream:
            reached, error, _ = self.wire.strict_requests(upstream.sent)
            assert error is None, (error, bytes(upstream.sent))
            done = self._answered.get(id(upstream), 0)
            if done < len(reached):
                self._answered[id(upstream)] = done + 1
                reply, ending = next(self._replies, (_OK, None))
                taken = b""
                for at in range(0, len(reply), self._down_size):
                    if not upstream.comes(reply[at : at + self._down_size]):
                        break
                    taken = reply[: at + self._down_size]
                if not upstream.gone and ending == "rst":
                    upstream.breaks()
                elif not upstream.gone and ending == "fin":
                    upstream.closes()
                self.exchanges.append((reached[done], taken, ending or "fin"))
                return True
        return False


def check_upward(play, sent):
    """What reached CouchDB are requests of the client's, in their order, each said by the gate."""
    at = 0
    for reached, _, _ in play.exchanges:
        names = [name.replace(b"_", b"-") for name, _ in reached["headers"]]
        assert all(names.count(name) == 1 for name in ONCE), names
        assert (b"x-auth-couchdb-username", NAME.encode()) in reached["headers"]
        assert (b"host", AUTHORITY.encode()) in reached["headers"]
        repeated = at > 0 and _is(reached, sent[at - 1])  # a GET on a kept connection that was just closed
        while at < len(sent) and not _is(reached, sent[at]):
            at += 1
        assert at < len(sent) or repeated, (reached, sent)
        at += at < len(sent)


def _is(reached, source):
    """Whether this request at CouchDB is that one of the client's, which bore a token and lost nothing but fields."""
    if any(reached[part] != source[part] for part in ("method", "target", "body")):
        return False
    if [value for name, value in source["headers"] if name == b"authorization"] != [b"Bearer " + TOKEN]:
        return False
    passed = [pair for pair in reached["headers"] if pair[0] not in GATES_ADDED]
    return [pair for pair in source["headers"] if pair in passed] == passed


def check_downward(play, sent):
    """What reached the client are answers, each that of its request: the gate's own, or the very one of CouchDB."""
    client = play.face.client
    methods = [request["method"].decode() for request in sent]
    answered, error, rest = play.wire.strict_responses(client.sent, methods, client.ending)
    finals = [answer for answer in answered if answer["status"] >= 200]
    assert error is None, (error, bytes(client.sent))
    assert rest == b"" or client.ending == "rst"
    assert len(finals) <= len(sent) + 1
    said = []
    for reached, taken, ending in play.exchanges:
        responses, _, _ = play.wire.strict_responses(taken, [reached["method"].decode()], ending)
        said.append(next((one for one in responses if one["status"] >= 200), None))
    at = 0
    for answer in finals:
        if not answer["complete"] or _own(answer):
            continue
        while at < len(said) and not _same(said[at], answer):
            at += 1
        assert at < len(said), (answer, said)
        at += 1


def _own(answer):
    """Whether it is an answer of the gate's own."""
    if answer["status"] == 204 and any(name == b"access-control-allow-methods" for name, _ in answer["headers"]):
        return True  # a preflight
    names = [name for name, _ in answer["headers"]]
    if answer["status"] < 400 or b"cache-control" not in names:
        return False
    return not answer["body"] or set(json.loads(answer["body"])) == {"error", "reason"}


def _same(said, answer):
    if said is None or not said["complete"] or (said["status"], said["body"]) != (answer["status"], answer["body"]):
        return False
    passed = [pair for pair in answer["headers"] if pair[0] not in GATES_OWN and not pair[0].startswith(b"access-")]
    return all(pair in said["headers"] for pair in passed)


@settings(max_examples=300)
@given(
    st.sampled_from(["keepalive", "keepalive", "keepalive", "close"]),
    requests,
    st.lists(answers, max_size=4),
    st.tuples(pieces, pieces),
)
@example("keepalive", b"\r\nGET / HTTP/1.1\r\nHost: localhost\r\n\r\n", [], (1, 1))
def test_both_sides_read_the_same(wire, mode, data, replies, sizes):
    """CouchDB gets whole requests of the client's, the client whole answers that are its own; or there is a cut."""
    play = Play(wire, mode, data, replies, sizes)
    play.run()
    sent = read_requests(wire, data)
    check_upward(play, sent)
    check_downward(play, sent)
    face = play.face
    assert face.client.gone
    assert (face.site.connections, len(face.site.feeds), face.pool.idle) == (0, 0, 0)
