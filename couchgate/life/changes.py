"""What differs between two readings of the settings, in words: names of keys, never a value."""

from __future__ import annotations

from dataclasses import fields, is_dataclass

from couchgate.settings import Settings

_NOT_SETTINGS = frozenset(("path", "warnings", "digest"))
_KEYS = {"access_log": "log.access", "trace": "log.trace"}


def changes(old: Settings, new: Settings) -> tuple[str, ...]:
    """The keys and tables whose values differ, such as `gate.hosts` and `rules`."""
    found: list[str] = []
    for field in fields(Settings):
        name = field.name
        before, after = getattr(old, name), getattr(new, name)
        if name in _NOT_SETTINGS or before == after:
            continue
        if is_dataclass(before) and type(before) is type(after):
            keys = (key.name for key in fields(before))
            found += [f"{name}.{key}" for key in keys if getattr(before, key) != getattr(after, key)]
        else:
            found.append(_KEYS.get(name, name))
    return tuple(found)


def told(path: object, changed: tuple[str, ...]) -> str:
    """The sentence about a reload of the settings at `path`."""
    if not changed:
        return f"Reloaded {path}: no setting has changed."
    *more, last = changed
    names = f"{', '.join(more)} and {last}" if more else last
    return f"Reloaded {path}: {names} changed."
