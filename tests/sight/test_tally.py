"""What one listener counts, from finished requests."""

from types import SimpleNamespace

import pytest

from couchgate.core.errors import BadRequest
from couchgate.core.message import NO_BODY, Fields, RequestHead
from couchgate.core.target import classify
from couchgate.sight.refusals import MOST, Refusals
from couchgate.sight.tally import BOUNDS, Counted, Tally


def finished(method=b"GET", target=b"/db/doc", **known):
    """A request that was forwarded a second before the time 101, unless something else is known of it."""
    try:
        read = classify(method, target)
    except BadRequest:
        read = None
    values = {
        "id": "0" * 32, "head": RequestHead(method, target, 11, Fields.of(), NO_BODY), "target": read, "started": 100.0,
        "principal": "alice", "address": "192.0.2.1", "endpoint": read.endpoint if read else "", "status": 200,
        "code": "forwarded", "reason": "", "upstream_seconds": 0.003, "received": 0, "sent": 0,
    }  # fmt: skip
    return SimpleNamespace(**{**values, **known})


def refused(code="policy", status=403, target=b"/db/doc", **known):
    return finished(
        target=target, status=status, code=code, reason=f"Because of {code}.", upstream_seconds=-1.0, **known
    )


@pytest.fixture
def refusals():
    return Refusals()


@pytest.fixture
def tally(refusals):
    return Tally(refusals, lambda: 101.0)


@pytest.mark.parametrize(
    ("request_", "counted", "verdict"),
    [
        (finished(), (b"GET", "read", True, 200), "forwarded"),
        (finished(b"PUT", status=409), (b"PUT", "write", True, 409), "forwarded"),
        (refused(), (b"GET", "read", False, 403), "refused"),
        (finished(b"BREW", status=403, upstream_seconds=-1.0), (b"other", "never", False, 403), "refused"),
        (finished(target=b"nonsense", status=400, upstream_seconds=-1.0), (b"GET", "none", False, 400), "refused"),
        (finished(target=b"/_gate/x", upstream_seconds=-1.0, code="own"), (b"GET", "gate", False, 200), "answered"),
        (finished(status=0, upstream_seconds=-1.0, code="client_gone"), (b"GET", "read", False, 0), "answered"),
    ],
)
def test_a_request_is_counted_under_what_it_was(tally, request_, counted, verdict):
    """Method, kind, verdict and status; methods that CouchDB does not know are one."""
    tally.count(request_)
    tally.count(request_)
    assert tally.requests == {counted: 2}
    assert Counted(*counted).verdict == verdict


@pytest.mark.parametrize("seconds", [0.0, *BOUNDS, 0.0011, 59.9, 61.0, 1e9])
def test_a_duration_falls_into_the_first_bucket_that_holds_it(seconds):
    """A bound belongs to its own bucket, as Prometheus' `le` says; longer than all is the last."""
    tally = Tally(Refusals(), lambda: 100.0 + seconds)
    tally.count(finished(started=100.0, upstream_seconds=seconds))
    exact = next((index for index, bound in enumerate(BOUNDS) if seconds <= bound), len(BOUNDS))
    assert tally.upstream.index(1) == exact
    assert tally.upstream_seconds == seconds
    assert sum(tally.plain) == 1
    assert tally.plain_seconds == pytest.approx(seconds)


def test_a_clock_that_is_set_back_makes_no_negative_duration(tally):
    """A request that ended before it began took no time."""
    tally.count(finished(started=500.0))
    assert (tally.plain[0], tally.plain_seconds) == (1, 0.0)


def test_feeds_have_a_histogram_of_their_own(tally):
    """A feed that was open for an hour says nothing about how fast the gate is."""
    tally.count(finished(target=b"/db/_changes?feed=longpoll"))
    assert (sum(tally.feeds), tally.feeds_seconds) == (1, 1.0)
    assert (sum(tally.plain), sum(tally.upstream)) == (0, 0)


def test_bytes_are_summed(tally):
    """Both ways."""
    for _ in range(3):
        tally.count(finished(received=5, sent=7))
    assert (tally.received, tally.sent) == (15, 21)


def test_answers_that_were_broken_off_are_counted_by_reason(tally):
    """Forwarded, and ended by somebody else than CouchDB."""
    for code in ("forwarded", "client_gone", "feed_cut", "client_gone"):
        tally.count(finished(code=code))
    assert tally.interrupted == {"client_gone": 2, "feed_cut": 1}
    assert tally.refused == {}


def test_refusals_are_counted_and_remembered(tally, refusals):
    """By code; the gate's own pages that say no are none."""
    tally.count(refused("policy", id="a" * 32))
    tally.count(refused("upstream_down", 503))
    tally.count(refused("own", 503))
    assert tally.refused == {"policy": 1, "upstream_down": 1}
    newest, oldest = refusals.latest()
    assert (newest.code, oldest.code, oldest.id, oldest.reason) == (
        "upstream_down", "policy", "a" * 32, "Because of policy.",
    )  # fmt: skip


def test_the_memory_of_refusals_is_bounded(tally, refusals):
    """The newest stay, and no client can make one large."""
    long = b"x" * 30000
    for index in range(MOST + 5):
        tally.count(refused(target=b"/d" + long + b"/doc", id=str(index)))
    kept = refusals.latest()
    assert [each.id for each in kept] == [str(index) for index in range(MOST + 4, 4, -1)]
    tally.count(refused(code="not_implemented", status=501))
    tally.count(finished(long, b"/x", status=501, upstream_seconds=-1.0))
    assert max(len(str(each)) for each in refusals.latest()) < 1000


def test_a_refusal_without_a_readable_target_is_remembered(tally, refusals):
    """What was no request at all has neither kind nor database."""
    tally.count(refused("target", 400, target=b"nonsense", principal=""))
    (told,) = refusals.latest()
    assert (told.kind, told.database, told.principal) == (None, None, "")


def test_syncs_are_looked_at_where_the_endpoint_replicates(tally):
    """A document is not a sync, a `_changes` is; a server endpoint has no database."""
    tally.count(finished())
    tally.count(finished(target=b"/_all_dbs", endpoint="database"))
    assert tally.syncs.current((), 101.0) == []
    tally.count(finished(target=b"/db/_changes"))
    (sync,) = tally.syncs.current((), 101.0)
    assert (sync.principal, sync.database, sync.state) == ("alice", "db", "live")
