"""Writes the records. What the faces call for each request or connection is here, and compiled in the wheel.

A record is stored in two steps, its last byte by itself, or is one of a batch that counts once all of it is there
(see `records`): whenever the process is ended, each record is the one before, torn, or whole. Nothing here can fail:
every value fits its field by what it is, or is made to.
"""

from __future__ import annotations

from time import monotonic
from typing import Final, Protocol

from librt.strings import BytesWriter, read_i64_le, write_f64_le, write_i64_le

from couchgate.recorder.numbers import Numbers
from couchgate.recorder.records import (
    ACCEPTED,
    CLOSED,
    COMMITTED,
    DECIDED,
    END,
    ENDED,
    ENDS,
    FEED,
    FIRST,
    HEAD_SEEN,
    INTENDED,
    METHODS,
    MOST_HELD,
    OLDEST,
    PLACE,
    RECORD_BYTES,
    RING_AT,
    SMALL,
    STATUS,
    STILL,
    UPSTREAM,
    WORD,
)
from couchgate.recorder.ring import Ring

_MOST_STATUS: Final = 999
_MOST_COUNT: Final = 0xFFFF


class Lasting(Protocol):
    """A request that is still under way, as each face has it. `record` is its id here, 0 before the decision."""

    status: int
    sent: int
    started: float
    record: int
    subject: int


