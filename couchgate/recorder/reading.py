"""Reads the bytes of a ring. Whatever they are, the result is what can be told, or one sentence why nothing can."""

from __future__ import annotations

import json
import math
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple
from zlib import crc32

from couchgate.recorder.records import (
    BATCHES,
    BATCHES_AT,
    BEAT,
    END_AT,
    END_EXITED,
    END_OPEN,
    END_ORDERLY,
    ENDS,
    HEAD,
    JSON_AT,
    KEPT,
    KEPT_AT,
    KEPT_COPIES,
    KINDS,
    LEAST_BYTES,
    MAGIC,
    MOST_BYTES,
    OLDEST,
    RECORD,
    RECORD_BYTES,
    RING_AT,
    WORD_BYTES,
    WORDS,
    WORDS_AT,
    slots_of,
)

_LONGEST = 1e11  # seconds; no clock is beyond


class UnreadableRingError(Exception):
    """These bytes are no ring that can be read: one sentence for a person."""


class UnfinishedRingError(UnreadableRingError):
    """This ring is in the making; or its process was ended before it had recorded anything."""


class Record(NamedTuple):
    """One record; `records` tells what its members mean by `kind`. `moment` is of the monotonic clock, in seconds."""

    number: int
    moment: float
    ref: int
    a: int
    b: int
    x: float
    kind: int
    small: int
    word: int
    place: int
    status: int


@dataclass(frozen=True, slots=True)
class Recording:
    """All that a ring tells. `records` are whole ones, in order; `torn` were skipped because they are not.

    `missing` have a number that was given, and no trace: a thread was about to write them, or a disk lost them.
    `earlier` are the last BEAT and LINKS, where the ring has overtaken them. `end` is one of the ENDs. `about` is what
    the process said of itself, and may lack anything; `words` are by index.
    """

    about: Mapping[str, Any]
    words: Sequence[str]
    records: Sequence[Record]
    torn: int
    end: int
    size: int
    slots: int
    missing: int = 0
    earlier: Sequence[Record] = ()

    def word(self, index: int) -> str:
        """The word with this index; "?" where none is known."""
        return (self.words[index] if 0 < index < len(self.words) else "") or "?"

    def number_of(self, key: str) -> float:
        """A number that the process said of itself; 0 where it is none."""
        value = self.about.get(key)
        good = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        return float(value) if good and value is not None and 0 <= value <= _LONGEST else 0.0

    def text_of(self, key: str) -> str:
        """A text that the process said of itself, on one line; empty where it is none."""
        value = self.about.get(key)
        return plain(value) if isinstance(value, str) else ""

    @property
    def started(self) -> float:
        """When it started, in seconds since the epoch; 0 where that cannot be told."""
        return self.number_of("wall")


def plain(text: str) -> str:
    """A text that can be printed anywhere: what is not printable is escaped."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)


def read(data: bytes) -> Recording:
    """What the bytes of a ring's file tell. Raises UnreadableRingError."""
    head = read_head(data, len(data))
    records, torn = _records(data, head.slots)
    newest = records[-1].number if records else 0
    first = records[0].number if records else 0
    told = min(newest, head.slots - OLDEST)  # so many are to be there, from the newest back
    known = sum((newest - slot) % head.slots < told for slot in torn)  # others were to hold what comes next
    missing = max(told - len(records) - known, 0)
    earlier = [each for each in _kept(data, head.slots) if each.number < first]
    return replace(head, records=records, torn=len(torn), missing=missing, earlier=earlier)


def read_head(data: bytes, size: int) -> Recording:
    """What the first RING_AT bytes of a ring's file of `size` bytes tell: all but the records. Raises as `read`."""
    slots = _slots(data, size)
    _, _, _, _, length, check, _ = HEAD.unpack_from(data)
    text = data[JSON_AT : JSON_AT + length] if JSON_AT + length <= KEPT_AT else b""
    end = data[END_AT] if data[END_AT] in (END_ORDERLY, END_EXITED) else END_OPEN
    return Recording(_about(text, check), _words(data), (), 0, end, size, slots)


