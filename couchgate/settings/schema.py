"""A JSON Schema of the settings file, for editors: `python -m couchgate.settings.schema` writes it into `docs`.

There is no second list of keys: the readers are watched while they read the files of `probes`, and what they ask for
(type, default, bounds, words) becomes the schema. What a key means is taken from the reference, docs/settings.md.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from copy import deepcopy
from pathlib import Path
from typing import Any

from couchgate.settings.load import KEYS, _read
from couchgate.settings.model import SettingsError
from couchgate.settings.probes import Data, probes, write_files
from couchgate.settings.reader import Document, Table

DOCS = Path(__file__).parents[2] / "docs"
DIALECT = "https://json-schema.org/draft/2020-12/schema"
_ROW = re.compile(r"^\| `([a-z_]+(?:\.[a-z_]+)+)` \| (.*) \|$", re.MULTILINE)
_LINK = re.compile(r"\[([^\]]*)\]\([^)]*\)")
_INDEX = re.compile(r"\[\d+\]")

Notes = dict[str, Data]
"""What the readers asked for, as JSON Schema, by the dotted key."""


class _Watched(Document):
    """A document whose readers are watched."""

    def __init__(self, path: Path, notes: Notes) -> None:
        super().__init__(path, {})
        self.notes = notes

    def top(self, data: dict[str, Any], known: tuple[str, ...]) -> Table:
        return _WatchedTable(self, "", data, known)


class _WatchedTable(Table):
    """Notes what it is asked for, and answers as ever."""

    document: _Watched

    def _note(self, key: str, what: Data, default: object = None) -> None:
        name = _INDEX.sub("", self.full(key))
        if default is not None:
            what["default"] = list(default) if isinstance(default, tuple) else default
        known = self.document.notes.setdefault(name, what)
        if known.get("default") != what.get("default"):
            known["default"] = None  # it depends on other keys, and is none that could be written down

    def text(self, key: str, default: str | None = None, **how: Any) -> str:
        self._note(key, {"type": "string"} if how.get("empty") else {"type": "string", "minLength": 1}, default)
        return super().text(key, default, **how)

    def word(self, key: str, words: tuple[str, ...], default: str) -> str:
        self._note(key, {"enum": list(words)}, default)
        return super().word(key, words, default)

    def texts(
        self, key: str, default: tuple[str, ...] | None = None, *, words: tuple[str, ...] | None = None
    ) -> tuple[str, ...]:
        items = {"type": "string", "minLength": 1} if words is None else {"enum": list(words)}
        self._note(key, {"type": "array", "items": items, "uniqueItems": True}, default)
        return super().texts(key, default, words=words)

    def flag(self, key: str, *, default: bool = False) -> bool:
        self._note(key, {"type": "boolean"}, default)
        return super().flag(key, default=default)

    def whole(self, key: str, low: int, high: int, default: int) -> int:
        self._note(key, {"type": "integer", "minimum": low, "maximum": high}, default)
        return super().whole(key, low, high, default)

    def seconds(self, key: str, low: float, high: float, default: float) -> float:
        self._note(key, {"type": "number", "minimum": low, "maximum": high}, default)
        return super().seconds(key, low, high, default)

    def table(self, key: str, known: tuple[str, ...]) -> Table:
        self._note(key, {"type": "object"})
        return super().table(key, known)

    def tables(self, key: str, known: tuple[str, ...]) -> tuple[Table, ...]:
        self._note(key, {"type": "array"})
        return super().tables(key, known)


def schema(reference: str) -> Data:
    """The schema of the whole file; `reference` is the text of docs/settings.md.

    Raises LookupError for a key that no probe leads to, and SettingsError for a probe that is not valid.
    """
    notes: Notes = {}
    with tempfile.TemporaryDirectory() as folder:
        write_files(Path(folder))
        path = Path(folder) / "couchgate.toml"
        for data in probes():
            _read(_Watched(path, notes), data, [])
        needed = _needed(path)
    meanings = {key: row.rpartition(" | ")[2] for key, row in _ROW.findall(reference)}
    whole = _table("", notes, needed, meanings)
    return {"$schema": DIALECT, "title": "The settings of couchgate", **whole}


def _table(name: str, notes: Notes, needed: frozenset[str], meanings: dict[str, str]) -> Data:
    properties: Data = {}
    for key in KEYS[name]:
        full = f"{name}.{key}" if name else key
        if full not in notes:
            raise LookupError(f"No probe leads to the key {full}: add one to couchgate/settings/probes.py.")
        what = {label: value for label, value in notes[full].items() if value is not None}
        if full in KEYS:
            inner = _table(full, notes, needed, meanings)
            what = {"type": "array", "items": inner} if what["type"] == "array" else inner
        meaning = {"description": _LINK.sub(r"\1", meanings[full]).replace("`", "")} if full in meanings else {}
        properties[key] = {"title": full, **meaning, **what}
    required = [key for key in KEYS[name] if (f"{name}.{key}" if name else key) in needed]
    more = {"required": required} if required else {}
    return {"type": "object", "properties": properties, **more, "additionalProperties": False}


def _needed(path: Path) -> frozenset[str]:
    """The keys that no valid file lacks where it has their table: each probe is tried without each of its keys."""
    lacked: set[str] = set()
    present: set[str] = set()
    for data in probes():
        for name, table in _tables("", data):
            for key in KEYS[name]:
                full = f"{name}.{key}" if name else key
                if key not in table:
                    lacked.add(full)
                    continue
                present.add(full)
                value = table.pop(key)
                with suppress(SettingsError):
                    _read(Document(path, {}), deepcopy(data), [])
                    lacked.add(full)
                table[key] = value
    return frozenset(present - lacked)


def _tables(name: str, table: Data) -> Iterator[tuple[str, Data]]:
    """Every table of parsed settings, with its name."""
    yield name, table
    for key, value in table.items():
        full = f"{name}.{key}" if name else key
        if full in KEYS:
            for inner in value if isinstance(value, list) else [value]:
                yield from _tables(full, inner)


def text(reference: str) -> str:
    """The schema as it is kept in `docs/settings.schema.json`."""
    return json.dumps(schema(reference), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    target = DOCS / "settings.schema.json"
    target.write_text(text((DOCS / "settings.md").read_text("utf-8")), "utf-8")
    sys.stdout.write(f"{target}\n")
