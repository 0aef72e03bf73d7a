"""How syncs are inferred: each state as PouchDB acts on it, and a memory that stays bounded."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from couchgate.sight.syncs import KEPT, LIVE_SECONDS, MOST, REPLICATION, STATES, Syncs

FED = [("alice", "db")]


class Seen(Syncs):
    """Syncs of which one request after another is told, a second apart."""

    def __init__(self):
        super().__init__()
        self.now = 1000.0

    def after(self, endpoint, status=200, code="forwarded", *, principal="alice", database="db", **more):
        self.now += 1
        values = {"address": "192.0.2.1", "reading": True, **more}
        self.saw(
            principal=principal, database=database, endpoint=endpoint, status=status, code=code, now=self.now, **values
        )
        return self

    def states(self, feeds=(), later=0.0):
        return {
            (sync.principal or sync.address, sync.database): sync.state
            for sync in self.current(feeds, self.now + later)
        }

    def state(self, feeds=(), later=0.0):
        return self.states(feeds, later).get(("alice", "db"))

    def lost(self):
        (sync,) = self.current((), self.now)
        return sync.without_bulk_get


@pytest.fixture
def seen():
    return Seen()


@pytest.mark.parametrize("endpoint", ["_changes", "_bulk_get", "_revs_diff"])
def test_what_only_replication_asks_for_begins_a_sync(seen, endpoint):
    """The answer is enough, whoever's it is."""
    assert seen.after(endpoint).state() == ("live" if endpoint == "_changes" else "quiet")


@pytest.mark.parametrize("endpoint", ["_bulk_docs", "_local", "database"])
def test_what_apps_ask_for_by_themselves_begins_none(seen, endpoint):
    """A success there says nothing about a sync."""
    assert seen.after(endpoint).states() == {}


@pytest.mark.parametrize("endpoint", sorted(REPLICATION))
@pytest.mark.parametrize("status", [401, 403])
def test_a_401_or_403_denies(seen, endpoint, status):
    """On any request of a replication, the first included."""
    assert seen.after(endpoint, status).state() == "denied"


@pytest.mark.parametrize("endpoint", ["_changes", "_revs_diff", "_bulk_docs", "_bulk_get"])
@pytest.mark.parametrize(("status", "code"), [(500, "x"), (503, "x"), (429, "x"), (200, "upstream_cut")])
def test_other_errors_and_cuts_make_it_back_off(seen, endpoint, status, code):
    """PouchDB waits and tries again."""
    assert seen.after(endpoint, status, code).state() == "backing_off"


@pytest.mark.parametrize(
    ("endpoint", "status", "code"),
    [("_local", 404, "forwarded"), ("_local", 409, "forwarded"), ("database", 404, "forwarded"),
     ("_changes", 200, "client_gone"), ("_changes", 0, "client_gone"), ("_changes", 200, "feed_ended")],
)  # fmt: skip
def test_what_is_expected_is_no_problem(seen, endpoint, status, code):
    """A missing checkpoint, a client that left, a feed that the gate ended well."""
    assert seen.after("_changes").after(endpoint, status, code).state() == "live"


def test_a_success_takes_back_the_problem_of_its_part_only(seen):
    """A push that is denied stays so while the pull goes on."""
    seen.after("_bulk_docs", 403).after("_changes")
    assert (seen.state(), seen.state(FED)) == ("denied", "denied")
    assert seen.after("_bulk_docs", 201).state() == "live"
    seen.after("_changes", 503).after("_revs_diff")
    assert seen.state() == "backing_off"
    assert seen.after("_bulk_get").state() == "live"


def test_a_problem_of_the_database_itself_ends_with_any_success(seen):
    """Who was kept out of the database, and now replicates, is in."""
    assert seen.after("database", 403).state() == "denied"
    assert seen.after("_revs_diff").state() == "quiet"


def test_an_open_feed_is_live_whatever_was_before(seen):
    """It was opened after the problem, or it would not be open; a push's problem stays."""
    assert seen.after("_changes", 503).state(FED) == "live"
    assert seen.after("_changes", 403).state(FED) == "live"
    assert Seen().state(FED) == "live"


