"""Runs a browser that ends with the probe, however that ends: `python -m couchgate.probe.guard PROGRAM URL`.

A browser does not look at its standard input. So this process does, as every child of the probe; it ends the browser,
with all that a script around it has started, and removes its profile.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading

from couchgate import system

STOP_SECONDS = 5
CANNOT_START = 126
_FLAGS = ("--headless=new", "--no-first-run", "--no-default-browser-check", "--disable-gpu")


def main(program: str, url: str) -> int:
    """Until the browser or the parent has ended; the exit status."""
    flags = [*_FLAGS]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        flags.append("--no-sandbox")  # Chromium's sandbox does not work for root
    # On Windows a file of a process that has just ended may still be held for a moment.
    with tempfile.TemporaryDirectory(prefix="couchgate-browser-", ignore_cleanup_errors=True) as profile:
        command = [program, *flags, f"--user-data-dir={profile}", url]
        try:
            browser = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)  # noqa: S603 - the program that the person named
        except OSError as error:
            sys.stderr.write(f"{error.strerror or error}\n")
            return CANNOT_START
        threading.Thread(target=_end_with_parent, args=(browser,), daemon=True).start()
        status = browser.wait()
        system.end_group(browser, by_force=True)  # what it may have left behind
    return status if status >= 0 else 128 - status


def _end_with_parent(browser: subprocess.Popen[bytes]) -> None:
    while os.read(0, 4096):
        pass
    system.end_group(browser, by_force=False)
    try:
        browser.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        system.end_group(browser, by_force=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2]))
