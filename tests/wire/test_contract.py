"""The one contract of all wires: whoever owns one cannot tell what carries it."""

import pytest

BLOCK = bytes(range(256)) * 1024


DELAYED = 50  # turns that take longer than Linux may put off an acknowledgement (0.2 s), which makes room


def fill(owner, loop):
    """Write until the wire is blocked, and on until the other end's buffers are full; what was written."""
    written = []
    while True:
        while owner.wire.write(BLOCK):
            written.append(BLOCK)
        written.append(BLOCK)
        assert owner.wire.blocked
        count = len(owner.events)
        loop.turns(DELAYED)
        if owner.wire.blocked and len(owner.events) == count:
            return b"".join(written)


def take(peer, size, loop):
    """So many bytes from the other end, while the loop turns."""
    data = []
    peer.sock.settimeout(0)

    def some():
        try:
            data.append(peer.sock.recv(1 << 20))
        except BlockingIOError:
            return False
        return sum(map(len, data)) >= size or not data[-1]

    loop.until(some)
    peer.sock.settimeout(10)
    return b"".join(data)


def test_bytes_pass_in_both_directions(ends, loop):
    """What is written arrives, in order; what comes is received."""
    owner, peer = ends
    assert owner.wire.secure is False
    assert owner.wire.write(b"hello ")
    owner.wire.write(b"world")
    loop.turns(2)
    assert peer.take(11) == b"hello world"
    peer.send(b"and ")
    loop.until(lambda: owner.data == b"and ")
    peer.send(b"back")
    loop.until(lambda: owner.data == b"and back")


def test_a_full_wire_is_blocked_and_says_when_it_has_drained(ends, loop):
    """Writing says False once the other side takes no more; `drained` comes once all has gone out, and not before."""
    owner, peer = ends
    written = fill(owner, loop)
    drained = owner.events.count("drained")
    got = take(peer, len(written), loop)
    loop.until(lambda: owner.events.count("drained") > drained)
    assert got == written
    assert not owner.wire.blocked
    assert owner.wire.write(b"x")
    loop.turns(2)
    assert peer.take(1) == b"x"


def test_a_wire_that_never_filled_never_drains(ends, loop):
    """Small writes cause no `drained`, but for those that waited for the connection."""
    owner, peer = ends
    owner.wire.write(b"x")
    loop.turns(5)
    owner.events.clear()
    for _ in range(100):
        assert owner.wire.write(b"x")
    loop.turns(5)
    assert peer.take(101) == b"x" * 101
    assert owner.events == []


def test_a_paused_wire_receives_nothing_until_it_is_resumed(ends, loop):
    """While paused nothing comes; what was sent meanwhile comes afterwards; doing so twice changes nothing."""
    owner, peer = ends
    owner.wire.pause()
    owner.wire.pause()
    peer.send(b"later")
    loop.turns()
    assert owner.data == b""
    owner.wire.resume()
    owner.wire.resume()
    loop.until(lambda: owner.data == b"later")


def test_a_pause_within_received_holds(ends, loop):
    """An owner that pauses as it receives hears no more than what it is hearing."""
    owner, peer = ends
    owner.on_received = lambda _: owner.wire.pause()
    peer.send_until_stuck(BLOCK, 3 * len(BLOCK), 0.1)
    loop.until(lambda: owner.data)
    loop.turns()
    assert len(owner.data) <= 65536
    owner.on_received = None
    owner.wire.resume()
    loop.until(lambda: len(owner.data) > 65536)


def test_a_paused_wire_writes_on(ends, loop):
    """Pausing stops receiving only: what was left to write goes out."""
    owner, peer = ends
    owner.wire.pause()
    written = fill(owner, loop)
    assert take(peer, len(written), loop) == written


