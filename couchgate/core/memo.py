"""A bounded memory of pure results.

Two generations of a plain dict: when the young one is full it becomes the old one and the old one is forgotten. That
keeps what is in use, as an LRU would, at the price of one dict look-up on a hit. Only results that depend on nothing
but the key may be kept, so forgetting one never changes an answer.
"""

from __future__ import annotations

from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Memo(dict[K, "V | None"], Generic[K, V]):
    """At most `2 * size` results by key: `memo[key]` is the result, or None. A stored result is never None.

    It is the young generation itself, so that a hit is one look-up in C.
    """

    __slots__ = ("_old", "_size")

    def __init__(self, size: int) -> None:
        super().__init__()
        self._size = size
        self._old: dict[K, V | None] = {}

    def __missing__(self, key: K) -> V | None:
        value = self._old.get(key)
        if value is not None:
            self.put(key, value)
        return value

    @property
    def kept(self) -> int:
        """How many results are there now. It takes time: not for the way of a request."""
        return len(self.keys() | self._old.keys())

    def forget(self) -> None:
        """Keep nothing of what is there now."""
        self.clear()
        self._old = {}

    def put(self, key: K, value: V) -> None:
        """Keep `value` under `key`."""
        if len(self) >= self._size:
            self._old = dict(self)
            self.clear()
        self[key] = value
