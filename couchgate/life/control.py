"""How a running gate is told to reload: SIGHUP, and the mailbox that `couchgate reload` writes to."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from twisted.internet import defer, task
from twisted.logger import Logger

from couchgate.life.mailbox import Mailbox
from couchgate.life.reloads import Outcome
from couchgate.life.signals import Signals
from couchgate.settings import Settings

LOOK_SECONDS = 0.5  # between two looks for a request: each is one stat
KEEP_SECONDS = 120.0  # how long an outcome waits for its reader


class Control:
    """Calls `reload` when it is asked for, and `again(name)` on a further signal to end."""

    log = Logger()

    def __init__(
        self,
        settings: Settings,
        reactor: Any,
        reload: Callable[[], defer.Deferred[Outcome]],
        again: Callable[[str], None],
    ) -> None:
        self._reload = reload
        self._signals = Signals(reactor, reload, again)
        self._mailbox = Mailbox(settings.gate.state_dir, settings.path)
        self._answers: deque[tuple[float, str]] = deque()
        self._seconds = reactor.seconds
        self._looking = task.LoopingCall(self._look)
        self._looking.clock = reactor

    def start(self) -> None:
        """Listen."""
        self._signals.install()
        self._mailbox.clear()
        self._looking.start(LOOK_SECONDS, now=False).addErrback(
            lambda reason: self.log.failure("The gate no longer looks for couchgate reload", failure=reason)
        )

    def stop(self) -> None:
        """Listen no more."""
        if self._looking.running:
            self._looking.stop()
        self._signals.restore()

    def _look(self) -> None:
        while self._answers and self._answers[0][0] < self._seconds() - KEEP_SECONDS:
            self._mailbox.forget(self._answers.popleft()[1])
        try:
            nonce = self._mailbox.take()
        except (OSError, ValueError) as error:
            self.log.warn("couchgate reload was not obeyed: {error}", error=error)
            return
        if nonce is not None:
            self._reload().addCallback(lambda outcome: self._answer(nonce, outcome)).addErrback(
                lambda reason: self.log.failure("couchgate reload could not be answered", failure=reason)
            )

    def _answer(self, nonce: str, outcome: Outcome) -> None:
        self._answers.append((self._seconds(), nonce))
        try:
            self._mailbox.answer(nonce, outcome.sentence, ok=outcome.ok)
        except OSError as error:
            self.log.warn("couchgate reload could not be answered: {error}", error=error)
