"""The last refusals, for whoever must tell a person why.

Kept in memory and bounded. No token, query, header or document id is in it; the database's name is, because a 403 is
about a database, and whoever may read this administers them.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from couchgate.web.request import ClientRequest

MOST: Final = 500
_LONGEST: Final = 256  # characters of a database name


class Refusal(NamedTuple):
    """One refusal. `time` is when the head was complete, in seconds since the epoch; `principal` may be empty.

    `kind` and `database` are None where no target could be read, `database` also where the target names none.
    `code` is the stable word, `reason` the sentence that the client was told.
    """

    time: float
    id: str
    principal: str
    address: str
    method: str
    endpoint: str
    kind: str | None
    database: str | None
    status: int
    code: str
    reason: str


class Refusals:
    """The last `MOST` refusals of all listeners."""

    def __init__(self) -> None:
        self._ring: deque[Refusal] = deque(maxlen=MOST)

    def add(self, request: ClientRequest) -> None:
        """Remember a refused request."""
        target = request.target
        database = None if target is None else target.database
        self._ring.append(
            Refusal(
                request.started,
                request.id,
                request.principal,
                request.address,
                request.head.method.decode("latin-1")[:16],
                request.endpoint,
                None if target is None else target.kind,
                None if database is None else database[:_LONGEST],
                request.status,
                request.code,
                request.reason,
            )
        )

    def latest(self, limit: int = MOST, *, id: str | None = None, principal: str | None = None) -> list[Refusal]:  # noqa: A002  # as the page's parameter
        """At most `limit`, the newest first; only those of this request `id` or `principal`, if one is given."""
        found: list[Refusal] = []
        for refusal in reversed(self._ring):
            if len(found) >= limit:
                break
            if id in (None, refusal.id) and principal in (None, refusal.principal):
                found.append(refusal)
        return found
