"""Until when an open feed may stay when it is decided again."""

import pytest

from couchgate.core.again import stays_until
from couchgate.core.principal import person_of
from couchgate.core.target import classify
from tests.core.test_gate_people import basic, gate

__all__ = ["gate"]
FEED = b"/shared/_changes?feed=longpoll"
ALICE = person_of("alice", "auth:file", "staff-")


def again(world, gate, head, *, lines=None, principal=None, expires=None, now=None, same_people=True, facts=None):
    """What becomes of a feed that was forwarded for `head` before."""
    if principal is None:
        principal = world.decide(gate, head).principal
    return stays_until(
        gate,
        facts or world.facts(),
        world.now if now is None else now,
        head=head,
        target=classify(head.method, head.target),
        peer=world.peer,
        lines=gate.screen(head).lines if lines is None else lines,
        principal=principal,
        expires=world.now + 10 if expires is None else expires,
        same_people=same_people,
    )


def test_a_feed_that_is_allowed_as_before_has_the_end_of_its_token(world):
    """The token says until when, whatever was said before."""
    head = world.head(target=FEED, token=world.token(exp=world.now + 100))
    assert again(world, world.gate(), head) == world.now + 100 + world.leeway


@pytest.mark.parametrize("what", ["expired", "refused", "keys", "lines", "person"])
def test_a_feed_that_would_be_served_otherwise_must_end(world, what):
    """An expired token, a database that is not theirs any more, unknown keys, other CORS lines, another person."""
    token = world.token(exp=world.now + 100)
    head = world.head(target=b"/other/_changes" if what == "refused" else FEED, token=token)
    other = world.decide(world.gate(), world.head(target=FEED, token=world.token(sub="bob"))).principal
    alice = world.decide(world.gate(), world.head(target=FEED, token=token)).principal
    assert (
        again(
            world,
            world.gate(),
            head,
            now=world.now + 1000 if what == "expired" else None,
            facts=world.facts("2") if what == "keys" else None,
            lines=b"Vary: Accept\r\n" if what == "lines" else None,
            principal=other if what == "person" else alice,
        )
        is None
    )


def test_a_feed_of_somebody_with_a_password_never_lives_longer_than_before(world, gate):
    """The password is not asked for again, so the old end stands; with other people it ends."""
    head = world.head(basic(), target=b"/lab/_changes?feed=longpoll")
    assert again(world, gate, head, principal=ALICE, expires=world.now + 10) == world.now + 10
    assert again(world, gate, head, principal=ALICE, expires=world.now + 1000) == world.now + 60
    assert again(world, gate, head, principal=ALICE, same_people=False) is None