def test_between_two_longpolls_a_sync_is_live_and_then_quiet(seen):
    """For ten seconds; then it has nothing more to say, and at last it is forgotten."""
    seen.after("_changes")
    assert seen.state(later=LIVE_SECONDS) == "live"
    assert seen.state(later=LIVE_SECONDS + 1) == "quiet"
    assert seen.state(later=KEPT) == "quiet"
    assert seen.states(later=KEPT + 1) == {}


@pytest.mark.parametrize("status", [400, 401, 404, 405, 429, 500, 503])
def test_any_error_of_bulk_get_loses_it_until_it_works_again(seen, status):
    """PouchDB falls back to one request a document, and says so to nobody."""
    assert seen.after("_bulk_get", status).lost()
    assert seen.after("_changes").lost()
    assert not seen.after("_bulk_get").lost()


@pytest.mark.parametrize(
    ("status", "state"), [(400, "live"), (404, "live"), (429, "backing_off"), (500, "backing_off")]
)
def test_a_sync_goes_on_without_bulk_get(seen, status, state):
    """An answer that says "not here" does not make it wait."""
    assert seen.after("_changes").after("_bulk_get", status).state() == state


def test_who_has_no_token_is_counted_by_address_until_it_works(seen):
    """A token that expired is the commonest end of a sync, and names nobody."""
    seen.after("_changes", 401, principal="").after("_changes", 401, principal="", address="192.0.2.2")
    assert seen.states() == {("192.0.2.1", "db"): "denied", ("192.0.2.2", "db"): "denied"}
    assert seen.after("_changes").states() == {("192.0.2.2", "db"): "denied", ("alice", "db"): "live"}


def test_a_failure_without_a_principal_is_nobodys_sync(seen):
    """Nothing is known of a 503 before the token."""
    assert seen.after("_changes", 503, principal="").states() == {}


def test_writing_to_a_database_by_itself_is_no_sync(seen):
    """PUT, POST and DELETE of a database are not what a replication stops at."""
    assert seen.after("database", 403, reading=False).states() == {}


def test_strangers_cannot_push_out_those_who_are_known(seen):
    """A flood of addresses and databases fills a table of its own, and no more than that."""
    seen.after("_changes")
    for index in range(MOST):
        seen.now = 1000.0  # all in one second: nobody is forgotten because of age
        seen.after("_changes", 401, principal="", database=f"d{index}")
    seen.after("_changes", 401, principal="", database="d" * 257)
    states = seen.states()
    assert ("alice", "db") in states
    assert len(states) == 1 + MOST // 2


def test_those_heard_of_longest_ago_are_forgotten_first(seen):
    """The memory is bounded, and who goes on syncing stays in it."""
    seen.after("_changes")
    for index in range(MOST - 1):
        seen.after("_revs_diff", database=f"d{index}")
    seen.now = 1000.0
    seen.after("_changes")
    seen.after("_revs_diff", database="one more")
    states = seen.states()
    assert len(states) == MOST
    assert ("alice", "db") in states
    assert ("alice", "d0") not in states


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(sorted(REPLICATION)),
            st.sampled_from([0, 200, 201, 400, 401, 403, 404, 409, 429, 500, 503]),
            st.sampled_from(["forwarded", "feed_ended", "feed_cut", "client_gone", "upstream_cut", "policy"]),
            st.sampled_from(["", "alice", "bob"]),
            st.booleans(),
        )
    ),
    st.lists(st.tuples(st.sampled_from(["alice", "bob"]), st.sampled_from(["db", "other"]))),
)
def test_whatever_happens_each_sync_is_told_once_in_one_state(steps, feeds):
    """Every open feed is a sync that is live, unless its push has a problem."""
    seen = Seen()
    for endpoint, status, code, principal, reading in steps:
        seen.after(endpoint, status, code, principal=principal, reading=reading)
    found = seen.current(feeds, seen.now)
    assert len({sync[:3] for sync in found}) == len(found)
    assert {sync.state for sync in found} <= set(STATES)
    told = {(sync.principal, sync.database): sync.state for sync in found if sync.principal}
    pushes = {principal for endpoint, status, _, principal, _ in steps if endpoint in ("_revs_diff", "_bulk_docs")}
    for principal, database in feeds:
        assert told[principal, database] == "live" or (database == "db" and principal in pushes)
