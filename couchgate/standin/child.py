"""A child process that ends with its parent.

The parent holds the child's standard input open; the child ends, in order, when it is closed. So closing it is how a
child is stopped, on every system, and a parent that is killed takes its children along. A child is in a session of
its own: Ctrl-C in a terminal reaches the parent alone, which then ends its children one by one.
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from couchgate.system import children_apart

TAIL_BYTES = 4096


class Child:
    """A running program: `name` for people; `log`, the file that holds all it wrote; `process`."""

    def __init__(
        self, name: str, command: Sequence[str], log: Path, *, cwd: Path, env: Mapping[str, str] | None = None
    ) -> None:
        """Start `command` in `cwd`; raises OSError when it cannot be started."""
        self.name = name
        self.log = log
        with log.open("wb") as output:
            self.process = subprocess.Popen(  # noqa: S603 (commands of this package)
                command,
                cwd=cwd,
                env=env,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                creationflags=children_apart(),
            )

    def ended(self) -> bool:
        """Whether it has ended, by itself or not."""
        return self.process.poll() is not None

    def is_stopped(self) -> bool:
        """Whether `stop` was called."""
        return self.process.stdin is not None and self.process.stdin.closed

    def written(self) -> str:
        """The end of what it wrote, up to 4 KiB."""
        return self.log.read_bytes()[-TAIL_BYTES:].decode("utf-8", "replace")

    def stop(self, seconds: float = 10) -> None:
        """End it: in order, and by force when that takes more than `seconds`."""
        if self.process.stdin is not None:
            self.process.stdin.close()
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
