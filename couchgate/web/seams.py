"""What a listener calls of others, for which it is handed them."""

from __future__ import annotations

from typing import Protocol

from couchgate.core.principal import Principal


class Feed(Protocol):
    """A `_changes` answer that stays open."""

    principal: Principal  # whose it is
    expires: float  # when it must end, in seconds since the epoch

    def end(self) -> None:
        """End it as soon as it can end well, or cut it after a short while."""

    def make_room(self) -> None:
        """End it now, if it can end well."""

    def sweep(self, now: float) -> None:
        """Time has passed."""
