"""The feeds of a page with many databases take turns, so that a browser's six connections serve its other requests."""

from tests.web.live import running_gate
from tests.web.test_feeds import CHUNKED, MODES, ROW, chunk, last_seq

LONGPOLL = "/db/_changes?feed=longpoll&since=7&heartbeat=10000"
PAGE = "Origin: https://app.example.com"
WAITS = CHUNKED + chunk(b'{"results":[\n') + chunk(b"\n")


class Feed:
    """An open feed. `waits`: CouchDB has told that there is nothing to tell yet."""

    def __init__(self, gate, upstream, mode, *lines, target=LONGPOLL, waits=True):
        self.client = gate.client("GET", target, *lines, mode=mode)
        self.peer = upstream.accept()
        self.peer.message()
        if waits:
            self.peer.send(WAITS)
            self.client.peek()

    def makes_room(self):
        """That it ends in order, where it began, and CouchDB's side with it."""
        assert last_seq(self.client.answer()) == ([], 7)
        assert self.peer.ending(1)[1] == b""

    def goes_on(self):
        """That what CouchDB tells now still reaches the client."""
        self.peer.send(chunk(ROW % (b"8-x", b"a")), chunk(b'\n],\n"last_seq":"8-x","pending":0}\n'), b"0\r\n\r\n")
        assert last_seq(self.client.answer()) == (["a"], "8-x")


def test_a_page_has_five_feeds_that_last_and_the_others_take_turns(gate, upstream):
    """Each feed beyond the fifth ends in order once it waits; of the others none does, nor one of another client."""

    def open_all(mode):
        lasting = [Feed(gate, upstream, mode, PAGE) for _ in range(5)]
        slow = Feed(gate, upstream, mode, PAGE, waits=False)
        lasting += [
            Feed(gate, upstream, mode),
            Feed(gate, upstream, mode, PAGE, target=f"{LONGPOLL}&filter=app/mine"),
            Feed(gate, upstream, mode, PAGE, target="/db/_changes?feed=longpoll&since=now"),
        ]
        return lasting, slow, Feed(gate, upstream, mode, "Sec-Fetch-Site: same-origin")

    opened = [open_all(mode) for mode in MODES]
    for lasting, slow, last in opened:
        last.makes_room()
        assert slow.client.quiet()  # whose turn was over before
        slow.peer.send(WAITS)
        slow.makes_room()
        for feed in lasting:
            feed.goes_on()


def test_the_number_of_lasting_feeds_is_a_setting(own_upstream):
    """With another number others last; with 0 all of them do."""
    for number, room in ((1, 1), (0, 0)):
        with running_gate(own_upstream, limits=f"lasting_feeds = {number}") as gate:
            feeds = [[Feed(gate, own_upstream, mode, PAGE) for _ in range(2)] for mode in MODES]
            for pair in feeds:
                for feed in pair[2 - room :]:
                    feed.makes_room()
                for feed in pair[: 2 - room]:
                    feed.goes_on()
