"""What a reload says has changed: keys as they are written in the settings file."""

from pathlib import Path

import pytest

from couchgate.life.changes import changes
from couchgate.settings import load
from tests.upstream.certificates import Authority

ISSUER = (
    '[[issuers]]\nissuer = "https://id.example.com/"\naudiences = ["gate"]\nalgorithms = ["HS256"]\nkeys = "id.key"\n'
)


@pytest.fixture
def reading(tmp_path, monkeypatch):
    """A function that reads settings with such an `[upstream]`, from a working directory of their own."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "id.key").write_bytes(b"k" * 32)
    authority = Authority(tmp_path)

    def read(upstream, path=tmp_path / "couchgate.toml", more=""):
        text = upstream.replace("CA", f"'{authority.path}'")
        (tmp_path / "couchgate.toml").write_text(f'[upstream]\nauth = "none"\n{text}\n{ISSUER}{more}')
        return load(path, {}, [], [])

    return read


def secret(path, text):
    path.write_text(text)
    path.chmod(0o600)


@pytest.mark.parametrize(
    ("before", "after", "names"),
    [
        ("url = 'http://127.0.0.1:5984'", "url = 'http://127.0.0.1:5985'", ("upstream.url",)),
        ("url = 'http://a.test'", "url = 'https://a.test'", ("upstream.url",)),
        ("url = 'https://a.test'", "url = 'https://a.test'\nca_file = CA", ("upstream.ca_file",)),
        ("url = 'https://a.test'", "url = 'https://a.test'\nserver_name = 'b.test'", ("upstream.server_name",)),
        ("url = 'http://a.test'\nidle_seconds = 5", "url = 'http://a.test'", ("upstream.idle_seconds",)),
    ],
)
def test_the_keys_are_those_of_the_file(before, after, names, reading):
    """One key has changed, and it is called as the operator wrote it, however many values follow from it."""
    assert changes(reading(before), reading(after)) == names


def test_a_new_password_is_told_by_its_file(reading, tmp_path):
    """A secret is read when the settings are: when its file has changed, the key that names the file is told."""
    secret(tmp_path / "own", "one")
    upstream = "url = 'http://a.test'\n[upstream.own]\nusername = 'gate'\npassword_file = 'own'"
    old = reading(upstream)
    secret(tmp_path / "own", "two")
    assert changes(old, reading(upstream)) == ("upstream.own.password_file",)


def test_the_same_file_by_another_path_is_no_change(reading):
    """A gate that was started with a relative path reads the same settings by an absolute one later."""
    assert changes(reading("url = 'http://a.test'", Path("couchgate.toml")), reading("url = 'http://a.test'")) == ()


def test_other_tables_are_told_by_name(reading):
    """Rules and the like are told as a whole."""
    rule = '[[rules]]\ndatabases = ["a"]\nallow = ["read"]\n[log]\naccess = "off"\n'
    url = "url = 'http://a.test'"
    assert changes(reading(url), reading(url, more=rule)) == ("rules", "log.access")
