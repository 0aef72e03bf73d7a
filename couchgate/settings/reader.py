"""A TOML table that is read key by key, each with its type, and that says file and key whenever something is wrong.

- A table names its known keys when it is opened; any other key is an error, with the nearest right name.
- A value has the type that is asked for, or it is an error: a boolean is no number, a number is no text.
- Texts hold no control characters, and are not empty unless the key may be.
- A flag (an override) is a text; it becomes the key's type here and then passes the same tests.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from couchgate.settings.model import SettingsError

_SHOWN = 60


def shown(value: object) -> str:
    """A value as an error may show it: quoted, on one line, and short."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list):
        return "a list"
    text = ascii(value) if isinstance(value, str) else str(value)
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "..."


def clause(sentence: object) -> str:
    """A sentence from elsewhere (an exception's text) as the end of one of ours."""
    text = str(sentence).removesuffix(".")
    return text[:1].lower() + text[1:] if text[:2].istitle() else text


class Document:
    """What all tables of one settings file share: its path, the flags that override it, and the warnings so far."""

    def __init__(self, path: Path, overrides: Mapping[str, str]) -> None:
        self.path = path
        self.overrides = dict(overrides)
        self.warnings: list[str] = []

    def error(self, key: str, text: str) -> SettingsError:
        """The error for `key`: `text` is the rest of the sentence after the key."""
        return SettingsError(f"{self.path}: {key} {text}")

    def warn(self, key: str, text: str) -> None:
        """Note a sentence for the operator."""
        self.warnings.append(f"{self.path}: {key} {text}")

    def resolve(self, text: str) -> Path:
        """`text` as an absolute path; a relative one starts at the settings file's folder."""
        return self.path.absolute().parent / text

    def top(self, data: dict[str, Any], known: tuple[str, ...]) -> Table:
        """The file itself as a table. Raises `SettingsError`."""
        return Table(self, "", data, known)


