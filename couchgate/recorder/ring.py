"""A ring's file: made, mapped, locked, and marked at its end. The records are written by `flight`."""

from __future__ import annotations

import json
import mmap
import os
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from zlib import crc32

from couchgate.recorder.records import (
    BATCHES,
    BATCHES_AT,
    END_AT,
    HEAD,
    JSON_AT,
    KEPT,
    KEPT_AT,
    KEPT_COPIES,
    MAGIC,
    RECORD,
    RECORD_BYTES,
    RING_AT,
    WORD_BYTES,
    WORDS,
    WORDS_AT,
    slots_of,
)
from couchgate.system import BINARY, lock

_PIECE = 1 << 20
_MOST_JSON = KEPT_AT - JSON_AT


class Ring:
    """The file at `path`, new, of `size` bytes, for this process alone. Raises OSError if it cannot be had.

    `about` says which process this is. `map` is the file, `slots` how many records there is room for, and
    `batches` the numbers of the last batch.

    The file is written in full before it is mapped: on a disk without room that fails here, in order. A mapped page for
    which there is no room would end the process. Its head is written last, by one call and in one page: a process that
    is ended before it leaves no ring that could be taken for one.
    """

    def __init__(self, path: Path, size: int, about: Mapping[str, Any]) -> None:
        self.slots = slots_of(size)
        self._descriptor = -1
        self._words: dict[str, int] = {}
        self._adding = threading.RLock()  # a garbage collection in here may log a failure, which is recorded
        self._turn = 0
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | BINARY, 0o600)
        try:
            lock(descriptor, wait=True)
            self._fill(descriptor, size, about)
            self.map = mmap.mmap(descriptor, size)
            self.batches = memoryview(self.map)[BATCHES_AT : BATCHES_AT + BATCHES.size].cast("q")
        except BaseException:
            os.close(descriptor)
            path.unlink(missing_ok=True)
            raise
        self._descriptor = descriptor  # its lock says that this process lives

    def _fill(self, descriptor: int, size: int, about: Mapping[str, Any]) -> None:
        text = _json(about)
        sizes = HEAD.pack(MAGIC, RECORD_BYTES, 0, self.slots, len(text), crc32(text), 0)[:-4]
        os.lseek(descriptor, 0, os.SEEK_SET)
        left = memoryview((bytes(JSON_AT) + text).ljust(_PIECE, b"\0"))[: min(size, _PIECE)]
        while left:
            written = os.write(descriptor, left)
            size -= written
            left = left[written:] or memoryview(bytes(min(size, _PIECE)))
        os.lseek(descriptor, 0, os.SEEK_SET)
        os.write(descriptor, sizes + crc32(sizes).to_bytes(4, "little"))

    def word(self, text: str) -> int:
        """The index of `text`, cut to what an entry holds; 0 if there is no room for another word."""
        with self._adding:
            index = self._words.get(text)
            if index is None:
                if len(self._words) + 1 >= WORDS:
                    return 0
                self._words[text] = index = len(self._words) + 1
                data = text.encode("utf-8", "replace")[: WORD_BYTES - 1]
                at = WORDS_AT + index * WORD_BYTES
                self.map[at : at + WORD_BYTES] = (bytes((len(data),)) + data).ljust(WORD_BYTES, b"\0")
            return index

    def keep(self, numbers: Sequence[int]) -> None:
        """Write the records with these numbers, one of each kind of KEPT, once more where they are not overtaken.

        The copy that is older gives way, so one is whole whenever the process is ended.
        """
        self._turn = (self._turn + 1) % KEPT_COPIES
        for place, number in zip(range(len(KEPT)), numbers, strict=True):
            record = RECORD.unpack_from(self.map, RING_AT + number % self.slots * RECORD_BYTES)
            RECORD.pack_into(self.map, KEPT_AT + (place * KEPT_COPIES + self._turn) * RECORD_BYTES, *record)

    def mark(self, end: int) -> None:
        """Say how it ends: one of the ENDs of `records`."""
        self.map[END_AT] = end

    def __del__(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)


def _json(about: Mapping[str, Any]) -> bytes:
    text = json.dumps(about).encode()
    if len(text) <= _MOST_JSON:
        return text
    return json.dumps({key: _cut(value) for key, value in about.items()}).encode()


def _cut(value: Any) -> Any:
    if isinstance(value, list):
        return [_cut(each) for each in value[:12]]
    return value[:100] if isinstance(value, str) else value
