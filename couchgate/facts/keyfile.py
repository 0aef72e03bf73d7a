"""Keys from a file: PEM, JWKS, or an HMAC secret, read again when the file changes.

The file is looked at every few seconds and whenever a token names an unknown key. It has changed when its inode,
size or times differ, so both a rename over it and a write into it are seen. A file caught half written does not
parse: the last good keys stay, and the next look finds it whole.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Collection
from pathlib import Path

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from zope.interface import implementer

from couchgate.core.keys import KeySet, UnusableKeys
from couchgate.interfaces import IKeySource
from couchgate.system import BINARY, NONBLOCK

MAX_BYTES = 1 << 20
"""No key file is longer; a longer one is refused unread."""


@implementer(IKeySource)
class FileKeys:
    """The keys in the file `path`, for `algorithms`.

    `interval` is the time between two looks at the file, in seconds by `clock`; `wall` is the unix time. One line is
    logged when a problem appears, not one for each look. An attempt is a look
    at a file that has changed, or cannot be read.
    """

    _log = Logger()

    kind = "file"

    def __init__(
        self,
        path: Path,
        algorithms: Collection[str],
        clock: IReactorTime,
        interval: float = 2.0,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.description = str(path)
        self.problem: str | None = None
        self.loaded_at: float | None = None
        self.attempts = 0
        self.failures = 0
        self.changed: Callable[[], None] = _nobody
        self._path = path
        self._algorithms = tuple(algorithms)
        self._interval = interval
        self._wall = wall
        self._current: KeySet | None = None
        self._data: bytes | None = None
        self._seen: tuple[int, ...] | None = None
        self._poll = LoopingCall(self._look)
        self._poll.clock = clock

    def current(self) -> KeySet | None:
        """The last good set."""
        return self._current

    def start(self) -> Deferred[None]:
        """Read the file now; the Deferred has fired already."""
        if not self._poll.running:
            self._poll.start(self._interval, now=True)
        return succeed(None)

    def refresh(self, kid: str | None) -> Deferred[None]:  # noqa: ARG002 - the file answers alike for every kid
        """Look at the file now. Looking is cheap, so there is no cool-down."""
        if self._poll.running:
            self._look()
        return succeed(None)

    def stop(self) -> None:
        """Look no more."""
        if self._poll.running:
            self._poll.stop()

    def _look(self) -> None:
        try:
            # Taken before the reading, so that a write during it shows as a change at the next look.
            found = self._path.stat()
            signature = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
            if signature == self._seen:
                return
            self._seen = signature
            data = read_regular(self._path, MAX_BYTES)
            if data == self._data:
                self._loaded()
                return
            keys = KeySet.parse_file(data, self._algorithms)
        except OSError as error:
            # Forget what was seen: when the file can be read again, it is read whatever its times say.
            self._seen = None
            self._report(f"{self._path} cannot be read: {error.strerror or 'input/output error'}")
        except UnusableKeys as error:
            self._report(f"{self._path}: {error}")
        else:
            self._data, self._current = data, keys
            self._loaded()
            self.changed()

    def _loaded(self) -> None:
        self.attempts += 1
        self.loaded_at = self._wall()
        self.problem = None

    def _report(self, problem: str) -> None:
        self.attempts += 1
        self.failures += 1
        if problem != self.problem:
            kept = "; the keys read before stay in use" if self._current is not None else ""
            self._log.warn("{problem}{kept}", problem=problem, kept=kept)
        self.problem = problem


def read_regular(path: Path, most: int) -> bytes:
    """The bytes of the file, `most` at most.

    Raises OSError, and UnusableKeys for what is no regular file (reading a FIFO would block the gate) or is too long.
    """
    # O_NONBLOCK: opening a FIFO must not wait for its writer.
    descriptor = os.open(path, os.O_RDONLY | NONBLOCK | BINARY)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise UnusableKeys("is not a regular file")
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            data = file.read(most + 1)
    finally:
        os.close(descriptor)
    if len(data) > most:
        raise UnusableKeys(f"is longer than {most} bytes, which no key file is")
    return data


def _nobody() -> None:
    """The `changed` of a source that has no owner yet."""