def test_close_says_everything_first(ends, loop):
    """What was written before `close` arrives whole, then the end."""
    owner, peer = ends
    written = fill(owner, loop)
    owner.wire.close()
    assert take(peer, len(written), loop) == written
    loop.until(lambda: owner.over)
    assert owner.events[-1] == "lost cleanly"
    assert peer.ending() == ("fin", b"")


def test_a_closing_wire_receives_nothing_more(ends, loop):
    """Between `close` and the end, what the other side still sends reaches nobody."""
    owner, peer = ends
    fill(owner, loop)
    owner.wire.close()
    peer.send(b"too late")
    loop.turns()
    assert owner.data == b""
    assert not owner.over


def test_closing_twice_is_closing_once(ends, loop):
    """A second `close` or an `abort` after it does no harm, and `lost` is heard once."""
    owner, peer = ends
    owner.wire.write(b"bye")
    loop.turns(3)
    owner.wire.close()
    owner.wire.close()
    owner.wire.abort()
    loop.until(lambda: owner.over)
    loop.turns()
    assert sum(event.startswith("lost") for event in owner.events) == 1
    assert peer.take(3) == b"bye"


def test_abort_is_a_reset_that_drops_what_was_left(ends, loop):
    """The other side sees a reset, never a clean end, and not all of what was written; the owner hears so."""
    owner, peer = ends
    written = fill(owner, loop)
    owner.wire.abort()
    loop.until(lambda: owner.over)
    assert owner.events[-1] == "lost"
    how, got = peer.ending()
    assert how == "reset"
    assert len(got) < len(written)


def test_a_closing_wire_can_be_aborted(ends, loop):
    """A close that does not get through is ended by `abort`."""
    owner, peer = ends
    fill(owner, loop)
    owner.wire.close()
    loop.turns(3)
    assert not owner.over
    owner.wire.abort()
    loop.until(lambda: owner.over)
    assert peer.ending()[0] == "reset"


def test_an_end_of_the_other_side_leaves_ours_open(ends, loop):
    """A half-close is heard once as `ended`; what is written then still arrives, and `close` ends it."""
    owner, peer = ends
    peer.send(b"last words")
    peer.half_close()
    loop.until(lambda: "ended" in owner.events)
    assert owner.data == b"last words"
    owner.wire.write(b"the answer")
    loop.turns()
    assert owner.events.count("ended") == 1
    assert not owner.over
    owner.wire.close()
    loop.until(lambda: owner.over)
    assert owner.events[-1] == "lost cleanly"
    assert peer.ending() == ("fin", b"the answer")


def test_our_direction_can_be_closed_alone(ends, loop):
    """After `close_write` the other side sees the end, and what it sends is still received."""
    owner, peer = ends
    owner.wire.write(b"that was all")
    loop.until(lambda: not owner.wire.blocked)
    owner.wire.close_write()
    loop.turns(3)
    assert peer.ending() == ("fin", b"that was all")
    peer.send(b"more")
    loop.until(lambda: owner.data == b"more")
    assert not owner.over
    owner.wire.close()
    loop.until(lambda: owner.over)


@pytest.mark.parametrize("state", ["idle", "paused", "blocked", "closing"])
def test_a_reset_is_heard_whatever_the_wire_does(ends, loop, state):
    """The other side's reset is `lost`, not clean, while all is full, too; a paused wire may hear it when resumed."""
    owner, peer = ends
    if state == "paused":
        owner.wire.pause()
    if state in {"blocked", "closing"}:
        fill(owner, loop)
    if state == "closing":
        owner.wire.close()
    loop.turns(2)
    peer.reset()
    if state == "paused":
        owner.wire.resume()
    loop.until(lambda: owner.over)
    assert owner.events[-1] == "lost"


def test_an_owner_may_abort_as_it_receives(ends, loop):
    """`abort` within `received` ends it, and nothing is heard after `lost`."""
    owner, peer = ends
    owner.on_received = lambda _: owner.wire.abort()
    peer.send(b"a")
    loop.until(lambda: owner.over)
    assert peer.ending()[0] == "reset"
