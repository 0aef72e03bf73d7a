"""`couchgate doctor` before the stand-in database, which is no CouchDB and says so."""

import subprocess
import sys

from couchgate.testing import Minter

PROGRAM = "import sys; from couchgate.cli import main; sys.exit(main())"
SETTINGS = """
[upstream]
url = "{url}"
auth = "none"
[[issuers]]
issuer = "https://id.example.com/"
audiences = ["couchgate"]
algorithms = ["ES256"]
keys = "key.pub.pem"
[[rules]]
databases = ["*"]
allow = ["read"]
"""


def test_the_stand_in_is_seen_for_what_it_is(standin, tmp_path):
    """It answers, is no CouchDB, and makes everybody an administrator."""
    (tmp_path / "key.pub.pem").write_bytes(Minter("ES256").public_pem())
    (tmp_path / "couchgate.toml").write_text(SETTINGS.format(url=standin))
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, "doctor", "--config", str(tmp_path / "couchgate.toml")],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stderr == ""
    assert f"ok       reachable: CouchDB answers at {standin}." in done.stdout
    assert "warning  version: What answers does not say that it is CouchDB" in done.stdout
    assert "error    admins: Everybody who reaches CouchDB is its administrator" in done.stdout
    assert done.returncode == 1
