"""The compiled wheel: what is in it, and that the gate in it passes what the pure one passes."""

import json
import os
import shutil
import sys
import sysconfig
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from subprocess import PIPE, STDOUT, run

import pytest

CHECKOUT = Path(__file__).parents[2]
MODULES = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"][
    "hooks"
]["custom"]["modules"]
NAMES = [module.removesuffix(".py").replace("/", ".") for module in MODULES]
BUILD = ("-m", "build", "--wheel", "--no-isolation")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def call(*arguments, **options):
    """Run the interpreter of the tests; answers its output, or fails with it."""
    done = run([sys.executable, *arguments], stdout=PIPE, stderr=STDOUT, text=True, timeout=600, check=False, **options)
    assert done.returncode == 0, done.stdout[-5000:]
    return done.stdout


@pytest.fixture(scope="session")
def installed(tmp_path_factory):
    """Runs Python with the compiled wheel in front of the path, far from the checkout."""
    compiler = (os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc").split()[0]
    assert shutil.which(compiler), f"The compiled wheel cannot be tested without a C compiler: install {compiler}."
    folder = tmp_path_factory.mktemp("compiled")
    call(*BUILD, "--outdir", str(folder), str(CHECKOUT), env={**os.environ, "COUCHGATE_COMPILE": "1"})
    (wheel,) = folder.glob("couchgate-*.whl")
    assert not wheel.name.endswith("-none-any.whl")
    target = folder / "installed"
    call("-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(target), str(wheel))
    elsewhere = tmp_path_factory.mktemp("elsewhere")

    def python(*arguments, **environment):
        return call(*arguments, cwd=elsewhere, env={**os.environ, "PYTHONPATH": str(target), **environment})

    return python


# Prints the files of the modules that are named, and the modules besides them that their classes inherit from.
LOOK = """
import importlib, inspect, json, sys
names = sys.argv[1:]
modules = [importlib.import_module(name) for name in names]
classes = [one for module in modules for _, one in inspect.getmembers(module, inspect.isclass)]
bases = {base.__module__ for one in classes if one.__module__ in names for base in one.__mro__}
others = sorted(base for base in bases if base.startswith("couchgate.") and base not in names)
print(json.dumps([[module.__file__ for module in modules], others]))
"""


@pytest.fixture(scope="session")
def outcomes(installed):
    """What pytest wrote about the installed wheel, as futures; at the same time, since one of them mostly waits."""
    core_and_grammar = [
        str(file)
        for module in MODULES
        for room, name in [Path(module).parts[-2:]]
        if room in {"core", "http1"}
        for file in (CHECKOUT / "tests" / room).glob(f"test_{name.removesuffix('.py')}*.py")
    ]
    assert len(core_and_grammar) > 12
    conformance = (str(CHECKOUT / "tests" / "conformance"), "-k", "keepalive-rs256")
    options = ("-P", "-m", "pytest", "-c", str(CHECKOUT / "pyproject.toml"), "-o", "pythonpath=", "-q")
    with ThreadPoolExecutor() as pool:
        yield {
            name: pool.submit(installed, *options, *arguments, COUCHGATE_PYTHON=sys.executable)
            for name, arguments in {"core and grammar": core_and_grammar, "conformance": conformance}.items()
        }


def test_the_listed_modules_are_extension_modules_and_say_so(installed):
    """Every module of the list in pyproject.toml is imported as an extension module, and `--version` says it."""
    files, _ = json.loads(installed("-P", "-c", LOOK, *NAMES))
    assert [file for file in files if not file.endswith(sysconfig.get_config_var("EXT_SUFFIX"))] == []
    said = installed("-P", "-c", "from couchgate.cli import main; main(['--version'])")
    assert said.endswith(" (compiled)\n")


def test_what_a_compiled_class_inherits_from_is_compiled_too(installed):
    """No class of the listed modules has a base in a module that was left out, which would undo most of the gain."""
    _, others = json.loads(installed("-P", "-c", LOOK, *NAMES))
    assert others == []


def test_the_compiled_core_and_grammar_pass_their_own_tests(outcomes):
    """What the tests of `core` and `http1` say of the listed modules holds for the extension modules too."""
    assert " passed" in outcomes["core and grammar"].result()


def test_the_compiled_gate_passes_the_conformance_cases(outcomes):
    """The shared conformance cases, with kept connections."""
    assert "1 passed" in outcomes["conformance"].result()


def test_a_machine_that_cannot_compile_gets_the_pure_wheel_and_a_line_about_it(tmp_path):
    """Without a C compiler the wheel is pure Python, one line says why, and COUCHGATE_COMPILE=1 makes it an error."""
    environment = {name: value for name, value in os.environ.items() if name != "COUCHGATE_COMPILE"}
    environment["CC"] = str(tmp_path / "no-compiler")
    said = call(*BUILD, "--outdir", str(tmp_path), str(CHECKOUT), env=environment)
    lines = [line for line in said.splitlines() if line.startswith("couchgate: installed as pure Python")]
    assert len(lines) == 1
    assert "C compiler" in lines[0]
    assert [wheel.name for wheel in tmp_path.glob("*.whl")] == ["couchgate-0.1.0-py3-none-any.whl"]
    command = [sys.executable, *BUILD, "--outdir", str(tmp_path), str(CHECKOUT)]
    fatal = run(command, env={**environment, "COUCHGATE_COMPILE": "1"}, stdout=PIPE, stderr=STDOUT, check=False)
    assert fatal.returncode != 0


def test_a_failing_compiler_does_not_fail_the_build(tmp_path):
    """A C compiler that fails leaves the pure wheel too."""
    environment = {name: value for name, value in os.environ.items() if name != "COUCHGATE_COMPILE"}
    said = call(*BUILD, "--outdir", str(tmp_path), str(CHECKOUT), env={**environment, "CC": "false"})
    assert "couchgate: installed as pure Python" in said
    assert [wheel.name.partition("-py3-")[2] for wheel in tmp_path.glob("*.whl")] == ["none-any.whl"]
