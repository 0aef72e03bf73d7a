"""Keys that become unknown and known while others invent theirs."""

import pytest
from pytest_twisted import ensureDeferred
from twisted.internet.defer import CancelledError, gatherResults

from couchgate.facts.askers import MOST
from couchgate.facts.bounded import bounded_agent
from couchgate.facts.jwks import JwksUrl
from couchgate.facts.keyurl import UrlKeys


@pytest.fixture
def open_source(reactor, clock):
    """Makes sources whose time is the test's, but whose connections are real."""
    sources = []

    def opened(url, **options):
        source = UrlKeys(JwksUrl(url, bounded_agent(reactor, 1 << 20), clock), ("ES256",), clock, **options)
        sources.append(source)
        return source

    yield opened
    for source in sources:
        source.stop()
    assert clock.getDelayedCalls() == []


async def resting(source):
    """A running source whose cool-down has just begun, because of somebody's invention."""
    await source.start()
    await source.refresh("invented")
    return source


@ensureDeferred
async def test_a_new_key_during_the_cool_down_waits_for_its_end(server, open_source, clock, make):
    """A rotation just after somebody's invention costs a wait and no refusal, and one load for all."""
    source = await resting(open_source(server.url))
    server.body = make.jwks("two")
    waits = [source.refresh("two") for _ in range(50)]
    clock.advance(9.9)
    assert not any(wait.called for wait in waits)
    assert len(server.requests) == 2
    clock.advance(0.1)
    await gatherResults(waits)
    assert source.current().find("two", "ES256")
    assert len(server.requests) == 3


@ensureDeferred
async def test_inventions_without_end_hide_no_rotation(server, open_source, clock, make):
    """Under a stream of invented keys each new key is found, by one load in each cool-down."""
    source = await resting(open_source(server.url, default_refresh=86400))
    for turn in range(10):
        inventions = [source.refresh(f"invented {turn} {number}") for number in range(100)]
        server.body = make.jwks(f"new {turn}")
        good = [source.refresh(f"new {turn}") for _ in range(20)]
        assert not any(wait.called for wait in (*inventions, *good))
        clock.advance(10)
        # What comes while the load is under way may be newer than its answer.
        later = source.refresh(f"later {turn}")
        await gatherResults([*inventions, *good])
        assert source.current().find(f"new {turn}", "ES256")
        assert not later.called
        later.addErrback(lambda failure: failure.trap(CancelledError))
        later.cancel()
        assert source.refresh(f"invented {turn} 7").called
    assert len(server.requests) == 2 + 10


@ensureDeferred
async def test_what_comes_while_a_load_is_under_way_waits_for_the_next(server, open_source, clock, make):
    """A key that a load for another one did not bring is asked for when the cool-down is over."""
    source = open_source(server.url)
    await source.start()
    first = source.refresh("invented")
    later, same = source.refresh("two"), source.refresh("invented")
    await gatherResults([first, same])
    assert not later.called
    server.body = make.jwks("two")
    clock.advance(10)
    await later
    assert source.current().find("two", "ES256")
    assert len(server.requests) == 3


@ensureDeferred
async def test_a_load_by_schedule_serves_those_who_wait(server, open_source, clock, make):
    """A load of the source's own during the cool-down ends the waits, and no other one follows."""
    source = open_source(server.url, cooldown=1000)
    await source.start()
    await source.refresh("invented")
    waits = [source.refresh("two"), source.refresh("made up")]
    server.body = make.jwks("two")
    clock.advance(480)
    await gatherResults(waits)
    assert source.current().find("two", "ES256")
    assert source.refresh("made up").called
    assert len(server.requests) == 3


@ensureDeferred
async def test_a_key_that_was_withdrawn_is_not_waited_for(server, open_source, clock, make):
    """The load that brought the new key has told that the old one is gone."""
    source = open_source(server.url)
    await source.start()
    server.body = make.jwks("two")
    await source.refresh("two")
    assert source.refresh("one").called
    assert len(server.requests) == 2


@ensureDeferred
async def test_only_so_many_wait(server, open_source, clock, make):
    """Beyond the bound nobody waits, and who leaves makes room."""
    source = await resting(open_source(server.url))
    waits = [source.refresh(f"invented {number}") for number in range(MOST)]
    assert not any(wait.called for wait in waits)
    assert source.refresh("two").called
    waits[7].addErrback(lambda failure: failure.trap(CancelledError))
    waits[7].cancel()
    server.body = make.jwks("two")
    good = source.refresh("two")
    assert not good.called
    assert source.refresh("two").called
    clock.advance(10)
    await gatherResults([*waits, good])
    assert source.current().find("two", "ES256")


@ensureDeferred
async def test_a_wait_that_was_given_up_causes_no_load(server, open_source, clock):
    """When all have left before the cool-down is over, nothing is asked for them."""
    source = await resting(open_source(server.url))
    wait = source.refresh("two")
    wait.cancel()
    with pytest.raises(CancelledError):
        await wait
    clock.advance(10)
    assert len(server.requests) == 2
    assert source.attempts == 2


@ensureDeferred
async def test_who_is_let_go_may_end_the_waits_of_others(server, open_source, clock):
    """A wait that ends and cancels its neighbour in the same breath harms nobody."""
    source = await resting(open_source(server.url))
    waits = [source.refresh(f"invented {number}") for number in range(3)]
    waits[1].addErrback(lambda failure: failure.trap(CancelledError))
    waits[0].addCallback(lambda _: waits[1].cancel())
    clock.advance(10)
    await gatherResults(waits)
    assert len(server.requests) == 3


@ensureDeferred
async def test_the_end_of_the_source_ends_the_wait_for_the_cool_down(server, open_source, clock):
    """`stop` lets go who waits for a load that has not begun."""
    source = await resting(open_source(server.url))
    waits = [source.refresh("two"), source.refresh(None)]
    source.stop()
    assert [wait.called for wait in waits] == [True, True]
    assert clock.getDelayedCalls() == []


@ensureDeferred
async def test_without_any_keys_the_first_load_is_waited_for(server, open_source, clock, make):
    """A token that comes during the first load waits for it, but not longer than five seconds."""
    server.body = make.SILENT
    source = open_source(server.url)
    arrival, started = server.arrival(), source.start()
    await arrival
    impatient = source.refresh("one")
    clock.advance(4.9)
    assert not impatient.called
    clock.advance(0.1)
    assert impatient.called
    assert not started.called
    source.stop()
    await started
    server.body = make.jwks("one")
    source.start()
    await source.refresh("one")
    assert source.current().find("one", "ES256")


@ensureDeferred
async def test_without_any_keys_and_without_a_load_nobody_waits(server, open_source):
    """After a first load that failed a token is told at once, and causes no load: the schedule does."""
    server.status = 500
    source = open_source(server.url)
    await source.start()
    assert source.refresh("one").called
    assert len(server.requests) == 1
