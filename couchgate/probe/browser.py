"""The browser: the person's own, or one that is started for the probe alone and ended with it."""

from __future__ import annotations

import os
import subprocess
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from couchgate.system import children_apart, has_screen

STOP_SECONDS = 5
_FLAGS = ("--headless=new", "--no-first-run", "--no-default-browser-check", "--disable-gpu")


def open_usual(url: str) -> bool:
    """Let this person's usual browser open `url`; False where there is none to be seen."""
    if not has_screen():
        return False  # what webbrowser finds then runs in the terminal
    try:
        return webbrowser.open(url)
    except (webbrowser.Error, OSError):
        return False


@contextmanager
def headless(program: str, url: str, directory: Path) -> Iterator[None]:
    """A Chromium (Chrome, Edge) without a window, with a profile of its own in `directory`. Raises OSError."""
    profile = directory / "profile"
    flags = [*_FLAGS, f"--user-data-dir={profile}"]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        flags.append("--no-sandbox")  # Chromium's sandbox does not work for root
    with (directory / "browser.log").open("wb") as log:
        process = subprocess.Popen(  # noqa: S603 - the program that the person named
            [program, *flags, url],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            creationflags=children_apart(),
        )
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
