"""One reload at a time, counted."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import NamedTuple

from twisted.internet import defer
from twisted.logger import Logger
from twisted.python.failure import Failure


class NotReloadedError(Exception):
    """Nothing was changed, and why: one sentence for a person."""


class Outcome(NamedTuple):
    """How a reload ended. `sentence` says what was changed, or why nothing was."""

    ok: bool
    sentence: str


class Reloads:
    """Runs `act`, which gives the sentence of what it changed or raises NotReloadedError.

    `succeeded` and `failed` count; `last` is when the last one ended, in seconds since the epoch by `wall`, and
    `problem` why nothing was changed then.
    """

    log = Logger()

    def __init__(self, act: Callable[[], Awaitable[str]], wall: Callable[[], float]) -> None:
        self._act = act
        self._wall = wall
        self._waiting: list[defer.Deferred[Outcome]] = []
        self._running: defer.Deferred[None] | None = None
        self.succeeded = 0
        self.failed = 0
        self.last: float | None = None
        self.problem: str | None = None

    def ask(self) -> defer.Deferred[Outcome]:
        """Reload: now, or once more after the one that runs; all who ask meanwhile share that. Never fails."""
        waiter: defer.Deferred[Outcome] = defer.Deferred()
        self._waiting.append(waiter)
        if self._running is None:
            running = self._running = defer.ensureDeferred(self._run())
            running.addBoth(self._ended)
        return waiter

    def stop(self) -> None:
        """Break off the one that runs: what it has made ready is undone."""
        if self._running is not None:
            self._running.cancel()

    async def _run(self) -> None:
        while self._waiting:
            waiters, self._waiting = self._waiting, []
            outcome = await self._once()
            for waiter in waiters:
                waiter.callback(outcome)

    async def _once(self) -> Outcome:
        try:
            outcome = Outcome(ok=True, sentence=await self._act())
        except NotReloadedError as error:
            outcome = Outcome(ok=False, sentence=f"Nothing was changed: {error}")
        except defer.CancelledError:
            outcome = Outcome(ok=False, sentence="Nothing was changed: the gate is shutting down.")
        except Exception:  # noqa: BLE001  # the gate goes on with what it has
            self.log.failure("A reload failed inside the gate")
            outcome = Outcome(ok=False, sentence="The reload failed inside the gate; its log says why.")
        self.last = self._wall()
        if outcome.ok:
            self.succeeded += 1
            self.problem = None
            self.log.info("{sentence}", sentence=outcome.sentence)
        else:
            self.failed += 1
            self.problem = outcome.sentence
            self.log.warn("{sentence}", sentence=outcome.sentence)
        return outcome

    def _ended(self, result: Failure | None) -> None:
        self._running = None
        if result is not None:
            self.log.failure("The reloads failed inside the gate", failure=result)
