"""Compiles couchgate's hot modules while a wheel is built, if this machine can.

`mypyc` turns the modules that `pyproject.toml` lists into extension modules, which are put into the wheel beside their
sources and are what Python then imports. It works in a folder of its own on a copy of the sources, without the types of
other packages, so that the result is the same in every environment. An editable installation is never compiled: the
extensions would go on being imported while the sources are edited.

The environment variable COUCHGATE_COMPILE says what is wanted: 0 compiles nothing, 1 makes it an error if the modules
cannot be compiled; without it the wheel is then pure Python, and a line on stderr says why.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

# The version that the tests were run with: what compiled code does is decided by its compiler, too.
REQUIREMENTS = ["mypy==2.4.*", "setuptools>=65"]
# Types are checked by the project's own run of mypy. What is needed here is that nothing outside the listed modules
# has a say: no settings, no installed packages, no errors elsewhere.
OPTIONS = ["--config-file=", "--no-site-packages", "--ignore-missing-imports", "--follow-imports=silent"]
LEVELS = {"MYPYC_OPT_LEVEL": "2", "MYPYC_DEBUG_LEVEL": "0"}


class CannotCompileError(Exception):
    """Why there are no extension modules, in one line; `output` is what the compilers said."""

    def __init__(self, reason: str, output: str = "") -> None:
        super().__init__(reason)
        self.output = output


class CompileHook(BuildHookInterface):  # type: ignore[type-arg]  # any builder's settings
    """Puts the extension modules into a wheel."""

    def dependencies(self) -> list[str]:
        """What compiling needs, where it can be done: else nobody has to download a compiler for nothing."""
        wish = os.environ.get("COUCHGATE_COMPILE")
        return [] if wish == "0" or (wish != "1" and _hindrance()) else list(REQUIREMENTS)

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, and add what came of it. Raises CannotCompileError with COUCHGATE_COMPILE=1 only."""
        wish = os.environ.get("COUCHGATE_COMPILE")
        if version == "editable" or wish == "0":
            return
        self._folder = TemporaryDirectory(prefix="couchgate-compile-")  # until the wheel was written
        try:
            extensions = _compile(Path(self.root), Path(self._folder.name), self.config["modules"])
        except CannotCompileError as error:
            if wish == "1":
                sys.stderr.write(error.output)
                raise
            sys.stderr.write(f"couchgate: installed as pure Python, which is right but slower: {error}\n")
            return
        build_data["force_include"].update(extensions)
        build_data["pure_python"] = False
        build_data["infer_tag"] = True


def _hindrance() -> str:
    """Why this machine cannot compile, in a few words; empty if it probably can."""
    if sys.implementation.name != "cpython" or sysconfig.get_config_var("Py_GIL_DISABLED"):
        return "mypyc is for CPython with its lock"
    if os.name == "posix":  # elsewhere only the attempt shows it
        compiler = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")[0]
        if shutil.which(compiler) is None:
            return f"there is no C compiler ({compiler})"
        if not Path(sysconfig.get_path("include"), "Python.h").exists():
            return "Python's header files are missing (on Debian: python3-dev)"
    return ""


def _compile(root: Path, folder: Path, modules: list[str]) -> dict[str, str]:
    """The extension modules made of `modules`, paths in `root`: where each is, and its path in the wheel."""
    hindrance = _hindrance()
    if hindrance:
        raise CannotCompileError(hindrance)
    shutil.copytree(root / "couchgate", folder / "couchgate", ignore=shutil.ignore_patterns("*.so", "*.pyd"))
    command = [sys.executable, "-m", "mypyc", *OPTIONS, *modules]
    try:
        done = subprocess.run(  # noqa: S603 - the paths are this project's own
            command,
            cwd=folder,
            env={**os.environ, **LEVELS},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
        )
    except OSError as error:
        raise CannotCompileError(f"mypyc cannot be run: {error}") from error
    if done.returncode:
        lines = done.stdout.strip().splitlines() or [f"status {done.returncode}"]
        telling = [line for line in lines if "error:" in line.lower()] or lines[-1:]
        raise CannotCompileError(f"mypyc failed: {telling[0].strip()[:200]}", done.stdout)
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    made = [*folder.glob(f"*{suffix}"), *folder.glob(f"couchgate/**/*{suffix}")]
    if len(made) != len(modules) + 1:  # and the library that they share
        raise CannotCompileError(f"mypyc made {len(made)} extension modules of {len(modules)} modules", done.stdout)
    return {str(path): path.relative_to(folder).as_posix() for path in made}
