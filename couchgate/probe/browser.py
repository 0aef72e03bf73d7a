"""The browser: the person's own, or one that is started for the probe alone and ended with it."""

from __future__ import annotations

import shutil
import sys
import webbrowser
from pathlib import Path

from couchgate.standin.child import Child
from couchgate.system import has_screen


def open_usual(url: str) -> bool:
    """Let this person's usual browser open `url`; False where there is none to be seen."""
    if not has_screen():
        return False  # what webbrowser finds then runs in the terminal
    try:
        return webbrowser.open(url)
    except (webbrowser.Error, OSError):
        return False


def found(program: str) -> str | None:
    """The path of `program`, a path itself or a name to look for; None if there is no such program."""
    path = shutil.which(program)
    return None if path is None else str(Path(path).absolute())


def headless(program: str, url: str, directory: Path) -> Child:
    """A Chromium (Chrome, Edge) without a window, with a profile of its own; its log is in `directory`.

    Raises OSError.
    """
    command = [sys.executable, "-m", "couchgate.probe.guard", program, url]
    return Child("the browser", command, directory / "browser.log", cwd=directory)
