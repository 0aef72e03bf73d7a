"""The folder of rings: which run is which, which still lives, and which rings are kept.

A ring is `run-ID.ring`, one for each process. What is found at a start: rings of runs that ended in order are removed,
except the newest; others are renamed to `unclean-ID.ring`, and the newest of these are kept as evidence. Which process
lives is told by the lock on its ring: its id may be another's by now.
"""

from __future__ import annotations

import os
import secrets
import stat
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from couchgate.recorder.process import about_process
from couchgate.recorder.reading import Recording, UnfinishedRingError, UnreadableRingError, read, read_head
from couchgate.recorder.records import END_EXITED, END_OPEN, END_ORDERLY, MOST_BYTES, RING_AT
from couchgate.recorder.ring import Ring
from couchgate.system import BINARY, NONBLOCK, held, replace

KEPT_UNCLEAN = 5
_NEW = "run-"
_UNCLEAN = "unclean-"
_MOST_FILES = 200
_MAKING_SECONDS = 60  # a ring is made within much less


@dataclass(frozen=True, slots=True)
class Run:
    """One ring on disk. `alive`: its process is there."""

    path: Path
    recording: Recording
    alive: bool

    @property
    def orderly(self) -> bool:
        """Whether the gate was stopped in order."""
        return self.recording.end == END_ORDERLY

    @property
    def state(self) -> str:
        """How it is or ended, in a few words."""
        if self.alive:
            return "still running"
        how = {END_ORDERLY: "stopped in order", END_EXITED: "ended by itself, without a stop"}
        return how.get(self.recording.end, "ended from outside or at once")

    @property
    def id(self) -> str:
        """What a person calls it."""
        return self.path.stem.removeprefix(_NEW).removeprefix(_UNCLEAN)


def folder_of(state_dir: Path) -> Path:
    """Where the rings are."""
    return state_dir / "recorder"


def new_ring(folder: Path, size: int, more: Mapping[str, Any]) -> Ring:
    """A ring for this process in `folder`, which is made if it is missing. Raises OSError."""
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    run = f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}-{os.getpid()}-{secrets.token_hex(2)}"
    return Ring(folder / f"{_NEW}{run}.ring", size, about_process(run, more))


def runs(folder: Path) -> tuple[list[Run], dict[Path, str]]:
    """The runs whose rings are in `folder`, the newest first, without records; and why other files cannot be read.

    Raises OSError if the folder cannot.
    """
    found: list[Run] = []
    problems: dict[Path, str] = {}
    for path in sorted(folder.glob("*.ring"), reverse=True)[:_MOST_FILES]:
        try:
            found.append(look(path, whole=False))
        except (FileNotFoundError, UnfinishedRingError):
            continue  # just removed, or being made, by a gate that starts
        except OSError as error:
            problems[path] = f"{path} cannot be read: {error.strerror}."
        except UnreadableRingError as error:
            problems[path] = f"{path} is no ring that can be read: {error}."
    found.sort(key=lambda run: run.recording.started, reverse=True)
    return found, problems


def look(path: Path, *, whole: bool = True) -> Run:
    """One ring, with its records if it is to be read as a `whole`. Raises OSError, UnreadableRingError."""
    descriptor = os.open(path, os.O_RDONLY | BINARY | NONBLOCK)
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise UnreadableRingError("it is no file")
        # Asked before it is read: what a process writes that ends meanwhile is there then.
        alive = held(descriptor)
        recording = read(file.read(MOST_BYTES + 1)) if whole else read_head(file.read(RING_AT), status.st_size)
    return Run(path, recording, alive and recording.end == END_OPEN)


def look_back(folder: Path) -> list[Run]:
    """What earlier runs have left: those that did not end in order and were not seen before, the newest first.

    Puts the folder in order. Raises OSError.
    """
    found, problems = runs(folder)
    ended = [run for run in found if not run.alive]
    unclean = [run for run in ended if not run.orderly]
    broken = [path for path in problems if path.name.startswith((_NEW, _UNCLEAN))]  # of another release, or mutilated
    orderly = [run.path for run in ended if run.orderly]
    surplus = (*orderly[1:], *(run.path for run in unclean[KEPT_UNCLEAN:]), *broken[KEPT_UNCLEAN:])
    for path in (*surplus, *_unfinished(folder)):
        with suppress(OSError):  # Windows removes no file that somebody reads; the next start does
            path.unlink()
    seen = []
    for run in unclean[:KEPT_UNCLEAN]:
        if run.path.name.startswith(_NEW):
            path = run.path.with_name(f"{_UNCLEAN}{run.id}.ring")
            try:
                replace(run.path, path)
            except FileNotFoundError:
                continue  # another gate that starts was sooner
            except OSError:
                path = run.path  # the next start tells of it again
            seen.append(Run(path, run.recording, alive=False))
    return seen


def _unfinished(folder: Path) -> Iterator[Path]:
    """Rings that nobody will finish: their processes were ended while they made them."""
    for path in folder.glob(f"{_NEW}*.ring"):
        with suppress(OSError, UnreadableRingError):
            try:
                look(path, whole=False)
            except UnfinishedRingError:
                if time.time() - path.stat().st_mtime > _MAKING_SECONDS:
                    yield path
