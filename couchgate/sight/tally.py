"""What one listener counts: plain numbers, so that a request pays for a few additions and nothing else.

`Tally.count` is on the way of every request and compiled in the wheel. No object of a metrics library is touched
there: `couchgate.sight.exposition` reads these numbers when somebody asks for them.

Labels are bounded here: methods outside the known ones are one ("other"), kinds and codes are words of the gate's
own, a status has three digits. No client can make a new series.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, NamedTuple

from couchgate.core.target import Target
from couchgate.sight.refusals import Refusals
from couchgate.sight.syncs import REPLICATION, Syncs

if TYPE_CHECKING:
    from couchgate.web.request import ClientRequest

# Seconds. Its type is written, or each use in compiled code would make the tuple anew.
BOUNDS: Final[tuple[float, ...]] = (
    *(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0),
)
_METHODS: Final = frozenset((b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"COPY", b"OPTIONS"))


class Counted(NamedTuple):
    """What distinguishes one kind of request from another. `kind` is "none" where no target could be read.

    `forwarded`: CouchDB answered. `status` is 0 where the client left before any.
    """

    method: bytes
    kind: str
    forwarded: bool
    status: int

    @property
    def verdict(self) -> str:
        """As in the access log: "forwarded", "refused", or "answered" by the gate itself."""
        return "forwarded" if self.forwarded else "refused" if self.status >= 400 else "answered"


class Tally:
    """The numbers of one listener, from its first request on.

    `refusals` is where refused requests are remembered; `wall` gives seconds since the epoch.

    `requests` are by `Counted`, as plain tuples. `plain`, `feeds` (of whole requests) and `upstream` (to the head of
    CouchDB's answer, without feeds) are histograms by `BOUNDS`, the last bucket above all bounds; each has its sum of
    seconds. `refused` and `interrupted` (forwarded, and not finished as CouchDB meant it) are by code.
    """

    def __init__(self, refusals: Refusals, wall: Callable[[], float]) -> None:
        self._refusals = refusals
        self._wall = wall
        self.syncs = Syncs()
        self.requests: dict[tuple[bytes, str, bool, int], int] = {}
        self.plain = [0] * (len(BOUNDS) + 1)
        self.plain_seconds = 0.0
        self.feeds = [0] * (len(BOUNDS) + 1)
        self.feeds_seconds = 0.0
        self.upstream = [0] * (len(BOUNDS) + 1)
        self.upstream_seconds = 0.0
        self.received = 0
        self.sent = 0
        self.refused: dict[str, int] = {}
        self.interrupted: dict[str, int] = {}

    def count(self, request: ClientRequest) -> None:
        """Count a request that is over."""
        target = request.target
        status = request.status
        upstream = request.upstream_seconds
        forwarded = upstream >= 0.0
        method = request.head.method
        if method not in _METHODS:
            method = b"other"
        now = self._wall()
        seconds = now - request.started
        if seconds < 0.0:  # noqa: PLR1730  # max() costs four times as much
            seconds = 0.0  # the clock was set back
        key = (method, "none" if target is None else target.kind, forwarded, status)
        try:
            self.requests[key] += 1
        except KeyError:
            self.requests[key] = 1
        if target is not None and target.feed:
            self.feeds[bisect_left(BOUNDS, seconds)] += 1
            self.feeds_seconds += seconds
        else:
            self.plain[bisect_left(BOUNDS, seconds)] += 1
            self.plain_seconds += seconds
            if forwarded:
                self.upstream[bisect_left(BOUNDS, upstream)] += 1
                self.upstream_seconds += upstream
        if request.received:
            self.received += request.received
        self.sent += request.sent
        if forwarded:
            code = request.code
            if code != "forwarded":
                self.interrupted[code] = self.interrupted.get(code, 0) + 1
        elif status >= 400:
            self._refuse(request)
        if request.endpoint in REPLICATION and target is not None:
            self._follow(request, target, now)

    def _refuse(self, request: ClientRequest) -> None:
        code = request.code
        if code == "own":
            return  # a page of the gate's that says no, as readiness does
        self.refused[code] = self.refused.get(code, 0) + 1
        self._refusals.add(request)

    def _follow(self, request: ClientRequest, target: Target, now: float) -> None:
        if target.database is not None:
            self.syncs.saw(
                principal=request.principal,
                address=request.address,
                database=target.database,
                endpoint=request.endpoint,
                reading=request.head.method in (b"GET", b"HEAD"),
                status=request.status,
                code=request.code,
                now=now,
            )
