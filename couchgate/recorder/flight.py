"""Writes the records. What the faces call for each request or connection is here, and compiled in the wheel.

A record is one `pack_into` of the map, with its number first and last (see `records`): whenever the process is ended,
each record is the one before, torn, or whole. Numbers come from `itertools.count`, which gives none twice, so that the
threads of a face may write at once. Nothing here can fail: every value fits its field by what it is, or is made to.
"""

from __future__ import annotations

from itertools import count
from time import monotonic
from typing import Final, Protocol

from couchgate.core.message import RequestHead
from couchgate.core.target import Target
from couchgate.recorder.records import (
    ACCEPTED,
    CLOSED,
    DECIDED,
    ENDED,
    FEED,
    HEAD_SEEN,
    METHODS,
    RECORD,
    RECORD_BYTES,
    RING_AT,
    STILL,
    UPSTREAM,
)
from couchgate.recorder.ring import Ring

_MOST_STATUS: Final = 999
_MOST_COUNT: Final = 0xFFFF


class Recorded(Protocol):
    """A request, as each face has it. `record` is its id here, 0 before the decision."""

    head: RequestHead
    target: Target | None
    endpoint: str
    code: str
    status: int
    sent: int
    received: int
    started: float
    upstream_seconds: float
    record: int


class Flight:
    """Writes into `ring`. `accepted_count` and `ended_count` are connections and requests so far."""

    def __init__(self, ring: Ring) -> None:
        self._ring = ring
        self._map = ring.map
        self._slots: int = ring.slots
        self._next = count(1).__next__
        self._pack = RECORD.pack_into
        self._words: dict[str, int] = {}
        self._written = 0
        self._mentions: dict[int, int] = {}  # by the id of a request that lasts, the number of its last record
        self.accepted_count = 0
        self.ended_count = 0

    # -- connections of clients

    def accepted(self, *, keepalive: bool) -> int:
        """A client has connected; the connection's id."""
        self.accepted_count += 1
        return self.write(ACCEPTED, small=1 if keepalive else 0)

    def closed(self, connection: int) -> None:
        """That connection is gone."""
        self.write(CLOSED, connection)

    # -- requests

    def head_seen(self, request: Recorded, connection: int) -> None:
        """The head of a request is complete, and its target is known."""
        self._of(request, HEAD_SEEN, connection, 0)

    def decided(self, request: Recorded, connection: int) -> None:
        """A request goes to CouchDB; from now on `request.record` is its id."""
        target = request.target
        feed = FEED if target is not None and target.feed else 0
        request.record = self._of(request, DECIDED, connection, feed)

    def upstream(self, request: Recorded) -> None:
        """There is a connection to CouchDB for it."""
        self._of(request, UPSTREAM, request.record, 0)

    def ended(self, request: Recorded) -> None:
        """A request is over."""
        self.ended_count += 1
        number: int = self._next()
        self._written = number
        status = request.status
        words = self._words
        try:
            code, place = words[request.code], words[request.endpoint]
        except KeyError:
            code, place = self._word(request.code), self._word(request.endpoint)
        self._pack(
            self._map,
            RING_AT + number % self._slots * RECORD_BYTES,
            number,
            monotonic(),
            request.record,
            request.sent,
            request.received,
            request.upstream_seconds,
            ENDED,
            METHODS.get(request.head.method, 0),
            code,
            place,
            status if 0 <= status <= _MOST_STATUS else _MOST_STATUS,
            number,
        )

    def still(self, request: Recorded, now: float) -> None:
        """A request is still under way at `now`, seconds since the epoch: write it again before it is overwritten.

        To be called for each such request about once a second.
        """
        known = request.record
        last = self._mentions.get(known, known)
        if not known or self._written - last < self._slots // 4:
            return
        target = request.target
        feed = FEED if target is not None and target.feed else 0
        age = max(int((now - request.started) * 1000), 0)
        status = min(request.status, _MOST_STATUS)
        self._mentions[known] = self._of(request, STILL, known, feed, a=request.sent, b=age, status=status)

    def forget_all_but(self, known: set[int]) -> None:
        """Only the requests with these ids are still under way."""
        for gone in [each for each in self._mentions if each not in known]:
            del self._mentions[gone]

    def _of(self, request: Recorded, kind: int, ref: int, flag: int, *, a: int = 0, b: int = 0, status: int = 0) -> int:
        number: int = self._next()
        self._written = number
        try:
            place = self._words[request.endpoint]
        except KeyError:
            place = self._word(request.endpoint)
        self._pack(
            self._map,
            RING_AT + number % self._slots * RECORD_BYTES,
            number,
            monotonic(),
            ref,
            a,
            b,
            0.0,
            kind,
            METHODS.get(request.head.method, 0) + flag,
            0,
            place,
            status,
            number,
        )
        return number

    # -- all else

    def write(
        self,
        kind: int,
        ref: int = 0,
        a: int = 0,
        b: int = 0,
        x: float = 0.0,
        *,
        small: int = 0,
        word: str = "",
        counts: tuple[int, int] = (0, 0),
    ) -> int:
        """Write a record of any kind; `counts` stand in place of words. Its number."""
        number: int = self._next()
        self._written = number
        first = self._word(word) if word else min(counts[0], _MOST_COUNT)
        self._pack(
            self._map,
            RING_AT + number % self._slots * RECORD_BYTES,
            number,
            monotonic(),
            ref,
            a,
            b,
            x,
            kind,
            min(small, 255),
            first,
            min(counts[1], _MOST_COUNT),
            0,
            number,
        )
        return number

    def _word(self, text: str) -> int:
        index: int | None = self._words.get(text)
        if index is None:
            index = self._ring.word(text)
            if index:
                self._words[text] = index
        return index
