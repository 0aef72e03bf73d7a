"""The access log: one JSON line per request, never a token, a query or a header's value.

Its own writer, because a line through a general logger costs as much as half a request. Lines are collected and
written once per turn of the loop. A file that cannot be written is reported once and the gate goes on: losing the
log is bad, refusing everybody is worse.

Fields: `time` (RFC 3339, when the head was complete), `id`, `principal`, `peer`, `method`, `endpoint` (class of
target), `status` (0: the client left before any), `verdict` ("forwarded", "refused", or "answered" by the gate itself),
`reason` (a word), `upstream_s` (to the response head; null if CouchDB did not answer), `seconds`, `in` and `out` (body
bytes).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import lru_cache
from time import gmtime, strftime
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:  # a Protocol in its place makes the compiled code slower
    from couchgate.web.request import ClientRequest


@lru_cache(maxsize=4096)
def _quoted(text: str) -> str:
    return json.dumps(text)


@lru_cache(maxsize=64)
def _method(method: bytes) -> str:
    return json.dumps(method.decode("latin-1")[:16])


class AccessLog:
    """Writes to `stream`.

    `later` runs a function in the next turn of the loop, `wall` gives seconds since the epoch, `failed` takes a
    sentence when the log cannot be written.
    """

    def __init__(
        self,
        stream: IO[str],
        later: Callable[[Callable[[], None]], object],
        wall: Callable[[], float],
        failed: Callable[[str], None],
    ) -> None:
        self._stream = stream
        self._later = later
        self._wall = wall
        self._failed = failed
        self._lines: list[str] = []
        self._second = -1  # that `_stamp` is made of: many requests share one
        self._stamp = ""
        self._broken = False

    def __call__(self, request: ClientRequest) -> None:
        """Log a finished request."""
        if not self._lines:
            self._later(self.flush)
        started = request.started
        second = int(started)
        if second != self._second:
            self._second, self._stamp = second, strftime("%Y-%m-%dT%H:%M:%S", gmtime(second))
        upstream = request.upstream_seconds
        code = request.code
        self._lines.append(
            '{"time":"%s.%03dZ","id":"%s","principal":%s,"peer":"%s","method":%s,"endpoint":"%s","status":%d,'
            '"verdict":"%s","reason":"%s","upstream_s":%s,"seconds":%.4f,"in":%d,"out":%d}\n'
            % (
                self._stamp,
                int((started - second) * 1000),
                request.id,
                _quoted(request.principal) if request.principal else "null",
                request.address,
                _method(request.method),
                request.endpoint,
                request.status,
                "refused" if upstream < 0 and request.status >= 400 else "forwarded" if upstream >= 0 else "answered",
                code,
                "%.4f" % upstream if upstream >= 0 else "null",
                self._wall() - started,
                request.received,
                request.sent,
            )
        )

    def flush(self) -> None:
        """Write what was collected."""
        lines, self._lines = self._lines, []
        if not lines:
            return  # they were written before the log was closed
        try:
            self._stream.write("".join(lines))
            self._stream.flush()
            self._broken = False
        except (OSError, ValueError) as error:
            if not self._broken:
                self._broken = True
                self._failed(f"The access log cannot be written: {error}.")
