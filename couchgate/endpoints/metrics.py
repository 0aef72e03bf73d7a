"""`/_gate/metrics`: what the gate counts, for Prometheus."""

from __future__ import annotations

from collections.abc import Callable

from couchgate.endpoints import Question, Text, only_reading


class Metrics:
    """`write()` gives the page, `content_type` its type."""

    def __init__(self, write: Callable[[], bytes], content_type: bytes) -> None:
        self._write = write
        self._content_type = content_type

    async def __call__(self, question: Question) -> Text:
        """All metrics."""
        only_reading(question)
        return Text(200, self._content_type, self._write())
