"""`[recorder]`: whether the gate keeps a flight recorder, and how large."""

from __future__ import annotations

from couchgate.settings.model import RecorderSettings
from couchgate.settings.reader import Table

RECORDER_KEYS = ("enabled", "bytes")
_LEAST = 65536
_MOST = 1 << 26


def read_recorder(table: Table) -> RecorderSettings:
    """The whole table."""
    return RecorderSettings(table.flag("enabled", default=True), table.whole("bytes", _LEAST, _MOST, 4 << 20))
