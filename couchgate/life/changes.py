"""What differs between two readings of the settings, in words: names of keys, never a value."""

from __future__ import annotations

from dataclasses import fields, is_dataclass

from couchgate.settings import Settings

_NOT_SETTINGS = frozenset(("path", "warnings", "digest"))
_KEYS = {  # where a field of Settings is not called as its key
    "access_log": "log.access",
    "trace": "log.trace",
    "upstream.secure": "upstream.url",
    "upstream.host": "upstream.url",
    "upstream.port": "upstream.url",
    "upstream.authority": "upstream.url",
    "upstream.tls": "upstream.url",  # one of both has none: they differ in http and https
    "upstream.secret": "upstream.secret_file",
    "upstream.password": "upstream.password_file",
    "upstream.own.password": "upstream.own.password_file",
    "upstream.tls.server_name": "upstream.server_name",
    "upstream.tls.authorities": "upstream.ca_file",
    "upstream.tls.certificate": "upstream.client_certificate",
    "upstream.tls.key": "upstream.client_key",
}


def changes(old: Settings, new: Settings) -> tuple[str, ...]:
    """The keys and tables whose values differ, such as `gate.hosts` and `rules`."""
    return tuple(dict.fromkeys(_KEYS.get(name, name) for name in _differing("", old, new)))


def _differing(table: str, old: object, new: object) -> list[str]:
    found: list[str] = []
    for field in fields(old):  # type: ignore[arg-type]  # a dataclass each time
        name = f"{table}{field.name}"
        before, after = getattr(old, field.name), getattr(new, field.name)
        if name in _NOT_SETTINGS or before == after:
            continue
        if is_dataclass(before) and type(before) is type(after):
            found += _differing(f"{name}.", before, after)
        else:
            found.append(name)
    return found


def told(path: object, changed: tuple[str, ...]) -> str:
    """The sentence about a reload of the settings at `path`."""
    if not changed:
        return f"Reloaded {path}: no setting has changed."
    *more, last = changed
    names = f"{', '.join(more)} and {last}" if more else last
    return f"Reloaded {path}: {names} changed."
