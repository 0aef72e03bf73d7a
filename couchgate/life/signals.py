"""What an operator says by signals besides the first SIGTERM, which is Twisted's: SIGHUP, and "now!".

A handler is run between two instructions of whatever the gate does, so it only tells the reactor, as Twisted's own do.
Only the main thread may install handlers; a gate in another thread has none.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any


class Signals:
    """Calls `hung_up` on SIGHUP, where there is that, and `again` on a signal to end that comes after the first.

    SIGHUP also comes when the terminal of a gate in the foreground is closed: then the gate ends, as by Ctrl-C.
    """

    def __init__(self, reactor: Any, hung_up: Callable[[], object], again: Callable[[str], object]) -> None:
        self._reactor = reactor
        self._hung_up = hung_up
        self._again = again
        self._before: dict[int, Any] = {}
        self._terminal = False
        self._trigger: Any = None

    def install(self) -> None:
        """Listen to them until `restore`."""
        self._terminal = sys.__stdin__ is not None and _is_terminal()
        if hasattr(signal, "SIGHUP"):
            self._handle(signal.SIGHUP, self._on_hangup)
        self._trigger = self._reactor.addSystemEventTrigger("before", "shutdown", self._ending)

    def restore(self) -> None:
        """Leave them as they were."""
        trigger, self._trigger = self._trigger, None
        if trigger is not None:
            self._reactor.removeSystemEventTrigger(trigger)
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before.clear()

    def _handle(self, number: int, act: Callable[[int, Any], None]) -> None:
        if threading.current_thread() is threading.main_thread():
            before = signal.signal(number, act)
            self._before[number] = signal.SIG_DFL if before is None else before

    def _on_hangup(self, _number: int, _frame: Any) -> None:
        self._reactor.callFromThread(self._hang_up)

    def _hang_up(self) -> None:
        if self._terminal and not _is_terminal():
            self._terminal = False
            self._reactor.stop()
        else:
            self._hung_up()

    def _ending(self) -> None:
        """The reactor stops. Twisted's handlers would tell it so again, which it takes for a fault."""
        self._trigger = None
        for name in ("SIGINT", "SIGTERM", "SIGBREAK"):
            if hasattr(signal, name):
                self._handle(getattr(signal, name), self._on_impatience)

    def _on_impatience(self, number: int, _frame: Any) -> None:
        self._reactor.callFromThread(self._again, signal.Signals(number).name)


def _is_terminal() -> bool:
    """Whether standard input is a terminal that somebody still sits at."""
    try:
        return os.isatty(0)
    except OSError:
        return False
