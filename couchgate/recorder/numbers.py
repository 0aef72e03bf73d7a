"""The numbers of a ring's records, in the order in which they are taken."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

_COMPILED = not __file__.endswith(".py")


class Numbers:
    """Gives 1, 2, 3 and so on, each once, to any thread. `last` was given lately; other threads may have later ones.

    Where this is compiled, no other thread runs until a number was given, since nothing here gives up the
    interpreter's lock. Else they are counted by what gives none twice, which takes longer.
    """

    def __init__(self) -> None:
        self.last = 0
        self._counted: Iterator[int] | None = None if _COMPILED else count(1)

    def take(self) -> int:
        """The next."""
        if self._counted is None:
            self.last += 1
            return self.last
        self.last = number = next(self._counted)
        return number
