"""What is shipped: the wheel's files, and an installed copy that Twisted finds."""

import os
import sys
from pathlib import Path
from subprocess import PIPE, STDOUT, run
from zipfile import ZipFile

import pytest

CHECKOUT = Path(__file__).parents[2]

# What the `twistd` script does, whichever environment it is installed in.
TWISTD = "from twisted.scripts.twistd import run; run()"

pytestmark = pytest.mark.slow


def call(*arguments, **options):
    """Run the interpreter of the tests; answers its output, or fails with it."""
    done = run([sys.executable, *arguments], stdout=PIPE, stderr=STDOUT, text=True, timeout=110, check=False, **options)
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture(scope="session")
def wheel(tmp_path_factory):
    """The wheel of this checkout for every platform; `test_compiled.py` has the one for this machine."""
    folder = tmp_path_factory.mktemp("wheel")
    pure = {**os.environ, "COUCHGATE_COMPILE": "0"}
    call("-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(CHECKOUT), env=pure)
    (built,) = folder.glob("couchgate-*.whl")
    return built


@pytest.fixture(scope="session")
def names(wheel):
    """The names of the files in the wheel."""
    with ZipFile(wheel) as archive:
        return frozenset(archive.namelist())


@pytest.fixture(scope="session")
def installed(wheel, tmp_path_factory):
    """Runs Python with an installed copy in front of the path, far from the checkout."""
    target = tmp_path_factory.mktemp("installed")
    call("-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(target), str(wheel))
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    environment = {**os.environ, "PYTHONPATH": str(target)}

    def python(*arguments):
        return call(*arguments, cwd=elsewhere, env=environment)

    python.target = target
    return python


def test_the_wheel_is_for_every_platform(wheel):
    """The wheel is pure Python."""
    assert wheel.name.endswith("-py3-none-any.whl")


def test_the_plugin_is_in_the_wheel_and_twisted_is_not(names):
    """The dropin is the only file under twisted/: an __init__.py there would replace Twisted itself."""
    assert {name for name in names if name.startswith("twisted/")} == {"twisted/plugins/couchgate_dropin.py"}


def test_every_module_of_the_package_is_in_the_wheel(names):
    """No Python file of couchgate/ is left behind."""
    modules = {path.relative_to(CHECKOUT).as_posix() for path in (CHECKOUT / "couchgate").rglob("*.py")}
    assert modules - names == set()


def test_nothing_else_is_in_the_wheel(names):
    """No tests, no deployment files, no caches and no installed npm packages: the package, the dropin, the metadata."""
    assert {name.split("/")[0].split("-")[0] for name in names} == {"couchgate", "twisted"}
    assert not [name for name in names if "node_modules" in name or "__pycache__" in name or name.endswith(".pyc")]


def test_the_licence_is_in_the_wheel(names):
    """The licence goes with every copy."""
    assert [name for name in names if name.endswith(".dist-info/licenses/LICENSE")]


def test_an_installed_copy_is_listed_by_twistd(installed):
    """`twistd --help` lists couchgate, as the installed copy and not as this checkout."""
    listed = installed("-c", TWISTD, "--help")
    assert [line for line in listed.splitlines() if line.split()[:1] == ["couchgate"]]
    origin = installed("-c", "import couchgate, couchgate.strcred; print(couchgate.strcred.__file__)")
    assert Path(origin.strip()).is_relative_to(installed.target)


def test_an_installed_copy_explains_its_options(installed):
    """`twistd couchgate --help` loads the command and names its main option."""
    assert "--config" in installed("-c", TWISTD, "couchgate", "--help")


def test_an_installed_copy_offers_its_checker(installed):
    """The strcred plugin is found by its name."""
    code = "from twisted.cred.strcred import findCheckerFactory; print(findCheckerFactory('jwt').authType)"
    assert installed("-c", code).strip() == "jwt"
