"""PouchDB for the page: npm's, by the lock file in `npm/`, installed once into this user's cache."""

from __future__ import annotations

from pathlib import Path

from couchgate.standin.install import cache_directory, npm_install

PACKAGE = Path(__file__).parent / "npm"


def script() -> Path:
    """The script that a page loads. Raises `StandinError`."""
    installed = npm_install(cache_directory(PACKAGE), PACKAGE, what="PouchDB for the page", instead="")
    return installed / "node_modules" / "pouchdb" / "dist" / "pouchdb.min.js"
