"""Writes the records. What the faces call for each request or connection is here, and compiled in the wheel.

A record is one `pack_into` of the map, with its number first and last, or one of a batch that counts once all of it is
there (see `records`): whenever the process is ended, each record is the one before, torn, or whole. Numbers come from
`itertools.count`, which gives none twice, so that the threads of a face may write at once. Nothing here can fail: every
value fits its field by what it is, or is made to.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from time import monotonic
from typing import Final, Protocol

from librt.strings import BytesWriter, read_i64_le, write_f64_le, write_i64_le

from couchgate.core.message import RequestHead
from couchgate.core.target import Target
from couchgate.recorder.records import (
    ACCEPTED,
    CLOSED,
    COMMITTED,
    DECIDED,
    ENDED,
    FEED,
    HEAD_SEEN,
    INTENDED,
    METHODS,
    PLACE,
    RECORD_BYTES,
    RING_AT,
    SHORT,
    SMALL,
    STATUS,
    STILL,
    UPSTREAM,
    WORD,
    WRITTEN,
)
from couchgate.recorder.ring import Ring

_MOST_STATUS: Final = 999
_MOST_COUNT: Final = 0xFFFF


class Lasting(Protocol):
    """A request that is still under way, as each face has it. `record` is its id here, 0 before the decision."""

    head: RequestHead
    target: Target | None
    endpoint: str
    status: int
    sent: int
    started: float
    record: int


class Flight:
    """Writes into `ring`. `accepted_count` and `ended_count` are connections and requests so far."""

    def __init__(self, ring: Ring, numbers: Iterator[int] | None = None) -> None:
        self._ring = ring
        self._map = ring.map
        self._slots: int = ring.slots
        self._numbers: Iterator[int] = count(1) if numbers is None else numbers
        self._pack = WRITTEN.pack_into
        self._pack_short = SHORT.pack_into
        self._words: dict[str, int] = {}
        self._written = 0
        self._mentions: dict[int, int] = {}  # by the id of a request that lasts, the number of its last record
        self.accepted_count = 0
        self.ended_count = 0

    def gathering(self) -> Gathering:
        """For one thread: writes into the same ring, with the same numbers."""
        return Gathering(self._ring, self._numbers)

    # -- connections of clients

    def accepted(self, *, keepalive: bool) -> int:
        """A client has connected; the connection's id."""
        self.accepted_count += 1
        return self._short(ACCEPTED + (1 << SMALL if keepalive else 0), 0)

    def closed(self, connection: int) -> None:
        """That connection is gone."""
        self._short(CLOSED, connection)

    # -- requests, by plain values: each face has requests of its own, and a look-up in one of any kind costs more

    def head_seen(self, method: bytes, endpoint: str, connection: int) -> int:
        """A request is read, and the decision about it must wait; its id until it is decided."""
        what = HEAD_SEEN + (_method(method) << SMALL) + (self._place(endpoint) << PLACE)
        return self._short(what, connection)

    def decided(self, method: bytes, endpoint: str, connection: int, *, feed: bool) -> int:
        """A request goes to CouchDB; its id, for what follows."""
        small = _method(method) + (FEED if feed else 0)
        return self._short(DECIDED + (small << SMALL) + (self._place(endpoint) << PLACE), connection)

    def upstream(self, record: int) -> None:
        """There is a connection to CouchDB for the request of this id."""
        self._short(UPSTREAM, record)

    def ended(
        self,
        record: int,
        method: bytes,
        endpoint: str,
        code: str,
        status: int,
        sent: int,
        received: int,
        upstream_seconds: float,
    ) -> None:
        """A request is over. `record` is its id, 0 if it was refused at once; `sent` and `received` are body bytes."""
        self.ended_count += 1
        if not 0 <= status <= _MOST_STATUS:
            status = _MOST_STATUS
        what = ENDED + (_method(method) << SMALL) + (self._place(code) << WORD) + (self._place(endpoint) << PLACE)
        self._whole(record, sent, received, upstream_seconds, what + (status << STATUS))

    def _take(self) -> int:
        """The next number."""
        for number in self._numbers:  # where this is compiled, to call `next` takes longer
            self._written = number
            return number
        raise AssertionError("there is always another number")

    def _whole(self, ref: int, a: int, b: int, x: float, what: int) -> int:
        """Write a record. Its number."""
        number = self._take()
        at = RING_AT + number % self._slots * RECORD_BYTES
        self._pack(self._map, at, number, monotonic(), ref, a, b, x, what, number)
        return number

    def _short(self, what: int, ref: int) -> int:
        """Write a record that has no more than these. Its number."""
        number = self._take()
        at = RING_AT + number % self._slots * RECORD_BYTES
        self._pack_short(self._map, at, number, monotonic(), ref, what, number)
        return number

    def _place(self, text: str) -> int:
        index = self._words.get(text)
        return self._word(text) if index is None else index

    def still(self, request: Lasting, now: float) -> None:
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
        small = _method(request.head.method) + feed
        self._mentions[known] = self._long(
            STILL, known, request.sent, age, 0.0, small, 0, self._place(request.endpoint), request.status
        )

    def forget_all_but(self, known: set[int]) -> None:
        """Only the requests with these ids are still under way."""
        for gone in [each for each in self._mentions if each not in known]:
            del self._mentions[gone]

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
        first = self._word(word) if word else min(counts[0], _MOST_COUNT)
        return self._long(kind, ref, a, b, x, min(small, 255), first, min(counts[1], _MOST_COUNT), 0)

    def _long(
        self, kind: int, ref: int, a: int, b: int, x: float, small: int, word: int, place: int, status: int
    ) -> int:
        what = kind + (small << SMALL) + (word << WORD) + (place << PLACE) + (min(status, _MOST_STATUS) << STATUS)
        return self._whole(ref, a, b, x, what)

    def _word(self, text: str) -> int:
        index: int | None = self._words.get(text)
        if index is None:
            index = self._ring.word(text)
            if index:
                self._words[text] = index
        return index


