"""`/_gate/refusals`: the last refusals, and `/_gate/syncs`: replication as people see it. For administrators."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol
from urllib.parse import parse_qsl

from couchgate.core.errors import BadRequest
from couchgate.endpoints import Answer, Question, only_reading

MOST = 500


class Entry(Protocol):
    """A NamedTuple."""

    def _asdict(self) -> dict[str, Any]: ...


class Latest(Protocol):
    """Where refusals are remembered: `couchgate.sight.refusals.Refusals.latest`."""

    def __call__(self, limit: int, *, id: str | None, principal: str | None) -> Sequence[Entry]:  # noqa: A002
        """At most `limit`, the newest first."""


class RefusalsPage:
    """`GET /_gate/refusals?limit=…&id=…&principal=…`: the newest first. Parameters may be left out."""

    def __init__(self, latest: Latest) -> None:
        self._latest = latest

    async def __call__(self, question: Question) -> Answer:
        """Each with the time when the request's head was complete. Raises BadRequest."""
        only_reading(question)
        asked = _parameters(question.query, ("limit", "id", "principal"))
        found = self._latest(_limit(asked), id=asked.get("id"), principal=asked.get("principal"))
        return Answer(200, {"refusals": [_readable(entry._asdict(), "time") for entry in found]})


class SyncsPage:
    """`GET /_gate/syncs?limit=…&state=…&principal=…`. `listeners()` gives each listener's label and its syncs."""

    def __init__(self, listeners: Callable[[], Sequence[tuple[str, Sequence[Entry]]]]) -> None:
        self._listeners = listeners

    async def __call__(self, question: Question) -> Answer:
        """Each sync of each listener, those heard of last first. Raises BadRequest."""
        only_reading(question)
        asked = _parameters(question.query, ("limit", "state", "principal"))
        limit = _limit(asked)
        found = [
            {"listener": name, **_readable(sync._asdict(), "seen")}
            for name, syncs in self._listeners()
            for sync in reversed(syncs)
        ]
        wanted = {name: asked[name] for name in ("state", "principal") if name in asked}
        chosen = [sync for sync in found if all(sync[name] == value for name, value in wanted.items())]
        return Answer(200, {"syncs": chosen[:limit]})


def _parameters(query: bytes, names: tuple[str, ...]) -> dict[str, str]:
    # Bytes that are no UTF-8 become U+FFFD, which nothing that is looked for holds.
    asked = dict(parse_qsl(query.decode("utf-8", "replace"), keep_blank_values=True))
    for name in asked:
        if name not in names:
            raise BadRequest(f"This page takes the parameters {', '.join(names)} only.", code="query")
    return asked


def _limit(asked: dict[str, str]) -> int:
    text = asked.get("limit", str(MOST))
    if not (text.isascii() and text.isdecimal() and len(text) <= 4 and 1 <= int(text) <= MOST):
        raise BadRequest(f"The parameter limit must be a whole number from 1 to {MOST}.", code="query")
    return int(text)


def _readable(entry: dict[str, Any], key: str) -> dict[str, Any]:
    """The entry with its time in RFC 3339."""
    seconds = entry[key]
    if seconds is not None:
        entry[key] = datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return entry
