"""`upstream.first_byte_seconds`: who waits for an answer to begin, and who may wait for ever."""

import json
import time

import pytest

from tests.web.live import HELLO, running_gate
from tests.web.sockets import SOON, Upstream, eventually

SECONDS = 0.3
PAST = 1.4  # longer than the setting and two sweeps
MODES = pytest.mark.parametrize("mode", ["keepalive", "close", "threaded"])


@pytest.fixture(scope="module")
def patient_upstream():
    """The impatient gate's upstream."""
    listening = Upstream()
    yield listening
    listening.close()


@pytest.fixture(scope="module")
def running(patient_upstream):
    """A gate that waits 0.3 seconds for an answer to begin."""
    with running_gate(patient_upstream, more_upstream=f"first_byte_seconds = {SECONDS}") as gate:
        yield gate


@pytest.fixture
def impatient(running, patient_upstream):
    """The gate; its pool is emptied after the test."""
    yield running
    patient_upstream.settle()


@MODES
@pytest.mark.parametrize("framing", ["Content-Length: 3", "Transfer-Encoding: chunked"])
def test_an_upload_is_timed_from_its_end(impatient, patient_upstream, mode, framing):
    """A client that takes its time over a body is left alone; once the body is sent the answer must begin."""
    client = impatient.client("PUT", "/db/doc/att", framing, mode=mode)
    peer = patient_upstream.accept()
    peer.head()
    chunked = "chunked" in framing
    client.send(b"2\r\nab\r\n" if chunked else b"ab")
    assert peer.take(7 if chunked else 2)
    time.sleep(PAST)
    assert client.quiet()
    began = time.monotonic()
    client.send(b"1\r\nc\r\n0\r\n\r\n" if chunked else b"c")
    answer = client.answer()
    assert (answer.status, json.loads(answer.body)["error"]) == (504, "gateway_timeout")
    assert time.monotonic() - began >= SECONDS
    assert peer.ending(SOON)


@MODES
def test_a_feed_may_begin_when_there_is_news(impatient, patient_upstream, mode):
    """Without a heartbeat CouchDB sends not even a feed's head before there is a row: it is never timed out."""
    feeds = []
    for feed in ("longpoll", "continuous", "eventsource"):
        for since in ("7", "now"):
            client = impatient.client("GET", f"/db/_changes?feed={feed}&since={since}", mode=mode)
            peer = patient_upstream.accept()
            peer.message()
            feeds.append((client, peer))
    time.sleep(PAST)
    for client, peer in feeds:
        assert client.quiet()
        assert peer.quiet()
        peer.send(HELLO)
        assert client.answer().body == b'{"ok":true}'


@MODES
def test_an_answer_that_has_begun_may_take_its_time(impatient, patient_upstream, mode):
    """Only the beginning is timed: a body may stand still."""
    client = impatient.client("GET", "/db/doc", mode=mode)
    peer = patient_upstream.accept()
    peer.message()
    peer.send(HELLO[:-5])
    eventually(lambda: not client.quiet())
    client.head()
    time.sleep(PAST)
    peer.send(HELLO[-5:])
    assert client.take(11) == b'{"ok":true}'


@MODES
def test_part_of_a_head_is_no_beginning(impatient, patient_upstream, mode):
    """An upstream that hangs in the middle of its head is timed out, too."""
    client = impatient.client("GET", "/db/doc", mode=mode)
    peer = patient_upstream.accept()
    peer.message()
    peer.send(b"HTTP/1.1 200 OK\r\nContent-Le")
    assert client.answer().status == 504
    assert peer.ending(SOON)[1] == b""
