"""A ring for one test."""

import pytest

from tests.recorder.beating import Beating
from tests.recorder.rings import Written


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "recorder"


@pytest.fixture
def written(folder):
    return Written(folder)


@pytest.fixture
def beating(tmp_path):
    made = Beating(tmp_path)
    yield made
    made.service.stopService()
