"""`/_gate/health`: the process answers. `/_gate/ready`: it can do its work, or what is missing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from twisted.internet import defer

from couchgate.endpoints import Answer, Question, only_reading

FRESH_SECONDS = 0.4  # how long a look at CouchDB counts; with its longest, 1.5, readiness is right within two seconds


async def health(question: Question) -> Answer:
    """The process is alive and answers."""
    only_reading(question)
    return Answer(200, {"status": "ok"})


class Readiness:
    """Whether keys are there and CouchDB answers.

    `missing_keys()` names the issuers without keys; `ask_upstream()` gives None or a sentence; `seconds()` is a
    monotonic clock. Many askers share one question to CouchDB.
    """

    def __init__(
        self,
        missing_keys: Callable[[], Sequence[str]],
        ask_upstream: Callable[[], Awaitable[str | None]],
        seconds: Callable[[], float],
    ) -> None:
        self._missing_keys = missing_keys
        self._ask_upstream = ask_upstream
        self._seconds = seconds
        self._asked_at = float("-inf")
        self._problem: str | None = None
        self._waiting: list[defer.Deferred[None]] | None = None
        self.draining = False

    async def __call__(self, question: Question) -> Answer:
        """200 if ready, else 503 with what is missing."""
        only_reading(question)
        if self._seconds() - self._asked_at > FRESH_SECONDS:
            await self._look()
        problems = [f"No usable keys: {name}." for name in self._missing_keys()]
        if self._problem is not None:
            problems.append(self._problem)
        if self.draining:
            problems.append("The gate is shutting down.")
        if problems:
            return Answer(503, {"status": "not ready", "missing": problems})
        return Answer(200, {"status": "ready"})

    async def _look(self) -> None:
        if self._waiting is not None:
            shared: defer.Deferred[None] = defer.Deferred()
            self._waiting.append(shared)
            await shared
            return
        self._waiting = []
        try:
            self._problem = await self._ask_upstream()
        finally:
            self._asked_at = self._seconds()
            waiting, self._waiting = self._waiting, None
            for shared in waiting:
                shared.callback(None)
