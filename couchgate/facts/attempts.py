"""How often somebody may try: a token bucket for each key, in memory of a fixed size."""

from __future__ import annotations

from array import array
from hashlib import blake2b


class Attempts:
    """`burst` attempts at once for each key, and one more every `seconds`.

    A bucket is one number, the time at which it will be full again (the generic cell rate algorithm). Keys share
    `size` buckets by a hash under `secret`: memory is bounded whatever keys are tried, nobody can empty the bucket of
    another on purpose, and those who meet in one share its attempts. Times are seconds of one monotonic clock.
    """

    def __init__(self, burst: int, seconds: float, secret: bytes, size: int = 8192) -> None:
        self._seconds = seconds
        self._most = (burst - 1) * seconds
        self._secret = secret
        self._full_at = array("d", bytes(8 * size))

    def bucket(self, key: bytes) -> int:
        """The bucket of `key`, for the other methods."""
        digest = blake2b(key, digest_size=8, key=self._secret).digest()
        return int.from_bytes(digest, "big") % len(self._full_at)

    def wait(self, bucket: int, now: float) -> float:
        """How many seconds until there is an attempt; 0 or less: there is one."""
        return self._full_at[bucket] - now - self._most

    def take(self, bucket: int, now: float) -> None:
        """Use one attempt, which `wait` said was there."""
        self._full_at[bucket] = max(self._full_at[bucket], now) + self._seconds

    def give_back(self, bucket: int) -> None:
        """It was no failure: the attempt did not count."""
        self._full_at[bucket] -= self._seconds
