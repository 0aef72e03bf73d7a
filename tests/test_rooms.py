"""The rooms of docs/architecture.md: who imports whom, what an import may cost, and how long a file may be.

The tables are read from the page itself, so the page is true or these tests fail.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from itertools import chain
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[1]
PACKAGE = CHECKOUT / "couchgate"
FILES = sorted(PACKAGE.rglob("*.py"))
SECTION = re.search(
    r"^## The rooms$(.*?)(?=^## )", (CHECKOUT / "docs" / "architecture.md").read_text("utf-8"), re.MULTILINE | re.DOTALL
)[1]
MOST_LINES = 320


def words(text):
    return re.findall(r"`(\w+)`", text)


class Everything:
    """What a cell allows that begins with "everything", perhaps "but" some."""

    def __init__(self, *but):
        self.but = but

    def __contains__(self, name):
        return name not in self.but


def table():
    """By room: what it may import at once, and later."""
    rooms = {}
    for row in re.findall(r"^\| `.*$", SECTION, re.MULTILINE):
        names, *cells = row.strip("|").split("|")
        at_once, later = (
            Everything(*words(cell)) if cell.strip().startswith("everything") else set(words(cell)) for cell in cells
        )
        rooms.update(dict.fromkeys(words(names), (at_once, later)))
    return rooms


ROOMS = table()


def room_of(path):
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path):
    """Every import in a file, as (dotted name, whether it happens later than the file's own import)."""

    def walk(node, *, later):
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                yield from ((alias.name, later) for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                assert child.level == 0, f"{path}: a relative import"
                if child.module == "couchgate" or child.module.startswith("couchgate."):
                    yield from ((f"{child.module}.{alias.name}", later) for alias in child.names)
                else:
                    yield child.module, later
            else:
                typing = isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"
                function = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
                yield from walk(child, later=later or typing or function)

    return walk(ast.parse(path.read_text("utf-8")), later=False)


def outside(path):
    """The imports of a file that the table speaks of: (a room or a foreign package, later)."""
    for name, later in imports(path):
        package, *rest = name.split(".")
        if package == "couchgate":
            if rest[0] != room_of(path):
                yield rest[0], later
        elif package not in sys.stdlib_module_names:
            yield package, later


def test_every_room_is_in_the_table_and_exists():
    """The table names just the rooms that there are."""
    assert set(ROOMS) == {room_of(path) for path in FILES} - {"__init__"}


def test_the_tree_of_the_page_is_the_tree_on_disk():
    """Each file and folder that the page draws is there, and every room is drawn."""
    tree = re.search(r"```\ncouchgate/\n(.*?)```", SECTION, re.DOTALL)[1]
    drawn, folder = set(), PACKAGE
    for indent, name in re.findall(r"^( +)([\w.]+)", tree, re.MULTILINE):
        if len(indent) == 2:
            drawn.add(name.removesuffix(".py"))
            folder = PACKAGE / name
        assert (folder if len(indent) == 2 else folder / name).exists(), name
    assert drawn | {"demo_settings"} == set(ROOMS)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(CHECKOUT)))
def test_a_file_imports_only_what_its_room_may(path):
    """No import of a file goes beyond the table; what is allowed later is not done at once."""
    at_once, later = ROOMS.get(room_of(path), (set(), set()))
    beyond = {(name, when) for name, when in outside(path) if name not in at_once and not (when and name in later)}
    assert not beyond


@pytest.mark.parametrize("path", [path for path in FILES if room_of(path) == "core"], ids=lambda path: path.stem)
def test_a_core_file_imports_only_what_stands_before_it(path):
    """Inside the core the arrows of the page hold, so nothing depends on what is decided after it."""
    order = [words(group) for group in re.search(r"^(`errors`.* ← .*)$", SECTION, re.MULTILINE)[1].split("←")]
    assert sorted(chain(*order)) == sorted(p.stem for p in FILES if room_of(p) == "core" and p.stem != "__init__")
    if path.stem != "__init__":
        before = order[: next(i for i, group in enumerate(order) if path.stem in group)]
        inner = {name.split(".")[2] for name, _ in imports(path) if name.startswith("couchgate.core.")}
        assert inner <= set(chain(*before))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(CHECKOUT)))
def test_a_file_holds_one_idea(path):
    """No file of the package is longer than what can be read at a sitting."""
    lines = path.read_text("utf-8").count("\n")
    assert lines <= MOST_LINES


# -- what really happens at import, in a process of its own

MODULES = [".".join(path.relative_to(CHECKOUT).with_suffix("").parts).removesuffix(".__init__") for path in FILES] + [
    "twisted.plugins.couchgate_dropin"
]


def python(code):
    run = subprocess.run([sys.executable, "-c", code], cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return run.stdout.split()


def test_the_core_loads_no_twisted():
    """All of `couchgate.core` is imported without Twisted, zope.interface, treq or another room."""
    names = [name for name in MODULES if name.startswith("couchgate.core")]
    loaded = python(f"import {', '.join(names)}, sys; print(*sys.modules)")
    assert set(names) <= set(loaded)
    foreign = [name for name in loaded if name.partition(".")[0] in ("twisted", "zope", "treq", "asyncio", "httptools")]
    rooms = [name for name in loaded if name.startswith("couchgate.") and not name.startswith("couchgate.core")]
    assert (foreign, rooms) == ([], [])


EACH = f"""
import importlib, sys
for name in {MODULES}:
    for loaded in [loaded for loaded in sys.modules if loaded.partition(".")[0] == "couchgate"]:
        del sys.modules[loaded]
    importlib.import_module(name)
assert "twisted.internet.reactor" not in sys.modules, "somebody took the global reactor"
print(len({MODULES}))
"""


def test_every_module_can_be_the_first_to_be_imported():
    """No module needs another one to be imported before it, none does harm, and none takes the reactor."""
    assert python(EACH) == [str(len(MODULES))]
