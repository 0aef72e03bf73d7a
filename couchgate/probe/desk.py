"""What the page in the browser is told to do, and what it tells: one task at a time, from one page."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from couchgate.recorder.reading import plain

SILENT_SECONDS = 10
"""A page that was not heard for so long has gone; another may take its place."""

_PIECE_SECONDS = 0.2
_MOST_COUNT = 1 << 53
_MOST_TEXT = 200


class Task(NamedTuple):
    """Sync with the server at `url`, with `token`. `number` tells it from other tasks, `name` is for people."""

    number: int
    name: str
    url: str
    token: str


class Heard(NamedTuple):
    """What the page has told of the present task: answers that it got, requests that failed, its last complaint.

    `refused` of the answers said that this may not be, or that the server has failed.
    """

    answered: int = 0
    refused: int = 0
    failed: int = 0
    complaint: str = ""


class Desk:
    """Between the thread that runs the probe and those that serve the page."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._task: Task | None = None
        self._over = ""
        self._page = ""
        self._running: object = None
        self._last = -float("inf")
        self._heard = Heard()

    def assign(self, task: Task | None) -> None:
        """From now on the page does this; None: it lets go of all."""
        with self._changed:
            self._task = task
            self._heard = Heard()

    def finish(self, text: str) -> None:
        """There is nothing more to do: the page shows `text` and is silent."""
        with self._changed:
            self._task = None
            self._over = text or "The probe is over."

    def heard(self) -> Heard:
        """What was told of the present task."""
        with self._changed:
            return self._heard

    def here(self) -> bool:
        """Whether there is a page."""
        with self._changed:
            return self._is_here()

    def wait(self, seconds: float) -> None:
        """Until the page says something, `seconds` at most."""
        with self._changed:
            self._changed.wait(seconds)

    def wait_for_page(self, seconds: float) -> bool:
        """Whether a page comes within `seconds`, or is here."""
        with self._changed:
            return self._wait_for(self._is_here, seconds)

    def wait_until_idle(self, seconds: float) -> None:
        """Until the page has let go of its task, `seconds` at most."""
        with self._changed:
            self._wait_for(lambda: self._running is None or not self._is_here(), seconds)

    def tell(self, said: Mapping[str, Any]) -> dict[str, Any]:
        """What a page says, whatever it is, and what it is answered."""
        page = said.get("page")
        with self._changed:
            if not isinstance(page, str) or not page or (page != self._page and self._is_here()):
                return {"task": None, "text": "Another page serves the probe already. This one may be closed."}
            self._page, self._last, self._running = page, time.monotonic(), said.get("running")
            if self._task is not None and self._running == self._task.number:
                complaint = said.get("complaint")
                self._heard = Heard(
                    _count(said.get("answered")),
                    _count(said.get("refused")),
                    _count(said.get("failed")),
                    plain(complaint[:_MOST_TEXT]) if isinstance(complaint, str) else "",
                )
            self._changed.notify_all()
            task = None if self._task is None else self._task._asdict()
            return {"task": task, "text": self._over, "over": bool(self._over)}

    def _wait_for(self, condition: Callable[[], bool], seconds: float) -> bool:
        """In short pieces, because on Windows Ctrl-C does not end a wait."""
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() >= deadline:
                return False
            self._changed.wait(_PIECE_SECONDS)
        return True

    def _is_here(self) -> bool:
        return time.monotonic() - self._last < SILENT_SECONDS


def _count(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _MOST_COUNT else 0
