"""Tells a person how far the probe is: one line that is rewritten in a terminal, else a line now and then."""

from __future__ import annotations

import shutil
import time
from typing import TextIO

EVERY_SECONDS = 10.0


class Progress:
    """Writes to `stream`. What it says twice in a row is said once."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._terminal = stream.isatty()
        self._shown = ""
        self._about = ""
        self._last = -float("inf")

    def show(self, about: str, text: str) -> None:
        """The present state of what is done now (`about`)."""
        if self._terminal:
            line = f"{about}: {text}"[: max(shutil.get_terminal_size().columns - 1, 20)]
            if line != self._shown:
                self._write(f"\r{line.ljust(len(self._shown))}")
                self._shown = line
            return
        now = time.monotonic()
        if about != self._about or now - self._last >= EVERY_SECONDS:
            self._about, self._last = about, now
            self._write(f"{about}: {text}\n")

    def say(self, text: str) -> None:
        """A line that stays."""
        if self._shown:
            self._write("\r" + " " * len(self._shown) + "\r")
            self._shown = ""
        self._write(f"{text}\n")

    def _write(self, text: str) -> None:
        encoding = self._stream.encoding or "utf-8"
        self._stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
        self._stream.flush()
