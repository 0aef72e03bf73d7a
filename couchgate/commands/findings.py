"""What `couchgate doctor` finds: values that are printed as text or JSON."""

from __future__ import annotations

from typing import NamedTuple

LOCAL_INI = "local.ini"
SETTINGS = "couchgate.toml"


class Fix(NamedTuple):
    """The lines that mend something, and the file into which they belong: CouchDB's `local.ini` or the settings."""

    file: str
    lines: tuple[str, ...]


class Finding(NamedTuple):
    """One thing that was looked at. `level` is "ok", "warning" or "error"; `check` is a word, `sentence` is for people.

    `fixes` are alternatives: any one of them mends it.
    """

    level: str
    check: str
    sentence: str
    fixes: tuple[Fix, ...] = ()


def ok(check: str, sentence: str) -> Finding:
    """All is well."""
    return Finding("ok", check, sentence)


def warning(check: str, sentence: str, *fixes: Fix) -> Finding:
    """It works, and could be better, or could not be seen."""
    return Finding("warning", check, sentence, fixes)


def error(check: str, sentence: str, *fixes: Fix) -> Finding:
    """The gate does not work like this, or protects nothing."""
    return Finding("error", check, sentence, fixes)


def ini(section: str, *lines: str) -> Fix:
    """Lines for CouchDB's `local.ini`."""
    return Fix(LOCAL_INI, (f"[{section}]", *lines))


def toml(table: str, *lines: str) -> Fix:
    """Lines for the gate's settings; `table` with its brackets."""
    return Fix(SETTINGS, (table, *lines))
