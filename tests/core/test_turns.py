"""How many feeds may be open, and which of a page's take turns."""

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from couchgate.core.feed import FeedFollower
from couchgate.core.limits import Limits
from couchgate.core.message import NO_BODY, Fields, RequestHead
from couchgate.core.turns import TURN_SECONDS, Places

LONGPOLL = b"/db/_changes?feed=longpoll&since=3"
ORIGIN = (b"Origin", b"https://app.example.com")


def take(places, *, target=LONGPOLL, method=b"GET", field=ORIGIN, who="alice", address="::1", **limits):
    head = RequestHead(method, target, 11, Fields.of(*([field] if field else [])), NO_BODY)
    return places.take(who, address, head, FeedFollower.of(target), Limits(**limits))


def test_beyond_the_lasting_feeds_each_turn_is_longer():
    """So all that take turns ask again about once in a turn's time, however many they are."""
    places = Places()

    seconds = [take(places, lasting_feeds=2).seconds for _ in range(5)]

    assert seconds == [inf, inf, TURN_SECONDS, 2 * TURN_SECONDS, 3 * TURN_SECONDS]


@pytest.mark.parametrize(
    "different",
    [{"who": "bob"}, {"address": "::2"}, {"field": None}, {"field": (b"Sec-Fetch-Mode", b"cors")},
     {"lasting_feeds": 0}, {"lasting_feeds": 3}],
)  # fmt: skip
def test_another_client_s_feeds_need_not_take_turns(different):
    """They are of another person, another address, or no browser; or the settings let more of them last."""
    places = Places()
    for _ in range(2):
        take(places)

    assert take(places, **{"lasting_feeds": 2, **different}).seconds == inf


@pytest.mark.parametrize(
    "different",
    [{"method": b"POST"}, *({"target": target} for target in (
        b"/db/_changes?feed=longpoll&since=now", b"/db/_changes?feed=longpoll&since=3&descending=true",
        b"/db/_changes?feed=continuous&since=3", b"/db/_changes?feed=eventsource", LONGPOLL + b"&filter=a/b",
        LONGPOLL + b"&FILTER=_view&view=a/b", b"/db/_changes?doc_ids=%5B%5D&feed=longpoll",
    ))],
)  # fmt: skip
def test_a_feed_that_could_not_begin_again_where_it_was_lasts(different):
    """Filtered, or without a fixed place to begin at; yet it takes one of the browser's connections."""
    places = Places()

    assert take(places, lasting_feeds=1, **different).seconds == inf
    assert take(places, lasting_feeds=1, **different).seconds == inf
    assert take(places, lasting_feeds=2).seconds == TURN_SECONDS


def test_a_person_has_so_many_feeds_and_no_more():
    """From all addresses together; what was refused is not counted."""
    places = Places()
    first, _ = take(places, feeds=2), take(places, feeds=2, address="::2")

    assert take(places, feeds=2) is None
    places.leave(first)
    assert take(places, feeds=2) is not None


@given(st.lists(st.tuples(st.sampled_from(["alice", "bob"]), st.sampled_from([ORIGIN, None]), st.booleans())))
def test_nothing_is_remembered_without_feeds(steps):
    """Whoever comes and leaves, in whatever order, leaves nothing behind."""
    places, taken = Places(), []
    for who, field, leaves in steps:
        taken.append(take(places, who=who, field=field, lasting_feeds=1))
        if leaves:
            places.leave(taken.pop(0))
    assert bool(len(places)) == bool(taken)
    for place in taken:
        places.leave(place)
    assert len(places) == 0


def test_a_filter_in_escapes_is_a_filter():
    """As CouchDB decodes the query, so is it read here."""
    places = Places()
    for target in (LONGPOLL + b"&%66ilter=a/b", LONGPOLL + b"&f%69lter=_view"):
        assert take(places, lasting_feeds=1, target=target).seconds == inf
