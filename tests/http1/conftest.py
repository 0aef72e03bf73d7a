"""The judge: a strict HTTP/1 parser of other hands, used where it lies."""

import importlib.util
import os
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
SHARED = Path(os.environ.get("COUCHGATE_SHARED") or CHECKOUT.parent / "shared")


@pytest.fixture(scope="session")
def wire():
    """The conformance kit's `wire` module; the tests fail where it is missing."""
    path = SHARED / "conformance" / "wire.py"
    spec = importlib.util.spec_from_file_location("conformance_wire", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
