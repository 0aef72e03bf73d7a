"""Ctrl-C, and what is like it, interrupts the probe once: a second one must not cost the table of what was seen.

As in the demo the end of a terminal is like Ctrl-C. What was ignored at the start stays ignored.
"""

from __future__ import annotations

import signal
from collections.abc import Callable

_NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")


def interrupt_once() -> None:
    """From now on the first of these signals raises KeyboardInterrupt, and further ones do nothing."""
    _handle(_interrupt)


def ignore() -> None:
    """From now on these signals do nothing, until `interrupt_once` is called again."""
    _handle(_nothing)


def _handle(handler: Callable[[int, object], None]) -> None:
    for name in _NAMES:
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, handler)


def _interrupt(_number: int, _frame: object) -> None:
    ignore()
    raise KeyboardInterrupt


def _nothing(_number: int, _frame: object) -> None:
    pass