class Flight:
    """Writes into `ring`, each record at once, in any thread.

    `accepted_count` and `ended_count` are connections and requests so far.
    """

    def __init__(self, ring: Ring, numbers: Numbers | None = None) -> None:
        self._ring = ring
        self._map = ring.map
        self._slots: int = ring.slots
        self._now = monotonic
        self._words: dict[str, int] = {}
        self._mentions: dict[int, int] = {}  # by the id of a request that lasts, the number of its last record
        self.numbers = Numbers() if numbers is None else numbers
        self.accepted_count = 0
        self.ended_count = 0

    def gathering(self) -> Gathering:
        """For one thread: writes into the same ring, with the same numbers."""
        return Gathering(self._ring, self.numbers)

    # -- connections of clients

    def accepted(self, *, keepalive: bool = False) -> int:
        """A client has connected; the connection's id."""
        self.accepted_count += 1
        return self._write(ACCEPTED + (1 << SMALL if keepalive else 0), 0, 0, 0, 0.0)

    def closed(self, connection: int) -> None:
        """That connection is gone."""
        self._write(CLOSED, connection, 0, 0, 0.0)

    # -- requests, by plain values: each face has requests of its own, and a look-up in one of any kind costs more

    def subject(self, method: bytes, endpoint: str, *, feed: bool) -> int:
        """What the records of a request are about, as one number: to be had once for each request."""
        index = METHODS.get(method)
        small = (0 if index is None else index) + (FEED if feed else 0)
        return (small << SMALL) + (self._place(endpoint) << PLACE)

    def head_seen(self, subject: int, connection: int) -> int:
        """A request is read, and the decision about it must wait; its id until it is decided."""
        return self._write(HEAD_SEEN + subject, connection, 0, 0, 0.0)

    def decided(self, subject: int, connection: int) -> int:
        """A request goes to CouchDB; its id, for what follows."""
        return self._write(DECIDED + subject, connection, 0, 0, 0.0)

    def upstream(self, record: int) -> None:
        """There is a connection to CouchDB for the request of this id."""
        self._write(UPSTREAM, record, 0, 0, 0.0)

    def ended(
        self, record: int, subject: int, code: str, status: int, sent: int, received: int, upstream_seconds: float
    ) -> None:
        """A request is over. `record` is its id, 0 if it was refused at once; `sent` and `received` are body bytes."""
        self.ended_count += 1
        if not 0 <= status <= _MOST_STATUS:
            status = _MOST_STATUS
        what = ENDED + subject + (self._place(code) << WORD) + (status << STATUS)
        self._write(what, record, sent, received, upstream_seconds)

    def _write(self, what: int, ref: int, a: int, b: int, x: float) -> int:
        """Write a record. Its number."""
        number = self.numbers.take()
        writer = BytesWriter()
        _put(writer, number, self._now(), what, ref, a, b, x)
        lap = number // self._slots
        at = RING_AT + (number - lap * self._slots) * RECORD_BYTES
        end = at + END
        self._map[at:end] = writer.getvalue()
        self._map[end] = (lap & ENDS) + 1
        return number

    def _place(self, text: str) -> int:
        index = self._words.get(text)
        return self._word(text) if index is None else index

    def still(self, request: Lasting, now: float) -> bool:
        """A request is still under way at `now`, seconds since the epoch: write it again before it is overwritten.

        To be called for each such request about once a second. Whether it was written again.
        """
        known = request.record
        last = self._mentions.get(known, known)
        if self.numbers.last - last < self._slots // 4:
            return False
        age = max(int((now - request.started) * 1000), 0)
        what = STILL + request.subject + (min(request.status, _MOST_STATUS) << STATUS)
        self._mentions[known] = self._write(what, known, request.sent, age, 0.0)
        return True

    def mention(self, record: int) -> int:
        """The number of the last record that says that the request of this id is under way."""
        return self._mentions.get(record, record)

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
        second = min(counts[1], _MOST_COUNT)
        what = kind + (min(small, 255) << SMALL) + (first << WORD) + (second << PLACE)
        return self._write(what, ref, a, b, x)

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
    process: then an end at any instant finds recorded what others may have seen. It is also once MOST_HELD numbers
    were given: what a thread writes meanwhile is never far ahead of the rest.

    A batch is copied into the ring in no order that is promised, so its records have negative numbers, and count once
    the number that is COMMITTED has reached them, which is stored afterwards; and what stood where they are going to
    stand does not count from the moment at which they were INTENDED.
    """

    def __init__(self, ring: Ring, numbers: Numbers) -> None:
        super().__init__(ring, numbers)
        self._batches = ring.batches
        self._holds = False
        self._held = BytesWriter()
        self._first = 0  # the number of the first record in it
        self._last = 0
        self._moment = 0.0

    def hold(self, now: float) -> None:
        """From now on keep records back. `now`: by the monotonic clock, when what they tell of happened."""
        self._moment = now
        self._holds = True

    def flush(self) -> None:
        """Write what was kept back."""
        size = len(self._held)
        if size:
            data = self._held.getvalue()
            self._held.truncate(0)
            self._commit(data, size)

    def _commit(self, data: bytes, size: int) -> None:
        first, last, slots = self._first, self._last, self._slots
        self._batches[FIRST] = first
        self._batches[INTENDED] = last
        at = first % slots
        # Other threads may have taken numbers between these, or as many as the ring has, which may begin anew, too.
        together = (last - first + 1) * RECORD_BYTES == size
        overtaken = first <= self.numbers.last - slots + OLDEST
        if together and at * RECORD_BYTES + size <= slots * RECORD_BYTES and not overtaken:
            at = RING_AT + at * RECORD_BYTES
            self._map[at : at + size] = data
        else:
            for begin in range(0, size, RECORD_BYTES):
                number = -read_i64_le(data, begin)
                if number > self.numbers.last - slots + OLDEST:
                    at = RING_AT + number % slots * RECORD_BYTES
                    self._map[at : at + RECORD_BYTES] = data[begin : begin + RECORD_BYTES]
        self._batches[COMMITTED] = last

    def release(self) -> None:
        """Keep nothing back any longer."""
        self._holds = False
        self.flush()

    def _write(self, what: int, ref: int, a: int, b: int, x: float) -> int:
        if not self._holds:
            return super()._write(what, ref, a, b, x)
        number = self.numbers.take()
        held = self._held
        if not len(held):
            self._first = number
        self._last = number
        _put(held, -number, self._moment, what, ref, a, b, x)
        write_i64_le(held, (number // self._slots & ENDS) + 1)
        if number - self._first >= MOST_HELD - 1:
            self.flush()
        return number


def _put(writer: BytesWriter, number: int, moment: float, what: int, ref: int, a: int, b: int, x: float) -> None:
    """All of a record but its end."""
    write_i64_le(writer, number)
    write_f64_le(writer, moment)
    write_i64_le(writer, ref)
    write_i64_le(writer, a)
    write_i64_le(writer, b)
    write_f64_le(writer, x)
    write_i64_le(writer, what)
