"""The bounds that every face enforces."""

from __future__ import annotations

import dataclasses

import pytest

from couchgate.core.limits import Limits


def test_the_bounds_without_settings_are_the_contracts():
    """What `[limits]` leaves out is bounded all the same, as the settings' contract says."""
    assert dataclasses.asdict(Limits()) == {
        "head_bytes": 32768,
        "header_count": 100,
        "body_bytes": 4 << 30,
        "head_seconds": 10,
        "idle_seconds": 75,
        "connections": 10000,
        "threads": 256,
        "feeds": 100,
        "lasting_feeds": 5,
    }


def test_bounds_do_not_change_while_they_are_enforced():
    """Limits are a value."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        Limits().feeds = 0