class Table:
    """One table of the file. Every method that reads raises `SettingsError`."""

    def __init__(self, document: Document, name: str, data: dict[str, Any], known: tuple[str, ...]) -> None:
        self.document = document
        self.name = name
        self._data = data
        self._known = known
        for key in data:
            if key not in known:
                raise document.error(self._label(key), self._unknown(key))

    def full(self, key: str) -> str:
        """The dotted name of `key`, as errors and flags write it."""
        return f"{self.name}.{key}" if self.name else key

    def error(self, key: str, text: str) -> SettingsError:
        """The error for this table's `key`."""
        return self.document.error(self.full(key), text)

    def warn(self, key: str, text: str) -> None:
        """Note a sentence about this table's `key`."""
        self.document.warn(self.full(key), text)

    def has(self, key: str) -> bool:
        """Whether the file or a flag gives `key`."""
        return key in self._data or self.full(key) in self.document.overrides

    def override(self, key: str) -> str | None:
        """The flag's text for `key`, if there is one."""
        return self.document.overrides.get(self.full(key))

    def text(self, key: str, default: str | None = None, *, empty: bool = False, secret: bool = False) -> str:
        """A text; `default` None means that it must be written, `empty` that it may be "".

        `secret`: no error shows it.
        """
        value = self._value(key, default, "a text in quotes")
        return self._checked(self.full(key), value, empty=empty, secret=secret)

    def word(self, key: str, words: tuple[str, ...], default: str) -> str:
        """One of `words`."""
        value = self.text(key, default)
        if value not in words:
            raise self.error(key, f"must be {_choice(words)}, not {shown(value)}{nearest(value, words)}")
        return value

    def texts(
        self, key: str, default: tuple[str, ...] | None = None, *, words: tuple[str, ...] | None = None
    ) -> tuple[str, ...]:
        """A list of texts, each once, each one of `words` if these are given; a flag gives it separated by commas.

        `default` None: it must be written.
        """
        given = self.override(key)
        right = 'a list of texts such as ["a", "b"]'
        value: Any = self._value(key, default, right) if given is None else [t.strip() for t in given.split(",") if t]
        if not isinstance(value, list | tuple):
            raise self.error(key, f"must be {right}, not {shown(value)}")
        for index, item in enumerate(value):
            self._checked(f"{self.full(key)}[{index}]", item, empty=False)
            if words is not None and item not in words:
                right = f"must be one of {', '.join(words)}, not {shown(item)}"
                raise self.error(f"{key}[{index}]", right + nearest(item, words))
            if item in value[:index]:
                raise self.error(f"{key}[{index}]", f"repeats {shown(item)}; write it once")
        return tuple(value)

    def flag(self, key: str, *, default: bool = False) -> bool:
        """True or false."""
        given = self.override(key)
        value = self._data.get(key, default) if given is None else {"true": True, "false": False}.get(given, given)
        if not isinstance(value, bool):
            raise self.error(key, f"must be true or false, not {shown(value)}")
        return value

    def whole(self, key: str, low: int, high: int, default: int) -> int:
        """A whole number from `low` to `high`, both included."""
        value = self._number(key, int, default)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise self.error(key, f"must be a whole number from {low} to {high}, not {shown(value)}")
        return value

    def seconds(self, key: str, low: float, high: float, default: float) -> float:
        """A time in seconds from `low` to `high`, both included; a fraction is allowed."""
        value = self._number(key, float, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise self.error(key, f"must be a number of seconds from {low:g} to {high:g}, not {shown(value)}")
        return float(value)

    def table(self, key: str, known: tuple[str, ...]) -> Table:
        """The table `key`; one that is not written is an empty one."""
        value = self._data.get(key, {})
        if not isinstance(value, dict):
            raise self.error(key, f"must be a table, written [{self.full(key)}], not {shown(value)}")
        return type(self)(self.document, self.full(key), value, known)

    def tables(self, key: str, known: tuple[str, ...]) -> tuple[Table, ...]:
        """The tables of the list `key`, in order."""
        value = self._data.get(key, [])
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            right = f"must be a list of tables, each headed [[{self.full(key)}]]"
            raise self.error(key, f"{right}, not {shown(value)}")
        return tuple(
            type(self)(self.document, f"{self.full(key)}[{index}]", item, known) for index, item in enumerate(value)
        )

    def _value(self, key: str, default: object, right: str) -> Any:
        given = self.override(key)
        if given is not None:
            return given
        value = self._data.get(key, default)
        if value is None:
            raise self.error(key, f"is missing; it must be {right}")
        return value

    def _number(self, key: str, kind: type[int | float], default: float) -> Any:
        given = self.override(key)
        if given is None:
            value = self._value(key, default, "a number")
            # Infinity passes a comparison with a bound in one direction, NaN in none: neither is a time.
            return str(value) if isinstance(value, float) and not math.isfinite(value) else value
        try:
            return kind(given)
        except ValueError:
            return given

    def _checked(self, name: str, value: object, *, empty: bool, secret: bool = False) -> str:
        if not isinstance(value, str):
            raise self.document.error(name, f"must be a text in quotes, not {shown(value)}")
        if any(letter < " " or letter == "\x7f" or "\ud800" <= letter <= "\udfff" for letter in value):
            it = "" if secret else f", not {shown(value)}"
            if any(letter in "\b\t\n\f\r" for letter in value):
                it += "; write a text with backslashes in single quotes"  # "C:\temp" is valid TOML, with a tab
            raise self.document.error(name, f"must be a text without control characters{it}")
        if not value and not empty:
            raise self.document.error(name, "must not be empty")
        return value

    def _label(self, key: str) -> str:
        return self.full(key if key.isprintable() and key else ascii(key))

    def _unknown(self, key: str) -> str:
        near = difflib.get_close_matches(key, self._known, n=1)
        if near:
            return f"is not a setting; did you mean {self.full(near[0])}?"
        where = f"[{self.name}]" if self.name else "the file"
        return f"is not a setting; {where} may hold {', '.join(self._known)}"


def _choice(words: tuple[str, ...]) -> str:
    quoted = [f'"{word}"' for word in words]
    return quoted[0] if len(quoted) == 1 else f"{', '.join(quoted[:-1])} or {quoted[-1]}"


def nearest(value: str, words: tuple[str, ...]) -> str:
    """The end of a sentence that suggests the nearest of `words`; empty when none is near."""
    near = difflib.get_close_matches(value, words, n=1)
    return f'; did you mean "{near[0]}"?' if near else ""
