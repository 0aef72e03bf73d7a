"""The `couchgate` command, as a person runs it."""

import base64
import json
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat

from couchgate.core.keys import KeySet
from couchgate.core.principal import Principal, principal_of
from couchgate.core.token import TokenRules, verify
from couchgate.settings import load
from couchgate.testing import Minter

ROOT = Path(__file__).parents[1]
PROGRAM = "import sys; from couchgate.cli import main; sys.exit(main())"
SETTINGS = """
[upstream]
url = "http://127.0.0.1:5984"
auth = "none"
[[issuers]]
issuer = "https://id.example.com/"
audiences = ["couchgate"]
algorithms = ["{algorithm}"]
keys = "{keys}"
[issuers.claims]
name = "login"
roles = "realm.roles"
tenant = "org"
[[rules]]
databases = ["*"]
allow = ["read"]
"""


def couchgate(*arguments):
    """Run the command in a process of its own; it never shows a traceback."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "Traceback" not in done.stdout + done.stderr
    return done


def refused(*arguments, status=1):
    """What the command says when it refuses: one line on stderr, nothing on stdout."""
    done = couchgate(*arguments)
    assert (done.returncode, done.stdout) == (status, "")
    assert done.stderr.startswith("couchgate: ")
    assert done.stderr.count("\n") == 1
    return done.stderr


def parts_of(token):
    """Header and claims of a token, unverified."""
    return [json.loads(base64.urlsafe_b64decode(part + "==")) for part in token.strip().split(".")[:2]]


def verified(token, minter, **rules):
    """Whom the gate's own core holds the token's bearer to be."""
    fit = {"id": "x", "issuer": "https://id.example.com/", "audiences": {"couchgate"}, "algorithms": {minter.algorithm}}
    rules = TokenRules(**{**fit, **rules})
    keys = KeySet.from_jwks(minter.jwks(), rules.algorithms)
    return principal_of(verify(token.strip().encode(), [rules], {"x": keys}, time.time()).claims, rules)


@pytest.fixture
def folder(tmp_path):
    """A folder with a development key and settings that trust it."""
    minter = Minter("ES256")
    (tmp_path / "dev.pem").write_bytes(minter.private_pem())
    (tmp_path / "dev.pub.pem").write_bytes(minter.public_pem())
    (tmp_path / "couchgate.toml").write_text(SETTINGS.format(algorithm="ES256", keys="dev.pub.pem"))
    return tmp_path


def test_without_arguments_it_helps():
    """No command at all prints the help and is no failure."""
    done = couchgate()
    assert done.returncode == 0
    assert all(word in done.stdout for word in ("demo", "check", "token", "twistd -n couchgate"))


@pytest.mark.parametrize("command", ["demo", "check", "token"])
def test_each_command_explains_itself_with_an_example(command):
    """The help of a command has an example that can be pasted."""
    done = couchgate(command, "--help")
    assert done.returncode == 0
    assert f"\n  couchgate {command}" in done.stdout


def test_it_knows_its_version():
    """`--version` is one line with a version number, and says whether the installed modules are compiled."""
    assert re.fullmatch(r"couchgate \d+\.\d+\.\d+\S* \((compiled|pure Python)\)\n", couchgate("--version").stdout)


def test_an_unknown_command_is_a_usage_error():
    """What is no command is status 2, with the commands that there are."""
    done = couchgate("chekc")
    assert done.returncode == 2
    assert "check" in done.stderr


# check


def test_check_says_that_a_file_is_valid(folder):
    """A right file is one line on stdout and status 0."""
    done = couchgate("check", "--config", folder / "couchgate.toml")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (
        f"{folder / 'couchgate.toml'} is valid: listens on tcp:5985:interface=127.0.0.1 (keepalive); "
        "CouchDB is http://127.0.0.1:5984 (none); issuers: 1, rules: 1.\n"
    )


def test_check_prints_warnings_and_passes(folder):
    """Warnings go to stderr and do not change the status."""
    path = folder / "couchgate.toml"
    path.write_text(path.read_text().replace('["couchgate"]', "[]"))
    done = couchgate("check", "--config", path)
    assert done.returncode == 0
    assert done.stderr.startswith(f"couchgate: warning: {path}: issuers[0].audiences is empty")
    assert "is valid" in done.stdout


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"[gate]\nmode = \n", "line 2, column 8 is not valid TOML"),
        (b"\xff\xfe[gate]", "line 1 is not UTF-8"),
        (b"[gate]\nmode = 'clsoe'\n", 'gate.mode must be "keepalive", "close" or "threaded", not \'clsoe\';'),
        (b"", "upstream.url is missing"),
    ],
)
def test_check_refuses_a_bad_file_in_one_sentence(content, words, tmp_path):
    """A bad file is one sentence with its name and status 1, never a traceback."""
    path = tmp_path / "bad.toml"
    path.write_bytes(content)
    sentence = refused("check", "--config", path)
    assert sentence.startswith(f"couchgate: {path}: ")
    assert words in sentence


@pytest.mark.parametrize(("name", "words"), [("gone.toml", "does not exist"), (".", "is a folder")])
def test_check_refuses_what_is_no_file(name, words, tmp_path):
    """A missing file and a folder are named as such."""
    assert words in refused("check", "--config", tmp_path / name)


@pytest.mark.parametrize(
    ("endpoint", "words"),
    [
        ("ssl:0:privateKey=/nonexistent/k.pem", "/nonexistent/k.pem"),
        ("nosuchkind:1", "nosuchkind"),
        ("tcp:1:nosuchword=2", "nosuchword"),
    ],
)
def test_check_asks_twisted_about_endpoints(endpoint, words, folder):
    """A kind that no plugin brings, and a certificate that is not there, are found before the gate is started."""
    path = folder / "couchgate.toml"
    path.write_text(f'[gate]\nlisten = ["{endpoint}"]\n{path.read_text()}')
    assert words in refused("check", "--config", path)


def test_check_leaves_sockets_of_systemd_to_systemd(folder):
    """The example's socket endpoint is valid although nobody handed a socket over."""
    path = folder / "couchgate.toml"
    path.write_text(f'[gate]\nlisten = ["systemd:domain=INET:index=0"]\n{path.read_text()}')
    assert couchgate("check", "--config", path).returncode == 0


