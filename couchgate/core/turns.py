"""How many feeds may be open, and which of a web page's take turns, so that its other requests get through.

A browser opens six connections to an HTTP/1.1 host, for all its pages together. PouchDB holds one of them with a
longpoll for each database in live sync, and none of those ends while nothing changes. Six of them, and writes, reads
and every further database wait in the browser for as long as nobody else writes.

- Of the feeds that a person's pages have open from one address, so many as `Limits.lasting_feeds` says may last. Each
  further one ends in order after a second: PouchDB asks again at once, and the browser lets first those requests pass
  that waited before. The more of them are open, the longer is a turn: together they ask about once a second, also
  where HTTP/2 in front of the gate lets a browser open as many as it likes.
- A page is told by `Origin` or `Sec-Fetch-Site`, which scripts in a browser can neither set nor leave out. Other
  clients open the connections that they need, and theirs do not take turns.
- Only a longpoll can, that is not filtered and began at a fixed place: a filter reads all changes since then, perhaps
  for long, before there is a row, and ended too early would begin there anew each time. The caller must wait until the
  answer has begun: CouchDB does that once it waits for changes, or after a heartbeat.
"""

from __future__ import annotations

import re
from math import inf
from typing import Final, NamedTuple, TypeVar
from urllib.parse import unquote_to_bytes

from couchgate.core.feed import FeedFollower
from couchgate.core.limits import Limits
from couchgate.core.message import RequestHead

TURN_SECONDS: Final = 1.0
Key = TypeVar("Key")
_FILTERED: Final = re.compile(rb"[?&;]_?(?:filter|view|doc_ids|selector)=", re.IGNORECASE)


class Place(NamedTuple):
    """The place of one open feed: whose it is; the person and address whose pages it is one of, if it is a page's; and
    the seconds after which it makes room (infinite: it need not).
    """

    principal: str
    page: tuple[str, str] | None
    seconds: float


class Places:
    """The places of a listener's open feeds."""

    __slots__ = ("_lasting", "_passing", "_people")

    def __init__(self) -> None:
        self._people: dict[str, int] = {}
        self._lasting: dict[tuple[str, str], int] = {}
        self._passing: dict[tuple[str, str], int] = {}

    def __len__(self) -> int:
        """How much is remembered: nothing without feeds."""
        return len(self._people) + len(self._lasting) + len(self._passing)

    def take(
        self, principal: str, address: str, head: RequestHead, follower: FeedFollower, limits: Limits
    ) -> Place | None:
        """A place for the feed that answers `head`, or None: this person has too many."""
        if self._people.get(principal, 0) >= limits.feeds:
            return None
        _add(self._people, principal)
        fields = head.fields
        if not limits.lasting_feeds or (b"origin" not in fields and b"sec-fetch-site" not in fields):
            return Place(principal, None, inf)
        page = (principal, address)
        if self._lasting.get(page, 0) < limits.lasting_feeds or not _can_take_turns(head, follower):
            _add(self._lasting, page)
            return Place(principal, page, inf)
        return Place(principal, page, TURN_SECONDS * _add(self._passing, page))

    def leave(self, place: Place) -> None:
        """The feed of this place has ended."""
        _take(self._people, place.principal)
        if place.page is not None:
            _take(self._lasting if place.seconds == inf else self._passing, place.page)


def _can_take_turns(head: RequestHead, follower: FeedFollower) -> bool:
    return (
        head.method == b"GET"
        and follower.empty_answer() is not None
        and not _FILTERED.search(unquote_to_bytes(head.target))
    )


def _add(counts: dict[Key, int], key: Key) -> int:
    count = counts[key] = counts.get(key, 0) + 1
    return count


def _take(counts: dict[Key, int], key: Key) -> None:
    counts[key] -= 1
    if not counts[key]:
        del counts[key]
