"""A lock on an open file that the system releases when its process is gone, however that ends."""

from __future__ import annotations

import os
import time
from contextlib import suppress

_FAR = 1 << 30  # on Windows a locked byte cannot be read by others: so it is one that no ring has
_TRIES = 3  # there a lock is never shared: who else asks has it for a moment
_PAUSE = 0.02


def lock(descriptor: int, *, wait: bool) -> bool:
    """Lock the file for as long as it is open; False if another process has it. Raises OSError where that cannot be.

    `wait`: for who has it for a moment.
    """
    try:
        import fcntl  # noqa: PLC0415 - not on Windows
    except ImportError:
        return _lock_on_windows(descriptor, wait=wait)
    with suppress(BlockingIOError):
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        return True
    return False


def held(descriptor: int) -> bool:
    """Whether another process has locked the file. Who asks is in nobody's way who asks, too."""
    try:
        import fcntl  # noqa: PLC0415 - not on Windows
    except ImportError:
        for _ in range(_TRIES):
            if _lock_on_windows(descriptor, wait=False):
                return False
            time.sleep(_PAUSE)
        return True
    with suppress(BlockingIOError):
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return False
    return True


def _lock_on_windows(descriptor: int, *, wait: bool) -> bool:
    import msvcrt  # noqa: PLC0415 - only there

    os.lseek(descriptor, _FAR, os.SEEK_SET)
    try:
        msvcrt.locking(descriptor, msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]
    except PermissionError:
        return False
    return True
