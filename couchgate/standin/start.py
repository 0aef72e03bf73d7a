"""Starting the stand-in database."""

from __future__ import annotations

import re
import time
from pathlib import Path

from couchgate.standin.child import Child
from couchgate.standin.install import StandinError, cache_directory, node, npm_install

START_SECONDS = 30
_LISTENING = re.compile(r"^standin listening on (http://127\.0\.0\.1:\d+)$", re.MULTILINE)


class Standin(Child):
    """A running stand-in database; `url` is where it listens, without a slash at the end."""

    url: str = ""


def start(directory: Path, port: int = 0) -> Standin:
    """Start a stand-in database on 127.0.0.1:`port` (0: any free one) and wait until it listens.

    It is installed first when this user has none yet, which needs npm and its registry. Its log goes to
    `directory`/standin.log. Raises `StandinError`.
    """
    program = npm_install(cache_directory())
    standin = Standin("the stand-in database", [node(), "server.js", str(port)], directory / "standin.log", cwd=program)
    try:
        standin.url = _wait(standin)
    except BaseException:
        standin.stop(0)
        raise
    return standin


def _wait(standin: Child) -> str:
    deadline = time.monotonic() + START_SECONDS
    while not (listening := _LISTENING.search(standin.written())):
        if standin.ended():
            said = standin.written().strip().splitlines()
            raise StandinError(f"The stand-in database does not start: {said[0] if said else 'it says nothing'}.")
        if time.monotonic() > deadline:
            raise StandinError(f"The stand-in database does not listen after {START_SECONDS} s.")
        time.sleep(0.02)
    return listening[1]
