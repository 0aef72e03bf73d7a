"""The numbers of a ring's records, in the order in which they are taken."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

_COMPILED = not __file__.endswith(".py")


class Numbers:
    """Gives 1, 2, 3 and so on, each once. For one thread, until it is said that others take some, too.

    `last` is the last one that was given; where threads share them it may be one before. `shared`: any thread may take.

    Where this is compiled, no other thread runs until a number was given, since nothing here gives up the
    interpreter's lock. Else those that are shared are counted by what gives none twice.
    """

    def __init__(self) -> None:
        self.last = 0
        self.shared = _COMPILED
        self._counted: Iterator[int] | None = None

    def share(self) -> None:
        """From now on any thread may take. To be called by the thread that has taken alone until now."""
        if not self.shared:
            self._counted = count(self.last + 1)
            self.shared = True

    def take(self) -> int:
        """The next."""
        if self._counted is None:
            self.last += 1
            return self.last
        self.last = number = next(self._counted)
        return number
