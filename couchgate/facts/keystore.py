"""The last good key sets on disk, so that a restart while an issuer is down opens the door.

- One file for each set, named by a hash of what the set is for: changed settings never find another's file. The file is
  one line of JSON, `{"loaded_at": UNIX SECONDS}`, and then the JWK set as it came. Secrets never come by URL, so there
  are none in it; the folder is the gate's own all the same (0700, files 0600).
- Written beside, synced, then renamed: a reader sees the old file or the new one, and a crash leaves either. Writing
  is done by `run`, one file at a time, and the newest only; a disk that is full or slow costs nobody an answer.
- What is read is judged as strictly as what comes from a server. A file that is not right is reported, and ignored.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import get_ident

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from couchgate.core.keys import UnusableKeys
from couchgate.core.strict import json_object
from couchgate.facts.jwks import MAX_BYTES
from couchgate.facts.keyfile import read_regular
from couchgate.facts.keyurl import LoadedSet
from couchgate.system import BINARY, NOFOLLOW, replace

_HEADER = 200  # bytes that the first line may have
_LATEST = 1e11  # unix seconds; NaN and infinity are no JSON here
_OURS = re.compile(r"[0-9a-f]{64}\.(jwks|[0-9]+\.new)")
_KEPT_SECONDS = {"jwks": 8 * 86400.0, "new": 3600.0}  # then nobody can want them: `stale_seconds` ends at 7 days


class KeyStore:
    """The key sets in `folder`, which is made when the first set comes.

    `run` calls what it is given in a place that may block, such as a thread, and answers with its result.
    """

    _log = Logger()

    def __init__(self, folder: Path, run: Callable[[Callable[[], None]], Deferred[None]]) -> None:
        self._folder = folder
        self._run = run
        self._waiting: dict[Path, LoadedSet] = {}
        self._writing: Deferred[None] | None = None
        self._reported: str | None = None

    def shelf(self, *what: str) -> KeyShelf:
        """The place of the set that `what` describes: everything that makes it another set if it changes."""
        digest = hashlib.sha256(json.dumps(what).encode()).hexdigest()
        return KeyShelf(self, self._folder / f"{digest}.jwks")

    def read(self, path: Path) -> LoadedSet | None:
        """The set in the file `path`, or None. Never raises."""
        try:
            return _parsed(read_regular(path, MAX_BYTES + _HEADER))
        except FileNotFoundError:
            return None
        except OSError as error:
            problem = error.strerror or "input/output error"
        except (UnusableKeys, ValueError) as error:
            problem = str(error)
        self._log.warn("the kept keys in {path} cannot be used: {problem}", path=str(path), problem=problem)
        return None

    def write(self, path: Path, loaded: LoadedSet) -> None:
        """Keep `loaded` in the file `path`, soon. Never raises; says once that it cannot be done."""
        self._waiting[path] = loaded
        if self._writing is None:
            self._next()

    def _next(self) -> None:
        path = next(iter(self._waiting))
        loaded = self._waiting.pop(path)
        # Without a timeout: nothing can end a thread that waits for a disk, and nobody waits for this one.
        self._writing = writing = self._run(lambda: _write(path, loaded))
        writing.addCallbacks(self._written, self._failed)
        writing.addCallback(self._ended)

    def _written(self, _result: None) -> None:
        self._reported = None

    def _failed(self, failure: Failure) -> None:
        error = failure.value
        reason = (error.strerror if isinstance(error, OSError) else None) or type(error).__name__
        if reason != self._reported:
            self._log.warn(
                "keys cannot be kept in {folder}: {reason}. The gate goes on, but a restart while an issuer is down "
                "would find no keys, or older ones; make room there, or let the gate's user write to it.",
                folder=str(self._folder),
                reason=reason,
            )
        self._reported = reason

    def _ended(self, _result: None) -> None:
        self._writing = None
        if self._waiting:
            self._next()


class KeyShelf:
    """The place of one set in a `KeyStore`."""

    def __init__(self, store: KeyStore, path: Path) -> None:
        self._store = store
        self._path = path

    def read(self) -> LoadedSet | None:
        """What was written last, or None; to be judged anew."""
        return self._store.read(self._path)

    def write(self, loaded: LoadedSet) -> None:
        """Keep `loaded` in place of what was there."""
        self._store.write(self._path, loaded)


def _parsed(data: bytes) -> LoadedSet:
    """Raises ValueError."""
    header, _, body = data.partition(b"\n")
    loaded_at = json_object(header).get("loaded_at")
    if isinstance(loaded_at, bool) or not isinstance(loaded_at, int | float) or not 0 <= loaded_at < _LATEST:
        raise ValueError("it does not say when the keys were loaded")
    return LoadedSet(body, float(loaded_at))


def _write(path: Path, loaded: LoadedSet) -> None:
    """Raises OSError; then the old file is there as before."""
    path.parent.mkdir(mode=0o700, exist_ok=True)
    _tidy(path.parent)
    # Several gates may share a folder, so each writes beside in a file of its own, and each of its threads, too.
    beside = path.with_suffix(f".{os.getpid()}{get_ident()}.new")
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | BINARY | NOFOLLOW
        with os.fdopen(os.open(beside, flags, 0o600), "wb") as file:
            file.write(json.dumps({"loaded_at": loaded.loaded_at}).encode() + b"\n" + loaded.body)
            file.flush()
            os.fsync(file.fileno())
        # The folder is not synced: if the power fails now, the old set comes back, and its age says what it is worth.
        replace(beside, path)
    except OSError:
        with suppress(OSError):
            beside.unlink()
        raise


def _tidy(folder: Path) -> None:
    """Remove what settings of long ago and gates that were killed have left."""
    now = time.time()
    for path in folder.iterdir():
        match = _OURS.fullmatch(path.name)
        if match is not None:
            with suppress(OSError):
                if now - path.stat().st_mtime > _KEPT_SECONDS[match[1].rpartition(".")[2]]:
                    path.unlink()
