"""The files in `state_dir` by which `couchgate reload` and a running gate talk, on every platform.

The command writes a request that holds nothing but a nonce; the gate takes it by renaming it, so that of two gates
one has it, and writes the outcome under that nonce. Both files appear whole, and what either side reads is bounded
and judged: whoever may write the folder can ask for a reload, and for nothing else. The names come from the path of
the settings, so gates that share a folder but not the settings do not meet.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import stat
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

from couchgate.system import BINARY, NOFOLLOW, NONBLOCK, rename_new

_NONCE = re.compile(r"[0-9a-f]{32}")
_MOST_BYTES = 16384
_MOST_SENTENCE = 4000


class Mailbox:
    """The mailbox in `folder` of the gate whose settings are at `settings`."""

    def __init__(self, folder: Path, settings: Path) -> None:
        name = "reload-" + sha256(os.fsencode(settings.resolve())).hexdigest()[:16]
        self._folder = folder
        self._name = name
        self.request = folder / f"{name}.request"

    def _outcome(self, nonce: str) -> Path:
        return self._folder / f"{self._name}.{nonce}"

    # -- the gate's side

    def take(self) -> str | None:
        """The nonce of a request that waits, which is then gone. None: there is none, or another gate was faster.

        Raises ValueError with one sentence for a request that is none; it is gone, too.
        """
        try:
            if not stat.S_ISREG(os.lstat(self.request).st_mode):
                return None
            taken = self.request.with_suffix(f".{os.getpid()}")
            os.replace(self.request, taken)  # noqa: PTH105  # beside lstat
        except OSError:
            return None
        try:
            data = _read(taken)
        finally:
            with suppress(OSError):  # Windows removes no file that another program reads; the next one replaces it
                taken.unlink()
        nonce = data.decode("ascii", "replace")
        if not _NONCE.fullmatch(nonce):
            raise ValueError(f"{self.request} was no request that couchgate reload writes; it was removed")
        return nonce

    def answer(self, nonce: str, sentence: str, *, ok: bool) -> None:
        """Say how the reload that `nonce` asked for has ended. Raises OSError."""
        value = {"ok": ok, "sentence": sentence[:_MOST_SENTENCE]}
        new = _write(self._outcome(nonce), json.dumps(value).encode())
        os.replace(new, self._outcome(nonce))  # noqa: PTH105  # beside os.open

    def forget(self, nonce: str) -> None:
        """Nobody waits for this outcome any more."""
        with suppress(OSError):
            self._outcome(nonce).unlink()

    def clear(self) -> None:
        """Forget the outcomes that an earlier gate has left."""
        for path in self._folder.glob(f"{self._name}.*"):
            if _NONCE.fullmatch(path.suffix[1:]):
                self.forget(path.suffix[1:])

    # -- the command's side

    def put(self) -> str:
        """Ask for a reload; answers the nonce. Raises FileExistsError while another request waits, and OSError."""
        nonce = secrets.token_hex(16)
        new = _write(self.request, nonce.encode())
        try:
            rename_new(new, self.request)
        finally:
            new.unlink(missing_ok=True)
        return nonce

    def waits(self, nonce: str) -> bool:
        """Whether no gate has taken this request yet."""
        try:
            return _read(self.request) == nonce.encode()
        except OSError:
            return False

    def withdraw(self, nonce: str | None = None) -> None:
        """Take this request back, if it still waits; or any, if no gate looks."""
        if nonce is None or self.waits(nonce):
            with suppress(OSError):
                self.request.unlink()

    def outcome(self, nonce: str) -> tuple[bool, str] | None:
        """How the reload that `nonce` asked for has ended: whether well, and a sentence. None: not yet."""
        try:
            value = json.loads(_read(self._outcome(nonce)))
        except (OSError, ValueError, RecursionError):
            return None
        if not isinstance(value, dict):
            return None
        sentence = str(value.get("sentence"))[:_MOST_SENTENCE]
        self.forget(nonce)
        return value.get("ok") is True, "".join(letter if letter.isprintable() else "?" for letter in sentence)


def _read(path: Path) -> bytes:
    """What is in the regular file `path`; nothing of it if that is too long. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | NOFOLLOW | NONBLOCK | BINARY)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return b""
        data = file.read(_MOST_BYTES + 1)
    return data if len(data) <= _MOST_BYTES else b""


def _write(path: Path, data: bytes) -> Path:
    """A new file beside `path` that holds `data`. Raises OSError."""
    new = path.with_suffix(f".{secrets.token_hex(8)}")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | BINARY, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            if hasattr(os, "fchmod"):
                os.fchmod(descriptor, 0o644)  # root asks and the gate's user reads; the folder is private
    except OSError:
        new.unlink(missing_ok=True)
        raise
    return new
