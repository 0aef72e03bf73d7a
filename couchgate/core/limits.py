"""The bounds that every face enforces before memory is spent (`[limits]`)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Sizes in bytes, times in seconds. `connections` counts clients, `feeds` open feeds per principal.

    `lasting_feeds`: so many of a page's feeds need not take turns, 0: none needs to (`couchgate.core.turns`).
    `threads` is the most that serve clients of one listener at a time, in the mode threaded.
    """

    head_bytes: int = 32768
    header_count: int = 100
    body_bytes: int = 4294967296
    head_seconds: float = 10.0
    idle_seconds: float = 75.0
    connections: int = 10000
    threads: int = 256
    feeds: int = 100
    lasting_feeds: int = 5
