"""Nothing that a client sends gets into a ring, wherever it puts it."""

from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from couchgate.recorder.reading import read
from couchgate.recorder.runs import folder_of
from tests.recorder.load import MODES, Couch
from tests.web.live import LiveGate

SECRET = "Zq7xVb2K"
MOST_WORDS = 60
PIECES = st.sampled_from(
    [
        SECRET,
        "db",
        "/",
        "_",
        "_local/",
        "_design/x/",
        "_changes",
        "_session",
        "_gate/",
        "_bulk_get",
        "%2F",
        "?",
        "=",
        " ",
    ]
)
TARGETS = st.lists(PIECES, max_size=6).map(lambda pieces: "/" + "".join(pieces))
METHODS = st.sampled_from(["GET", "PUT", "POST", "OPTIONS", SECRET, SECRET.upper(), f"X-{SECRET}"])
LINES = st.sampled_from(
    [
        f"X-{SECRET}: {SECRET}",
        f"Cookie: AuthSession={SECRET}",
        f"Origin: https://{SECRET}",
        f"Host: {SECRET}",
        f"Expect: {SECRET}",
        f"Content-Type: {SECRET}",
        f"Transfer-Encoding: {SECRET}",
        f"Content-Encoding: {SECRET}",
        f"Content-Length: {len(SECRET)}\r\n\r\n{SECRET}",
        f"Authorization: Bearer {SECRET}",
        f"Authorization: Basic {SECRET}",
        SECRET,
    ]
)


@pytest.fixture(scope="module")
def gate():
    couch = Couch()
    with TemporaryDirectory() as directory:
        gate = LiveGate(directory, couch.url)
        yield gate
        gate.stop()
    couch.close()


@settings(max_examples=40, deadline=None)
@given(
    mode=st.sampled_from(MODES),
    method=METHODS,
    target=TARGETS,
    lines=st.lists(LINES, max_size=3),
    whose=st.sampled_from([None, {}, {"sub": SECRET}, {"sub": "alice", "tenant": SECRET, "jti": SECRET}]),
    version=st.sampled_from(["1.1", "1.0", SECRET]),
)
def test_nothing_that_a_client_sends_gets_into_the_ring(gate, mode, method, target, lines, whose, version):
    """Not as a method, a target, a field, a body, a token or what it says: neither as it is nor cut."""
    token = None if whose is None else gate.token(**whose)
    client = gate.client(mode=mode)
    client.send(gate.head(method, target, "Connection: close", *lines, token=token, version=version))
    client.half_close()
    client.ending()
    client.close()
    (path,) = folder_of(gate.directory / "state").iterdir()
    data = path.read_bytes()
    secrets = [SECRET, SECRET.lower(), SECRET.upper(), *(token.split(".") if token else ())]
    assert [each for each in secrets if each[:8].encode() in data] == []
    assert sum(map(bool, read(data).words)) < MOST_WORDS