# token


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "ES384", "ES512", "EdDSA"])
def test_a_token_by_a_private_key_is_one_that_the_gate_takes(algorithm, tmp_path):
    """The key's own algorithm is used, and name, roles and tenant arrive."""
    minter = Minter(algorithm)
    (tmp_path / "dev.pem").write_bytes(minter.private_pem())
    done = couchgate(
        "token", "--key", tmp_path / "dev.pem", "--issuer", "https://id.example.com/", "--audience", "couchgate",
        "--sub", "alice", "--roles", "a, b,", "--tenant", "acme", "--kid", "test-1",
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert parts_of(done.stdout)[0]["kid"] == "test-1"
    assert verified(done.stdout, minter) == Principal("https://id.example.com/", "alice", ("a", "b"), "acme", None)


@pytest.mark.parametrize(("alg", "size"), [(None, 32), ("HS384", 48), ("HS512", 64)])
def test_a_token_by_a_secret(alg, size, tmp_path):
    """A file that is no PEM is an HMAC secret, less one trailing newline."""
    secret = bytes(range(33, 33 + size))
    (tmp_path / "secret").write_bytes(secret + b"\n")
    chosen = ["--alg", alg] if alg else []
    done = couchgate(
        "token", "--key", tmp_path / "secret", "--issuer", "https://id.example.com/", "--audience", "couchgate",
        "--sub", "alice", *chosen,
    )  # fmt: skip
    assert verified(done.stdout, Minter(alg or "HS256", kid=None, key=secret)).name == "alice"


def test_alg_chooses_among_what_the_key_can(tmp_path):
    """An RSA key signs PS512, too."""
    minter = Minter("PS512")
    (tmp_path / "dev.pem").write_bytes(minter.private_pem())
    done = couchgate(
        "token", "--key", tmp_path / "dev.pem", "--issuer", "https://id.example.com/", "--audience", "couchgate",
        "--sub", "alice", "--alg", "PS512", "--kid", "test-1",
    )  # fmt: skip
    assert verified(done.stdout, minter).name == "alice"


def test_the_settings_give_issuer_audience_and_claim_names(folder):
    """With `--config` the token is one that a gate with these settings takes."""
    done = couchgate(
        "token", "--key", folder / "dev.pem", "--config", folder / "couchgate.toml", "--sub", "alice",
        "--roles", "editor", "--tenant", "acme", "--expires", "30m",
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    (issuer,) = load(folder / "couchgate.toml").issuers
    keys = KeySet.parse_file(Path(issuer.keys).read_bytes(), issuer.rules.algorithms)
    proved = verify(done.stdout.strip().encode(), [issuer.rules], {issuer.rules.id: keys}, time.time())
    assert principal_of(proved.claims, issuer.rules) == Principal(
        "https://id.example.com/", "alice", ("editor",), "acme", None
    )
    assert proved.claims["exp"] - proved.claims["iat"] == 1800


def test_a_key_that_the_settings_do_not_trust_is_a_warning(folder):
    """The token is printed, and a word that this gate refuses it."""
    (folder / "other.pem").write_bytes(Minter("ES256").private_pem())
    done = couchgate("token", "--key", folder / "other.pem", "--config", folder / "couchgate.toml", "--sub", "alice")
    assert done.returncode == 0
    assert done.stderr == (
        "couchgate: warning: a gate with these settings refuses this token: The token's signature is not valid.\n"
    )


def test_with_two_issuers_one_must_be_chosen(folder):
    """`--issuer` chooses among the tables; without it nothing is guessed."""
    path = folder / "couchgate.toml"
    second = '[[issuers]]\nissuer = "two"\naudiences = ["x"]\n'
    second += 'algorithms = ["ES256"]\nkeys = "dev.pub.pem"\nname_prefix = "b:"\n'
    text = path.read_text().replace("[[issuers]]", second + "[[issuers]]\nname_prefix = 'a:'")
    path.write_text(text.replace("[[rules]]", '[[rules]]\nissuers = ["two"]'))
    base = ["token", "--key", folder / "dev.pem", "--config", path, "--sub", "alice"]
    assert "more than one of the [[issuers]] fits" in refused(*base)
    assert "none of the [[issuers]] fits" in refused(*base, "--issuer", "three")
    claims = parts_of(couchgate(*base, "--issuer", "two").stdout)[1]
    assert (claims["iss"], claims["aud"]) == ("two", "x")


NAMES = ["--issuer", "https://id.example.com/", "--audience", "couchgate", "--sub", "alice"]


def test_a_token_needs_an_issuer_and_an_audience(folder):
    """Neither is guessed without settings."""
    assert "needs --issuer and --audience" in refused("token", "--key", folder / "dev.pem", "--sub", "alice")


def test_a_key_that_cannot_be_read_is_one_sentence(folder):
    """A missing key, a folder, and a public key are named, and nothing of a key is shown."""
    assert "No such file" in refused("token", "--key", folder / "gone.pem", *NAMES)
    assert "directory" in refused("token", "--key", folder, *NAMES)
    assert "must hold one private key in PEM" in refused("token", "--key", folder / "dev.pub.pem", *NAMES)


def test_a_key_with_a_password_is_one_sentence(folder):
    """An encrypted key is refused with what would be right."""
    key = rsa.generate_private_key(65537, 2048)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x"))
    (folder / "locked.pem").write_bytes(pem)
    assert "without a password" in refused("token", "--key", folder / "locked.pem", *NAMES)


def test_a_weak_key_is_refused(folder):
    """A key that the gate would refuse makes no token."""
    (folder / "short").write_bytes(b"hunter2\n")
    sentence = refused("token", "--key", folder / "short", *NAMES)
    assert "32 bytes for HS256" in sentence
    assert "hunter2" not in sentence
    key = rsa.generate_private_key(65537, 1024)
    (folder / "weak.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    assert "2048" in refused("token", "--key", folder / "weak.pem", *NAMES)


def test_a_key_for_another_algorithm_is_refused(folder):
    """The algorithm must be one that the key can do and the settings allow."""
    assert "this key is for ES256, not for RS256" in refused(
        "token", "--key", folder / "dev.pem", "--alg", "RS256", *NAMES
    )
    path = folder / "couchgate.toml"
    (folder / "rsa.pem").write_bytes(Minter("RS256").private_pem())
    sentence = refused("token", "--key", folder / "rsa.pem", "--config", path, "--sub", "alice")
    assert "not for ES256" in sentence


@pytest.mark.parametrize("time_", ["0", "-1h", "1w", "h", "1.5h", "999999999d"])
def test_what_is_no_time_is_a_usage_error(time_, folder):
    """Times are whole numbers of s, m, h or d, up to about ten years."""
    done = couchgate("token", "--key", folder / "dev.pem", *NAMES, f"--expires={time_}")
    assert done.returncode == 2
    assert "is no time such as 45s, 30m, 8h or 7d" in done.stderr


def test_the_package_is_the_command_too():
    """`python -m couchgate` is for hosts where a script of that name may not be run."""
    done = subprocess.run(
        [sys.executable, "-m", "couchgate", "--help"], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "probe" in done.stdout
