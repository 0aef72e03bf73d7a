"""Every face and mode gives the same answers, asks CouchDB the same, and writes the same log lines.

What may differ is framing, `Connection` and the version of HTTP: docs/edr-sensitive-hosts.md has the table.
"""

import re
from contextlib import suppress

import pytest

from tests.contract.corpus import CASES
from tests.web.live import running_gate
from tests.web.sockets import Client, Upstream, eventually, meanwhile

MODES = ("keepalive", "close", "threaded")
FRAMING = {b"connection", b"transfer-encoding", b"date"}
IDS = {b"x-request-id", b"traceparent", b"x-couch-request-id"}
TIMES = {"time", "id", "upstream_s", "seconds"}


@pytest.fixture(scope="module")
def upstream():
    listening = Upstream()
    yield listening
    listening.close()


@pytest.fixture(scope="module")
def gate(upstream):
    with running_gate(upstream) as running:
        running.good = running.token()  # one for all, so that what CouchDB is told can be compared
        yield running


def fields_of(message, *, length):
    """All fields but those of framing, ids by their form only; `length`: with its length."""
    for name, value in message.fields:
        if name in IDS:
            yield name, re.sub(rb"[0-9a-f]", b"0", value)
        elif name not in FRAMING and (length or name != b"content-length"):
            yield name, value


def served(gate, upstream, case, mode):
    """What CouchDB was asked, what the client was answered and how that ended, and the log's line."""
    logged = len(gate.access())
    client = Client(gate.ports[mode])
    asked = []

    def couchdb():
        if case.answer is not None:
            peer = upstream.accept()
            request = peer.message()
            asked.append((request.start, *fields_of(request, length=True), request.framing, request.body))
            peer.send(case.answer)
            if case.cut:
                peer.reset()
            elif b"Connection: close" in case.answer or not case.answer.endswith(b"\r\n\r\n"):
                with suppress(OSError):  # the gate has cut it already
                    peer.half_close()

    with meanwhile(couchdb):
        if case.raw is not None:
            client.send(case.raw)
        else:
            token = None if case.token is None else case.token or gate.good
            client.send(gate.head(case.method, case.target, *case.lines, token=token))
            client.send(case.body)
        answered = answer_of(client, case.method if case.raw is None else "GET")
    client.close()
    eventually(lambda: len(gate.access()) > logged)
    line = gate.access()[logged]
    assert len(gate.access()) == logged + 1
    upstream.settle()
    return asked, answered, {key: value for key, value in line.items() if key not in TIMES}


def answer_of(client, method):
    """Status, reason, fields and body of the answer; or that it was cut, and the part of it that came."""
    try:
        message = client.answer(method)
    except (AssertionError, ConnectionResetError):
        return "cut"
    _, status, reason = message.start.split(b" ", 2)
    return status, reason, sorted(fields_of(message, length=message.framing != "chunked")), message.body


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_all_modes_are_equal(gate, upstream, case):
    """Status, fields, body, what reached CouchDB and the log line are the same in each face and mode."""
    seen = {mode: served(gate, upstream, case, mode) for mode in MODES}
    assert upstream.untouched
    for mode in MODES[1:]:
        assert seen[mode] == seen["keepalive"], mode
    asked, answered, line = seen["keepalive"]
    assert bool(asked) == (case.answer is not None)
    assert line["verdict"] == "forwarded" or not asked or answered[0] >= b"500"
