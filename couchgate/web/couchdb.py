"""What a relay needs of CouchDB's side, which is handed in (`couchgate.upstream`)."""

from __future__ import annotations

from typing import Any, Protocol

from twisted.internet import defer


class Upstream(Protocol):
    """A connection to CouchDB, as `couchgate.upstream.connection` has it."""

    def begin(self, exchange: Any, method: bytes, data: bytes, *, complete: bool, keep: bool) -> bool: ...
    def send(self, data: bytes, *, complete: bool = False) -> bool: ...
    def pause(self) -> None: ...
    def resume(self) -> None: ...
    def abandon(self) -> None: ...


class Pool(Protocol):
    """Where connections to CouchDB come from, as `couchgate.upstream.pool` has it."""

    def acquire(self, exchange: Any, *, fresh: bool = False) -> defer.Deferred[None] | None: ...