class Gathering(Flight):
    """Writes for one thread; between `hold` and `release` some records at a time.

    What is told then is in the ring once `flush` was called, which must be before anything that it tells of leaves the
    process: then an end at any instant finds recorded what others may have seen.

    A batch is copied into the ring in no order that is promised, so its records have negative numbers, and count once
    the number that is COMMITTED has reached them, which is stored afterwards; and what stood where they are going to
    stand does not count from the moment at which they were INTENDED.
    """

    def __init__(self, ring: Ring, numbers: Iterator[int]) -> None:
        super().__init__(ring, numbers)
        self._batches = ring.batches
        self._holds = False
        self._held = BytesWriter()
        self._first = 0  # the number of the first record in it
        self._now = 0.0

    def hold(self, now: float) -> None:
        """From now on keep records back. `now`: by the monotonic clock, when what they tell of happened."""
        self._now = now
        self._holds = True

    def flush(self) -> None:
        """Write what was kept back."""
        size = len(self._held)
        if size:
            data = self._held.getvalue()
            self._held.truncate(0)
            self._commit(data, size)

    def _commit(self, data: bytes, size: int) -> None:
        self._batches[INTENDED] = self._written
        records = size // RECORD_BYTES
        at = self._first % self._slots
        # Other threads may have taken numbers between these, and the ring may begin anew.
        if self._written - self._first + 1 == records and at + records <= self._slots:
            at = RING_AT + at * RECORD_BYTES
            self._map[at : at + size] = data
        else:
            for begin in range(0, size, RECORD_BYTES):
                at = RING_AT + -read_i64_le(data, begin) % self._slots * RECORD_BYTES
                self._map[at : at + RECORD_BYTES] = data[begin : begin + RECORD_BYTES]
        self._batches[COMMITTED] = self._written

    def release(self) -> None:
        """Keep nothing back any longer."""
        self._holds = False
        self.flush()

    def _whole(self, ref: int, a: int, b: int, x: float, what: int) -> int:
        if not self._holds:
            return super()._whole(ref, a, b, x, what)
        number = self._take()
        held = self._held
        if not len(held):
            self._first = number
        write_i64_le(held, -number)
        write_f64_le(held, self._now)
        write_i64_le(held, ref)
        write_i64_le(held, a)
        write_i64_le(held, b)
        write_f64_le(held, x)
        write_i64_le(held, what)
        write_i64_le(held, -number)
        return number

    def _short(self, what: int, ref: int) -> int:
        return self._whole(ref, 0, 0, 0.0, what) if self._holds else super()._short(what, ref)


def _method(name: bytes) -> int:
    index = METHODS.get(name)
    return 0 if index is None else index
