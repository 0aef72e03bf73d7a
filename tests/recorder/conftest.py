"""A ring for one test."""

import pytest

from tests.recorder.rings import Written


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "recorder"


@pytest.fixture
def written(folder):
    return Written(folder)
