"""The shared conformance cases through a running gate, in every mode.

The gate is this checkout, or what is installed for the interpreter that COUCHGATE_PYTHON names.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.ports import free_port

HERE = Path(__file__).parent
CHECKOUT = HERE.parent.parent
SHARED = Path(os.environ.get("COUCHGATE_SHARED") or CHECKOUT.parent / "shared")
PYTHON = os.environ.get("COUCHGATE_PYTHON")
FEATURES = ["auth", "strip", "identity", "admin-block", "db-admin-block", "cors", "cors-credentials", "no-pna"]


def adapter(mode, keyset):
    return {
        "name": f"couchgate-{mode}-{keyset}",
        "start": f'exec "{PYTHON or sys.executable}" "{HERE / "start.py"}"',
        "port": free_port(),
        "ready_s": 30,
        "features": [*FEATURES, *(["keepalive"] if mode == "keepalive" else [])],
        "auth": {
            "keyset": keyset,
            "header": "Authorization: Bearer {token}",
            "users": {"A": "alice", "B": "bob"},
            "identity_header": "X-Auth-CouchDB-UserName",
        },
        "cors": {"origins": ["https://app.conformance.test", "https://admin.conformance.test:8443"]},
        "db": "/conformance",
        "host": "gate.conformance.test",
        "env": {"MODE": mode, **({} if PYTHON else {"PYTHONPATH": str(CHECKOUT)})},
    }


def should_exceptions():
    """The `should` cases that docs/security.md lists as failing, with a reason each."""
    text = (CHECKOUT / "docs" / "security.md").read_text()
    return set(re.findall(r"^\| `([a-z]+-\d+-[^`]+)` \|", text, re.MULTILINE))


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("mode", "keyset"),
    [
        ("keepalive", "rs256"),
        ("close", "es256"),
        ("keepalive", "hs256"),
        ("close", "eddsa"),
        ("threaded", "es256"),
    ],
)
def test_no_must_case_fails_and_each_failing_should_case_is_documented(mode, keyset, tmp_path):
    """The gate passes every `must` case, and every failing `should` case is listed in docs/security.md."""
    path = tmp_path / "adapter.json"
    path.write_text(json.dumps(adapter(mode, keyset)))
    report = tmp_path / "report.json"
    run = subprocess.run(
        [sys.executable, SHARED / "conformance" / "run_gate.py", path, "--json", report],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "CONFORMANCE_KEYS": str(tmp_path / "keys")},
    )
    assert report.exists(), run.stdout + run.stderr
    rows = json.loads(report.read_text())["rows"]
    failing = {row["id"]: row for row in rows if not row["pass"]}
    must = {name: row["fails"] for name, row in failing.items() if row["level"] == "must"}
    should = {name for name, row in failing.items() if row["level"] == "should"}
    assert not must
    assert should <= should_exceptions()
    assert len(rows) > 200
