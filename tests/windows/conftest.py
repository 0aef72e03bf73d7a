"""A Python that believes to be on Windows, as far as that can be had on Linux.

Each such Python is a process of its own (`pretence/sitecustomize.py`). In it:

- modules that Windows lacks cannot be imported, and every name that the standard library lacks there, by typeshed's
  account, is gone: `os.fork`, `signal.SIGHUP`, `socket.AF_UNIX`, `select.epoll` and some 600 others;
- Twisted and couchgate believe that this is Windows, so Twisted's own code for it runs: twistd's runner, the select
  reactor, its ports and connections;
- what behaves otherwise there does so, as far as couchgate is concerned: open files are neither renamed nor removed, a
  rename replaces nothing, `os.open` needs O_BINARY, locks are msvcrt's, `os.kill` ends the process, one `select` takes
  512 sockets and tells of failed connections as exceptions, clocks go by 1/64 s, a socket pair is TCP, an executable
  needs its path, output into a pipe is cp1252.

What this does not show: the real kernel, file systems and their permissions, Winsock beyond `select`, IOCP, consoles
and their signals, services, virus scanners, `npm.cmd`, path names with drives and backslashes (`pathlib` and `os.path`
remain Linux's), any other library's code for Windows, and whether the lists above are right. Nothing here ran there.
"""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import mypy
import pytest

CHECKOUT = Path(__file__).parent.parent.parent
TYPESHED = Path(mypy.__file__).parent / "typeshed" / "stdlib"
STUBS = {name: f"{name}.pyi" for name in ("_socket", "errno", "select", "signal", "socket", "time")}
STUBS["os"] = "os/__init__.pyi"
COUCHGATE = "import sys; from couchgate.cli import main; sys.exit(main(sys.argv[1:]))"


def names(stub, system):
    """What a module has on `system`, by its stub."""

    def holds(test):
        try:
            return eval(ast.unparse(test), {"sys": sys, "platform": system})
        except NameError:
            return True

    class Asked(ast.NodeTransformer):
        def visit_Attribute(self, node):
            return ast.Name("platform") if ast.unparse(node) == "sys.platform" else node

    def walk(body):
        for node in body:
            if isinstance(node, ast.If):
                yield from walk(node.body if holds(Asked().visit(node.test)) else node.orelse)
            elif isinstance(node, ast.FunctionDef | ast.ClassDef):
                yield node.name
            elif isinstance(node, ast.AnnAssign):
                yield node.target.id
            elif isinstance(node, ast.Assign):
                yield from (target.id for target in node.targets if isinstance(target, ast.Name))
            elif isinstance(node, ast.ImportFrom):
                yield from (alias.asname or alias.name for alias in node.names)

    return set(walk(ast.parse(stub.read_text("utf-8")).body))


@pytest.fixture(scope="session")
def windows(tmp_path_factory):
    """The environment in which a Python believes to be on Windows."""
    lacking = {
        module: sorted(names(TYPESHED / stub, "linux") - names(TYPESHED / stub, "win32"))
        for module, stub in STUBS.items()
    }
    path = tmp_path_factory.mktemp("windows") / "lacking.json"
    path.write_text(json.dumps(lacking))
    folders = [str(Path(__file__).parent / "pretence"), str(CHECKOUT)]
    return {
        **{name: value for name, value in os.environ.items() if name != "PYTHONUTF8"},
        "PYTHONPATH": os.pathsep.join(folders),
        "PYTHONIOENCODING": "cp1252:strict",
        "COUCHGATE_TEST_LACKING": str(path),
    }


@pytest.fixture(scope="session")
def python(windows):
    """Runs such a Python: `python(code, *arguments)`."""

    def run(code, *arguments, cwd=CHECKOUT):
        command = [sys.executable, "-c", code, *map(str, arguments)]
        return subprocess.run(command, cwd=cwd, env=windows, capture_output=True, check=False, timeout=60)

    return run


@pytest.fixture(scope="session")
def couchgate(python):
    """Runs the `couchgate` command there."""
    return lambda *arguments, **named: python(COUCHGATE, *arguments, **named)
