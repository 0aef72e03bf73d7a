"""The soak in its short form; `python -m tests.endurance.soak` is the long one."""

import random

import pytest

from tests.endurance.soak import soak


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_nothing_is_wrong_and_nothing_grows():
    """After a thousand requests with cuts, stalls and crumbs on both sides and five thousand plain ones, each whole
    answer was the right one, CouchDB saw nothing undecided, and the gate holds what it held before.
    """
    seed = str(random.randrange(10**9))
    report = soak(seed, 1000, 5000)
    assert not report.wrong, f"seed {seed}: {report.wrong[:5]}"
    assert report.outcomes["begun"] >= 1000
    assert min(report.outcomes[kind] for kind in ("whole", "refused", "own", "broken", "left", "feed ended")) > 0, seed


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_settings_that_change_leave_nothing_behind():
    """While decisions and the pool to CouchDB are remade several times a second, only feeds end before their time, and
    well; afterwards the gate holds what it held before.
    """
    seed = str(random.randrange(10**9))
    report = soak(seed, 500, 1000, every=0.1)
    assert not report.wrong, f"seed {seed}: {report.wrong[:5]}"
    assert report.outcomes["reloads"] >= 20
    assert report.outcomes["feed ended"] > 0, seed
