"""Files that the settings name: read with a bound, and never a traceback for what the disk says.

A secret file is the secret less one trailing newline. One that others on the machine may read, or change, is a
warning and not an error: a container's mounts often cannot do better, and the operator should know all the same.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from couchgate.settings.model import SettingsError
from couchgate.settings.reader import Table
from couchgate.system import WINDOWS

MOST_BYTES = 1 << 20
_MARKS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")


def read_bounded(path: Path) -> tuple[bytes, int]:
    """At most 1 MiB and one byte of `path`, and the file's mode; OSError as the system raises it."""
    with path.open("rb") as file:
        return file.read(MOST_BYTES + 1), os.fstat(file.fileno()).st_mode


def refusal(error: OSError) -> str:
    """Why a file could not be read, as the end of a sentence."""
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return "which does not exist"
    folder = isinstance(error, PermissionError) and error.filename is not None and Path(error.filename).is_dir()
    if isinstance(error, IsADirectoryError) or folder:  # Windows calls it a lack of permission
        return "which is a folder, not a file"
    if isinstance(error, PermissionError):
        return "which the gate's user may not read"
    return f"which cannot be read ({error.strerror})"


def read_file(table: Table, key: str, path: Path, *, secret: bool) -> bytes:
    """The content of the file that `key` names. `secret`: others who may read it are a warning, too."""
    try:
        data, mode = read_bounded(path)
    except OSError as error:
        raise table.error(key, f"names {path}, {refusal(error)}; it must name a file that can be read") from error
    if len(data) > MOST_BYTES:
        raise table.error(key, f"names {path}, which is larger than {MOST_BYTES} bytes; that is no key or secret")
    if not WINDOWS:  # where the mode tells nothing of who may read it
        _warn_of_mode(table, key, path, mode, secret=secret)
    return data


def read_secret(table: Table, key: str) -> bytes:
    """The secret in the file that `key` names: not empty, and less one trailing newline."""
    path = table.document.resolve(table.text(key))
    secret = read_file(table, key, path, secret=True)
    if secret.startswith(_MARKS):
        table.warn(
            key, f"names {path}, which begins with a byte order mark, as PowerShell writes it; it counts as secret, too"
        )
    secret = secret.removesuffix(b"\r\n") if secret.endswith(b"\r\n") else secret.removesuffix(b"\n")
    if not secret:
        raise table.error(key, f"names {path}, which is empty; it must hold the secret on one line")
    return secret


def read_password(table: Table, key: str) -> str:
    """The password in the file that `key` names: UTF-8, without control characters."""
    try:
        password = read_secret(table, key).decode()
    except UnicodeDecodeError as error:
        # Without the cause: a UnicodeDecodeError carries the bytes that it could not read.
        reason = f"names a file that is not UTF-8 at byte {error.start}; it must hold a password on one line"
        raise _without_cause(table.error(key, reason)) from None
    if any(letter < " " or letter == "\x7f" for letter in password):
        raise table.error(key, "names a file with more than one line; it must hold a password on one line")
    return password


def _warn_of_mode(table: Table, key: str, path: Path, mode: int, *, secret: bool) -> None:
    if secret and mode & stat.S_IROTH:
        table.warn(key, f"names {path}, which every user of this machine may read; make it private (chmod 600)")
    elif mode & (stat.S_IWOTH | stat.S_IWGRP if secret else stat.S_IWOTH):
        table.warn(key, f"names {path}, which other users of this machine may change; take that away (chmod go-w)")


def _without_cause(error: SettingsError) -> SettingsError:
    error.__suppress_context__ = True
    return error
