"""The guard in conftest.py, which fails a test for what Twisted only logs, really does."""

import shutil
import sys
from pathlib import Path
from subprocess import PIPE, run

import pytest

BODIES = {
    "a logged failure": "Logger().failure('lost', Failure(ValueError('boo')))",
    "a legacy error": "log.err(ValueError('boo'))",
    "a dropped Deferred": "defer.fail(ValueError('boo'))",
    "a dropped Deferred in a cycle": "d = defer.fail(ValueError('boo')); d.itself = d",
    "a plain warning": "Logger().warn('boo')",
    "a handled Deferred": "defer.fail(ValueError('boo')).addErrback(lambda _: None)",
}
IMPORTS = """\
from twisted.internet import defer
from twisted.logger import Logger
from twisted.python import log
from twisted.python.failure import Failure
"""


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """The report of a run of one test for each of BODIES, under this project's conftest.py."""
    folder = tmp_path_factory.mktemp("guarded")
    shutil.copy(Path(__file__).with_name("conftest.py"), folder)
    tests = (f"def test_{name.replace(' ', '_')}():\n    {body}\n" for name, body in BODIES.items())
    (folder / "test_bodies.py").write_text("\n".join([IMPORTS, *tests]))
    command = [sys.executable, "-m", "pytest", "-v", "-p", "no:cacheprovider", "test_bodies.py"]
    return run(command, cwd=folder, stdout=PIPE, text=True, timeout=60, check=False).stdout


@pytest.mark.parametrize("name", list(BODIES)[:4])
def test_a_failure_that_is_only_logged_fails_the_test(report, name):
    """Logged failures and dropped Deferreds make the test that caused them an error, and the report says what."""
    assert f"ERROR test_bodies.py::test_{name.replace(' ', '_')} - " in report
    assert "ValueError: boo" in report


@pytest.mark.parametrize("name", list(BODIES)[4:])
def test_what_is_no_failure_passes(report, name):
    """Warnings and handled failures are nobody's business."""
    assert f"test_bodies.py::test_{name.replace(' ', '_')} PASSED" in report
    assert f"ERROR test_bodies.py::test_{name.replace(' ', '_')} - " not in report
