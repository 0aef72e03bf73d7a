"""Every face and mode gives the same answers, asks CouchDB the same, and writes the same log lines.

What may differ is framing, `Connection` and the version of HTTP: docs/edr-sensitive-hosts.md has the table.
"""

import re
import threading
from contextlib import suppress

import pytest

from tests.contract.conftest import MODES
from tests.contract.corpus import CASES, ORIGIN
from tests.contract.harder import HARDER
from tests.web.sockets import PATIENCE, Client, eventually

FRAMING = {b"connection", b"transfer-encoding", b"date"}
IDS = {b"x-request-id", b"traceparent", b"x-couch-request-id"}
TIMES = {"time", "id", "upstream_s", "seconds"}


def fields_of(message, *, length):
    """All fields but those of framing, ids by their form only; `length`: with its length."""
    for name, value in message.fields:
        if name in IDS:
            yield name, re.sub(rb"[0-9a-f]", b"0", value)
        elif name not in FRAMING and (length or name != b"content-length"):
            yield name, value


class Couch(threading.Thread):
    """CouchDB for one case: does what the case says, and keeps what it was `asked`."""

    def __init__(self, upstream, case):
        super().__init__(daemon=True)
        self.asked = []
        self.over = threading.Event()  # the client has its answer
        self._upstream = upstream
        self._case = case

    def run(self):
        if self._case.answer is not None:
            self._answer(self._upstream.accept())
        while self._case.begun and not self.over.is_set():
            if self._upstream.untouched:
                self.over.wait(0.002)
            else:
                self.asked.append(whole(self._upstream.accept().ending()[1]))

    def _answer(self, peer):
        case = self._case
        request = peer.message()
        self.asked.append((request.start, *fields_of(request, length=True), request.framing, request.body))
        with suppress(OSError):  # the gate may cut it before that is out
            peer.send(case.answer)
            if case.cut:
                peer.reset()
            elif case.ends or b"Connection: close" in case.answer or not case.answer.endswith(b"\r\n\r\n"):
                peer.half_close()


def whole(data):
    """Whether this is all of a request with a body."""
    head, _, body = data.partition(b"\r\n\r\n")
    length = re.search(rb"\r\nContent-Length: (\d+)", head)
    return len(body) >= int(length[1]) if length else body.endswith(b"0\r\n\r\n")


def served(gate, upstream, case, mode):
    """What CouchDB was asked, what the client was answered and how that ended, and the log's line."""
    logged = len(gate.access())
    client = Client(gate.ports[mode])
    couch = Couch(upstream, case)
    couch.start()
    if case.raw is not None:
        client.send(case.raw)
    else:
        token = None if case.token is None else gate.tokens.get(case.token, case.token)
        client.send(gate.head(case.method, case.target, *case.lines, token=token))
        with suppress(ConnectionError):  # a body that is refused need not be taken
            client.send(case.body)
    answered = answer_of(client, case.method if case.raw is None else "GET")
    client.close()
    couch.over.set()
    couch.join(3 * PATIENCE)
    assert not couch.is_alive()
    eventually(lambda: len(gate.access()) > logged)
    line = gate.access()[logged]
    assert len(gate.access()) == logged + 1
    upstream.settle()
    if case.begun:
        assert not any(couch.asked)
        couch.asked.clear()
    return couch.asked, answered, {key: value for key, value in line.items() if key not in TIMES}


def answer_of(client, method):
    """Status, reason, fields and body of the answer; or that it was cut, and the part of it that came."""
    try:
        while client.peek()[0].split(b" ")[1] == b"100":
            client.message(bodiless=True)  # belongs to framing: HTTP/1.0 has none
        message = client.answer(method)
    except (AssertionError, ConnectionResetError):
        return "cut"
    _, status, reason = message.start.split(b" ", 2)
    return status, reason, sorted(fields_of(message, length=message.framing != "chunked")), message.body


@pytest.mark.parametrize("case", [*CASES, *HARDER], ids=lambda case: case.name)
def test_all_modes_are_equal(gate, upstream, case):
    """Status, fields, body, what reached CouchDB and the log line are the same in each face and mode."""
    seen = {mode: served(gate, upstream, case, mode) for mode in MODES}
    assert upstream.untouched
    for mode in MODES[1:]:
        assert seen[mode] == seen["keepalive"], mode
    asked, answered, line = seen["keepalive"]
    assert bool(asked) == (case.answer is not None)
    if ORIGIN in case.lines and answered != "cut":
        assert (b"access-control-allow-origin", ORIGIN.partition(" ")[2].encode()) in answered[2]
    assert line["verdict"] == "forwarded" or not asked or answered[0] >= b"500"
