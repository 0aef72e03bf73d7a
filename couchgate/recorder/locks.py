"""A lock on an open file that the system releases when its process is gone, however that ends."""

from __future__ import annotations

import os
from contextlib import suppress

_FAR = 1 << 30  # on Windows a locked byte cannot be read by others: so it is one that no ring has


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


def _lock_on_windows(descriptor: int, *, wait: bool) -> bool:
    import msvcrt  # noqa: PLC0415 - only there

    os.lseek(descriptor, _FAR, os.SEEK_SET)
    try:
        msvcrt.locking(descriptor, msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]
    except PermissionError:
        return False
    return True
