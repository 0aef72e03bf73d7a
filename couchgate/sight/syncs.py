"""Replication as people see it, inferred from finished requests.

**A sync** is a person and a database between which something of the replication protocol went in the last `KEPT`
seconds: a `_changes`, `_bulk_get` or `_revs_diff` that was answered, or any request of a replication (`REPLICATION`;
of the database itself only GET) that was denied or failed. Who has no valid token is counted by address instead of
name, apart from the others and until somebody from there gets through to that database.

**Its state** is one of these, the first that fits. Pull, push and what both need (the database itself, `_local`) are
looked at apart; a success takes back an earlier problem of the same part and of what both need, and an open
`_changes` those of the pull.
- `denied`: the last answer was 401 or 403. PouchDB has ended that live sync, and the app must start it again.
- `backing_off`: the last answer was another error, or broke off. PouchDB waits and tries again.
- `live`: a `_changes` answer is open, or one ended in the last `LIVE_SECONDS`.
- `quiet`: none of these: a push with nothing to push, or a sync that has ended.

**Without `_bulk_get`** is a sync whose last `_bulk_get` failed. If it was the page's first, PouchDB gets documents one
by one from then on, for every database of the server and until the page is loaded again; otherwise it tries once
more, and the next success takes this back.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

REPLICATION: Final = frozenset(("_changes", "_bulk_get", "_revs_diff", "_bulk_docs", "_local", "database"))
KEPT: Final = 900.0  # seconds; PouchDB waits at most 600 before it tries again
LIVE_SECONDS: Final = 10.0
MOST: Final = 4096  # syncs of known people; half as many of unknown ones

STATES: Final = ("live", "denied", "backing_off", "quiet")

_BOTH, _PULL, _PUSH = 0, 1, 2
_PARTS: Final = {"_changes": _PULL, "_bulk_get": _PULL, "_revs_diff": _PUSH, "_bulk_docs": _PUSH}
_BEGINNING: Final = frozenset(("_changes", "_bulk_get", "_revs_diff"))
_WELL: Final = frozenset(("forwarded", "feed_ended"))
_EXPECTED: Final = frozenset((404, 409, 412))  # of a checkpoint that is not there, or of a database not made yet
_LONGEST: Final = 256  # characters of a database name; CouchDB's own are shorter


class Sync(NamedTuple):
    """One sync as it stands. `principal` is empty for a peer without a valid token, whose `address` is then there.

    `seen` is when it was last heard of, in seconds since the epoch; None: not since its feed was opened.
    """

    principal: str
    address: str
    database: str
    state: str
    without_bulk_get: bool
    seen: float | None


class _Known:
    """What is remembered of one sync."""

    def __init__(self) -> None:
        self.problems = ["", "", ""]  # by part: a state, or empty
        self.without_bulk_get = False
        self.fed = 0.0  # when its last `_changes` ended well
        self.seen = 0.0


_Key = tuple[str, str]  # principal (or address) and database


class Syncs:
    """The syncs of one listener. Memory is bounded: those heard of longest ago are forgotten first."""

    def __init__(self) -> None:
        self._known: dict[_Key, _Known] = {}  # in the order in which they were last heard of
        self._unknown: dict[_Key, _Known] = {}

    def saw(
        self,
        *,
        principal: str,
        address: str,
        database: str,
        endpoint: str,
        reading: bool,
        status: int,
        code: str,
        now: float,
    ) -> None:
        """A request is over whose `endpoint` is one of `REPLICATION`. `reading`: its method is GET or HEAD."""
        if not status or len(database) > _LONGEST or (endpoint == "database" and not reading):
            return
        problem = ""
        if status in (401, 403):
            problem = "denied"
        elif status >= 400:
            problem = "" if endpoint in ("_local", "database") and status in _EXPECTED else "backing_off"
        elif code == "client_gone":
            return
        elif code not in _WELL:
            problem = "backing_off"
        if not principal:
            if problem == "denied":
                self._touch(self._unknown, (address, database), now, MOST // 2).problems[_BOTH] = problem
            return
        key = (principal, database)
        if not problem and self._unknown:
            self._unknown.pop((address, database), None)
        if not problem and key not in self._known and endpoint not in _BEGINNING:
            return
        sync = self._touch(self._known, key, now, MOST)
        part = _PARTS.get(endpoint, _BOTH)
        if endpoint == "_bulk_get":
            sync.without_bulk_get = bool(problem)
            if problem == "backing_off" and 400 <= status < 500 and status not in (408, 429):
                return  # it goes on without
        sync.problems[part] = problem
        if not problem:
            sync.problems[_BOTH] = ""
            if endpoint == "_changes":
                sync.fed = now

    def current(self, feeds: Iterable[tuple[str, str]], now: float) -> Sequence[Sync]:
        """Every sync, those heard of last at the end. `feeds`: principal and database of each open `_changes`."""
        for table in (self._known, self._unknown):
            for key in [key for key, sync in table.items() if sync.seen < now - KEPT]:
                del table[key]
        fed = set(feeds)
        found = [
            Sync("", address, database, sync.problems[_BOTH], without_bulk_get=False, seen=sync.seen)
            for (address, database), sync in self._unknown.items()
        ]
        found += [
            Sync(
                *(principal, "", database),
                _state(sync, now, fed=(principal, database) in fed),
                sync.without_bulk_get,
                sync.seen,
            )
            for (principal, database), sync in self._known.items()
        ]
        found += [Sync(key[0], "", key[1], "live", without_bulk_get=False, seen=None) for key in fed - set(self._known)]
        return found

    @staticmethod
    def _touch(table: dict[_Key, _Known], key: _Key, now: float, most: int) -> _Known:
        sync = table.pop(key, None)
        if sync is None:
            sync = _Known()
            if len(table) >= most:
                del table[next(iter(table))]
        table[key] = sync
        sync.seen = now
        return sync


def _state(sync: _Known, now: float, *, fed: bool) -> str:
    problems = sync.problems[_PUSH:] if fed else sync.problems
    for state in ("denied", "backing_off"):
        if state in problems:
            return state
    return "live" if fed or now - sync.fed <= LIVE_SECONDS else "quiet"
