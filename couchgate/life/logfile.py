"""The access log's stream: opened where the settings say, closed by its owner."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import IO, Any

from couchgate.accesslog import AccessLog


class LogUnusableError(Exception):
    """The access log cannot be written: one sentence for a person."""


class OpenLog:
    """The access log at `where`: "off", "stdout" or a path. Raises LogUnusableError.

    `write` is called with each finished request; None: nothing is logged. `failed(sentence)` hears of trouble later.
    """

    def __init__(self, where: str, reactor: Any, failed: Callable[[str], None]) -> None:
        self._stream: IO[str] | None = None
        self.write: AccessLog | None = None
        if where == "off":
            return
        if where == "stdout":
            stream: Any = sys.__stdout__  # twistd wraps sys.stdout into its own log
        else:
            try:
                stream = self._stream = open(where, "a", encoding="utf-8")  # noqa: PTH123, SIM115  # see `close`
            except OSError as error:
                raise LogUnusableError(
                    f"the access log {where!r} cannot be written: {error.strerror}. "
                    "Name another path in [log] access, or 'off'."
                ) from None
        self.write = AccessLog(stream, lambda flush: reactor.callLater(0, flush), time.time, failed)

    def close(self) -> None:
        """Write the lines of this turn, for which there may be no next one, and let go of the file."""
        if self.write is not None:
            self.write.flush()
        if self._stream is not None:
            with suppress(OSError):  # what could not be written was told before
                self._stream.close()
