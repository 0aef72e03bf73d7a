"""What differs between systems stands in one file, which the pretence can change."""

import ast

import pytest

from tests.test_rooms import CHECKOUT, FILES

ASKING = {"os.name", "sys.platform", "platform.system", "sys.getwindowsversion", "os.O_BINARY", "os.O_NOFOLLOW"}
ENDING = {"os.kill", "os.killpg"}  # on Windows any number, 0 too, ends the process


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(CHECKOUT)))
def test_only_one_file_asks_which_system_this_is(path):
    """No other file of the package asks, and none uses what Windows does in another way."""
    nodes = ast.walk(ast.parse(path.read_text("utf-8")))
    names = {ast.unparse(node) for node in nodes if isinstance(node, ast.Attribute)}
    assert not names & (ENDING | ASKING) or path.name == "system.py"
