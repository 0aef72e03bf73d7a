"""A settings file to change, the files that it names, and the way to load it."""

from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from couchgate.settings import SettingsError, load
from couchgate.testing import Minter
from tests.upstream.certificates import Authority

UPSTREAM = '[upstream]\nurl = "http://127.0.0.1:5984"\nsecret_file = "proxy.secret"\n'
ISSUER = """
[[issuers]]
issuer = "https://id.example.com/"
audiences = ["couchgate"]
algorithms = ["ES256"]
keys = "key.pub.pem"
"""
RULE = '\n[[rules]]\ndatabases = ["notes-{name}"]\nallow = ["read"]\n'
MINIMAL = UPSTREAM + ISSUER + RULE

EVERYTHING = """
[gate]
mode = "close"
hosts = ["Gate.Example.com", "other.example.com:8443", "[::1]:5985"]
state_dir = "elsewhere"
drain_seconds = 2.5
[[gate.listeners]]
endpoint = "tcp:1"
[[gate.listeners]]
endpoint = "tcp:2"
mode = "keepalive"
admin = true
[upstream]
url = "https://couch.example.com:6984/"
ca_file = "certificate.pem"
client_certificate = "certificate.pem"
client_key = "certificate.key"
server_name = "CouchDB.internal"
auth = "proxy"
secret_file = "proxy.secret"
hmac = "sha1"
username = "couchgate"
password_file = "password"
connect_seconds = 1
first_byte_seconds = 2.5
idle_seconds = 3.5
connections = 3
[upstream.own]
username = "own"
password_file = "password"
[[issuers]]
issuer = "https://id.example.com/"
audiences = []
authorized_parties = ["app"]
algorithms = ["ES256", "ES384"]
keys = "http://localhost:8080/jwks.json"
stale_seconds = 3600
leeway = 0
name_prefix = "id:"
[issuers.claims]
name = "preferred_username"
roles = "realm_access.roles"
tenant = "org"
[auth]
token_as_password = true
feed_seconds = 90
[[auth.checkers]]
checker = "file:password"
name_prefix = "staff-"
[cors]
origins = ["https://app.example.com"]
private_network = true
[[rules]]
issuers = ["https://id.example.com/"]
databases = ["shared"]
roles = ["editor"]
allow = []
[[rules]]
allow = ["server"]
[limits]
head_bytes = 2048
header_count = 9
body_bytes = 0
head_seconds = 1
idle_seconds = 2
connections = 3
threads = 5
feeds = 4
lasting_feeds = 3
[admin]
role = "ops"
issuers = ["https://id.example.com/"]
[log]
access = "access.log"
trace = false
[recorder]
enabled = false
bytes = 65536
"""


MINTER = Minter("ES256")
with TemporaryDirectory() as made:
    PAIR = Authority(Path(made)).pair("couchgate", ends=timedelta(days=15))


@pytest.fixture
def folder(tmp_path):
    """A folder with a key, a proxy secret, a password and a certificate with its key, private as they should be."""
    (tmp_path / "certificate.pem").write_bytes(PAIR[0])
    (tmp_path / "certificate.key").write_bytes(PAIR[1])
    (tmp_path / "certificate.key").chmod(0o600)
    files = {"key.pub.pem": MINTER.public_pem(), "proxy.secret": b"s" * 32 + b"\n", "password": b"p\xc3\xa4ss\n"}
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
        (tmp_path / name).chmod(0o600)
    return tmp_path


@pytest.fixture
def settle(folder):
    """Write a settings file and load it."""

    def settle(text, **overrides):
        path = folder / "couchgate.toml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return load(path, {key.replace("__", "."): value for key, value in overrides.items()})

    return settle


@pytest.fixture
def refusal(settle):
    """The sentence with which a settings file is refused, less its path."""

    def refusal(text, **overrides):
        with pytest.raises(SettingsError) as caught:
            settle(text, **overrides)
        sentence = str(caught.value)
        assert "\n" not in sentence
        path, _, rest = sentence.partition("couchgate.toml: ")
        assert path
        assert rest
        return rest

    return refusal


@pytest.fixture
def upstream_text():
    """An [upstream] table."""
    return UPSTREAM


@pytest.fixture
def issuer_text():
    """An [[issuers]] table."""
    return ISSUER


@pytest.fixture
def rule_text():
    """A [[rules]] table."""
    return RULE


@pytest.fixture
def minimal():
    """The smallest file of use."""
    return MINIMAL


@pytest.fixture
def everything():
    """A file with every key but `gate.listen`, which `gate.listeners` excludes."""
    return EVERYTHING
