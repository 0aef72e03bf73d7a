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

    def sweep(self, now: float) -> None:
        """Time has passed."""


class Recorder(Protocol):
    """Hears what happens, as it happens (`couchgate.recorder.flight`). It never fails."""

    def accepted(self, *, keepalive: bool) -> int:
        """A client has connected; what `closed` is told then."""

    def closed(self, connection: int) -> None:
        """That client is gone."""

    def head_seen(self, method: bytes, endpoint: str, connection: int) -> None:
        """A request on that connection must wait for its decision."""

    def decided(self, method: bytes, endpoint: str, connection: int, *, feed: bool) -> int:
        """A request goes to CouchDB; what the others are told of it."""

    def upstream(self, record: int) -> None:
        """There is a connection to CouchDB for it."""

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
        """A request is over; `record` is 0 if it was never decided."""
