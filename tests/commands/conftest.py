"""Settings to explain with, and the command run in this process."""

import pytest

from couchgate.cli import main
from couchgate.testing import Minter

SETTINGS = """
[gate]
hosts = ["gate.example.com"]
[upstream]
url = "http://127.0.0.1:5984"
secret_file = "proxy.secret"
[[issuers]]
issuer = "https://id.example.com/"
audiences = ["couchgate"]
algorithms = ["ES256"]
keys = "key.pub.pem"
[cors]
origins = ["https://app.example.com"]
[log]
access = "access.log"
[[rules]]
databases = ["shared"]
roles = ["editor"]
allow = ["read", "write"]
[[rules]]
databases = ["shared", "notes-{name}"]
allow = ["read"]
"""
MINTER = Minter("ES256")
SECRET = "5e" * 32


class Folder:
    """A folder with settings, and the command in it."""

    minter = MINTER
    secret = SECRET

    def __init__(self, path, capsys):
        self.path = path
        self.config = path / "couchgate.toml"
        self.settings()
        (path / "key.pub.pem").write_bytes(MINTER.public_pem())
        (path / "proxy.secret").write_text(SECRET)
        for file in path.iterdir():
            file.chmod(0o600)
        self._capsys = capsys

    def settings(self, *changes):
        """Write the settings, with `(old, new)` texts replaced."""
        text = SETTINGS
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        self.config.write_text(text)

    def run(self, *arguments):
        """Run `couchgate` with `--config`: its status and what it printed; no token or secret is ever in that."""
        status = main([*map(str, arguments), "--config", str(self.config)])
        printed = self._capsys.readouterr()
        assert not [
            word for word in arguments if str(word).startswith("eyJ") and str(word) in printed.out + printed.err
        ]
        assert SECRET not in printed.out + printed.err
        return status, printed.out, printed.err

    def refused(self, *arguments):
        """The one sentence with which the command says that it cannot do it."""
        status, out, err = self.run(*arguments)
        assert (status, out) == (1, "")
        assert err.startswith("couchgate: ")
        assert err.count("\n") == 1
        return err


@pytest.fixture
def folder(tmp_path, capsys):
    """A folder with settings and the files that they name."""
    return Folder(tmp_path, capsys)