def _slots(data: bytes, size: int) -> int:
    if not any(data[: HEAD.size]):
        raise UnfinishedRingError("it is not finished: its process makes it now, or was ended meanwhile")
    if not RING_AT < size <= MOST_BYTES or len(data) < RING_AT:
        raise UnreadableRingError(f"it has {size} bytes, and a ring has {LEAST_BYTES} to {MOST_BYTES}")
    magic, record_bytes, _, slots, _, _, check = HEAD.unpack_from(data)
    if magic != MAGIC or record_bytes != RECORD_BYTES or crc32(data[: HEAD.size - 4]) != check:
        raise UnreadableRingError("it does not begin as a ring of this version does")
    if not 0 < slots <= slots_of(MOST_BYTES):
        raise UnreadableRingError("its head says that it has a size that no ring has")
    return int(slots)


def _records(data: bytes, slots: int) -> tuple[list[Record], list[int]]:
    """The whole records in order, and the slots of the torn ones."""
    found, torn = [], []
    there = min((len(data) - RING_AT) // RECORD_BYTES, slots)  # fewer, where the file was cut off: those are missing
    ring = memoryview(data)[RING_AT : RING_AT + there * RECORD_BYTES]
    intended, committed, first = BATCHES.unpack_from(data, BATCHES_AT)
    cut = intended != committed  # a batch was being copied
    begun = range(max(first, intended - slots + 1), intended + 1) if cut else range(0)
    unsure = {number % slots for number in begun}
    for slot, (*values, end) in enumerate(RECORD.iter_unpack(ring)):
        record = _whole(values, end, committed, slots)
        if record is not None and record.number % slots == slot and (slot not in unsure or record.number in begun):
            found.append(record)
        elif values[0] or end:
            torn.append(slot)
    found.sort()
    # What is older was to give way to one that is missing; and some of the rest may have begun to.
    overtaken = found[-1].number - slots + OLDEST if found else 0
    return found[bisect_right(found, (overtaken, math.inf)) :], torn


def _whole(values: Sequence[Any], end: int, committed: int, slots: int) -> Record | None:
    number, moment, kind, x = values[0], values[1], values[6], values[5]
    if end != (abs(number) // slots & ENDS) + 1 or not number or -number > committed:
        return None
    if kind in KINDS and 0 <= moment <= _LONGEST and abs(x) <= _LONGEST:
        return Record(abs(number), *values[1:])
    return None


def _kept(data: bytes, slots: int) -> Iterator[Record]:
    """The newest whole copy of each record that is kept."""
    for place, kind in enumerate(KEPT):
        at = KEPT_AT + place * KEPT_COPIES * RECORD_BYTES
        copies = RECORD.iter_unpack(data[at : at + KEPT_COPIES * RECORD_BYTES])
        whole = [each for *values, end in copies if (each := _whole(values, end, 0, slots)) and each.kind == kind]
        if whole:
            yield max(whole)


def _about(text: bytes, check: int) -> Mapping[str, Any]:
    try:
        about = json.loads(text) if crc32(text) == check else None
    except (ValueError, RecursionError):
        about = None
    return about if isinstance(about, dict) else {}


def _words(data: bytes) -> list[str]:
    words = []
    for index in range(WORDS):
        at = WORDS_AT + index * WORD_BYTES
        length = data[at]
        words.append(plain(data[at + 1 : at + 1 + min(length, WORD_BYTES - 1)].decode("utf-8", "replace")))
    return words


def walls(recording: Recording) -> list[float]:
    """For each record the time of the wall clock, in seconds since the epoch, as far as it is known."""
    beats = [each for each in (*recording.earlier, *recording.records) if each.kind == BEAT and each.x > 0]
    offset = recording.started - recording.number_of("monotonic")
    if beats and recording.records[0].number > 1:
        offset = beats[0].x - beats[0].moment  # nearer than the start: the clock was set, or the machine has slept
    times: list[float] = []
    for record in recording.records:
        if record.kind == BEAT and record.x > 0:
            offset = record.x - record.moment
        times.append(max(record.moment + offset, 0.0))
    return times
