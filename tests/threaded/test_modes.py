"""A reload changes the mode of a listener that is in use."""

from tests.web.live import HELLO
from tests.web.sockets import Client, eventually

CLOSING = HELLO.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")  # so that nothing is kept in a pool


def status_line(gate, upstream):
    client = gate.client()
    upstream.exchange(CLOSING)
    return client.message().start


def test_a_reload_changes_the_mode_to_threads_and_back(reloaded, upstream):
    """Who comes after the reload is served in the new mode; what is under way is finished, idle clients are let go."""
    assert status_line(reloaded, upstream) == b"HTTP/1.1 200 OK"
    for mode, first in (("threaded", b"HTTP/1.0 200 OK"), ("keepalive", b"HTTP/1.1 200 OK")):
        busy, idle = reloaded.client(), Client(reloaded.port)
        peer = upstream.accept()
        peer.message()
        assert reloaded.reload(mode=mode) == (True, f"Reloaded {reloaded.path}: gate.listeners changed.")
        assert status_line(reloaded, upstream) == first
        peer.send(CLOSING)
        assert busy.message().body == b'{"ok":true}'
        assert busy.ending() == ("fin", b"")
        assert idle.ending() == ("fin", b"")


def test_a_reload_reaches_threads(reloaded, upstream):
    """Rules that take a database away hold for the next request, and end the feeds that are open."""
    assert reloaded.reload(mode="threaded")[0]
    feed = reloaded.client("GET", "/db/_changes?feed=longpoll&since=7")
    upstream.accept().message()
    other = '[[rules]]\ndatabases = ["other"]\nallow = ["read"]\n'
    assert reloaded.reload(mode="threaded", rules=other)[0]
    answer = feed.message()
    assert (answer.status, answer.body) == (200, b'{"results":[\n],\n"last_seq":7,"pending":0}\n')
    assert reloaded.client().message().status == 403
    eventually(lambda: len(reloaded.access()) == 2)
    assert [line["reason"] for line in reloaded.access()] == ["feed_ended", "policy"]
