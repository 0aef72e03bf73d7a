"""Installing a locked npm package into a directory of its own, once.

A package is a directory with `package.json` and `package-lock.json`; what is installed is exactly what its lock file
says, and no package's install script runs. An installation is made beside its final place and then renamed, so that
a half-made one is never taken for whole, and two that are made at once do not meet.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from couchgate.system import caches

OLDEST_NODE = 18
NPM_SECONDS = 600
HERE = Path(__file__).parent
STANDIN = "the stand-in database"
OR_UPSTREAM = ", or name your CouchDB with --upstream URL"


class StandinError(Exception):
    """Why there is no stand-in database: one sentence for a person."""


def node(what: str = STANDIN, instead: str = OR_UPSTREAM) -> str:
    """The path of a Node.js that is new enough; raises `StandinError`.

    `what` needs it, in words for people, and `instead` is what one may do without it, if there is anything.
    """
    need = _need_node(what, instead)
    found = shutil.which("node")
    if found is None:
        raise StandinError(f"{need}.")
    try:
        answer = subprocess.run([found, "--version"], capture_output=True, text=True, timeout=30, check=True).stdout  # noqa: S603 (the person's own Node)
    except (OSError, subprocess.SubprocessError) as error:
        raise StandinError(f"{need}: {found} --version fails.") from error
    version = re.match(r"v(\d+)\.", answer)
    if version is None or int(version[1]) < OLDEST_NODE:
        raise StandinError(f"{need}: {found} is {answer.strip()[:40] or 'of an unknown version'}.")
    return found


def cache_directory(package: Path = HERE) -> Path:
    """Where `package` is installed for this user: its name and lock file decide, so a new lock is a new place."""
    digest = hashlib.sha256()
    for source in sorted(package.glob("*.js*")):
        digest.update(source.name.encode() + b"\0" + source.read_bytes())
    return caches() / "couchgate" / f"{package.name}-{digest.hexdigest()[:16]}"


def _need_node(what: str, instead: str) -> str:
    return f"Node.js 18 or newer is needed for {what}; install it (https://nodejs.org, it brings npm){instead}"


def npm_install(target: Path, package: Path = HERE, what: str = STANDIN, instead: str = OR_UPSTREAM) -> Path:
    """Install the npm package in the directory `package` into `target`, unless it is there; `target` again.

    `what` and `instead` are as for `node`. Needs the npm registry once. Raises `StandinError`.
    """
    if (target / "node_modules").is_dir():
        return target
    node(what, instead)
    npm = shutil.which("npm")
    if npm is None:
        raise StandinError(f"{_need_node(what, instead)}: there is a node, but no npm.")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(
            prefix=f"{target.name}.", dir=target.parent, ignore_cleanup_errors=True
        ) as near:
            made = Path(near) / "package"
            made.mkdir()
            for source in package.glob("*.js*"):
                shutil.copyfile(source, made / source.name)
            _npm_ci(npm, made, what)
            with contextlib.suppress(OSError):  # somebody else was faster; then that one serves
                made.rename(target)
    except OSError as error:
        raise StandinError(f"npm cannot install {what} in {target}: {error.strerror}.") from error
    if not (target / "node_modules").is_dir():
        raise StandinError(f"npm cannot install {what} in {target}: remove that directory first.")
    return target


def _npm_ci(npm: str, directory: Path, what: str) -> None:
    command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--no-progress", "--loglevel=error"]
    try:
        done = subprocess.run(  # noqa: S603 (the person's own npm, with our lock file)
            command,
            cwd=directory,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=NPM_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise StandinError(f"npm did not install {what} within {NPM_SECONDS} s.") from error
    if done.returncode:
        said = [line.removeprefix("npm error").strip() for line in done.stderr.splitlines() if line.startswith("npm e")]
        why = next((line for line in said if line and not line.startswith("code ")), "it does not say why")
        raise StandinError(f"npm could not install {what}: {why[:300]} (is the npm registry reachable?)")
