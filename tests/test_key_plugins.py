"""Key sources of other packages: the example in docs/keys.md, installed by pip beside the gate."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from couchgate.testing import Minter
from tests.web.live import HELLO, running_gate
from tests.web.sockets import Upstream

ROOT = Path(__file__).parents[1]
MINTER = Minter("ES256", kid="one")
COMMAND = "import sys; from couchgate.cli import main; sys.exit(main())"
TWISTD = "from twisted.scripts.twistd import run; run()"
SETTINGS = (
    '[upstream]\nurl = "http://127.0.0.1:9"\nauth = "none"\n{issuer}\n[[rules]]\ndatabases = ["db"]\nallow = ["read"]\n'
)


def examples():
    """The code blocks of the page that begin with a file name, by that name."""
    page = (ROOT / "docs" / "keys.md").read_text("utf-8")
    return dict(re.findall(r"^```\w+\n# (\S+)\n(.*?)^```$", page, re.MULTILINE | re.DOTALL))


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The folder that the example was installed into."""
    source, target = tmp_path_factory.mktemp("package"), tmp_path_factory.mktemp("site")
    for name, text in examples().items():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text(text)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--disable-pip-version-check", "--target", target, source], check=True, timeout=100)
    return target


def environment(*sites, **variables):
    return {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (ROOT, *sites))), **variables}


@pytest.fixture
def settings(tmp_path):
    path = tmp_path / "couchgate.toml"
    path.write_text(SETTINGS.format(issuer=examples()["couchgate.toml"]))
    return path


def says(program, *arguments, env):
    """Exit status and output of a command that ends by itself, without a traceback."""
    done = subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)],
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "Traceback" not in done.stdout + done.stderr
    return done.returncode, done.stdout + done.stderr


def test_a_gate_runs_with_keys_of_another_package(site):
    """Tokens of the plugged-in key are served, others are refused, and the gate is ready."""
    upstream = Upstream()
    env = environment(site, ID_KEYS=MINTER.jwks().decode())
    with running_gate(upstream, keys="env:ID_KEYS", env=env) as gate:
        client = gate.client("GET", "/db/doc", token=MINTER.token())
        upstream.exchange(HELLO)
        assert client.message().status == 200
        stranger = Minter("ES256", kid="one").token()
        assert gate.client("GET", "/db/doc", token=stranger).message().status == 401
        unknown = Minter("ES256", kid="two").token()
        assert gate.client("GET", "/db/doc", token=unknown).message().status == 401
    upstream.close()


def test_check_knows_the_package_s_kind(site, settings):
    """With the variable set the settings are valid."""
    status, said = says(COMMAND, "check", "--config", settings, env=environment(site, ID_KEYS=MINTER.jwks().decode()))
    assert (status, said.startswith(f"{settings} is valid")) == (0, True), said


@pytest.mark.parametrize("program", ["check", "twistd"])
@pytest.mark.parametrize(
    ("installed", "value", "sentence"),
    [
        (True, None, "names the variable 'ID_KEYS', which is not set"),
        (True, "{}", "names the variable 'ID_KEYS', which holds no keys to use"),
        (False, "{}", 'names the kind of source "env", which no installed package offers (offered: none)'),
    ],
)
def test_what_is_wrong_is_one_sentence_with_file_and_key(site, settings, program, installed, value, sentence):
    """What a plugin refuses, and a kind that nobody offers, is a settings error in `check` and at the start."""
    env = environment(*([site] if installed else []), **({} if value is None else {"ID_KEYS": value}))
    if program == "check":
        status, said = says(COMMAND, "check", "--config", settings, env=env)
    else:
        status, said = says(TWISTD, "-n", "--pidfile=", "couchgate", "--config", settings, env=env)
    assert status == 1
    assert said.startswith(f"couchgate: {settings}: issuers[0].keys {sentence}"), said


def test_an_unknown_kind_says_which_there_are(site, settings):
    """The kinds that installed packages offer are listed."""
    settings.write_text(settings.read_text().replace("env:", "enf:"))
    _, said = says(COMMAND, "check", "--config", settings, env=environment(site))
    assert '"enf", which no installed package offers (offered: env)' in said


def test_an_issuer_file_is_named_itself(site, tmp_path, settings):
    """For an issuer of --auth jwt:FILE the sentence names that file."""
    issuer = tmp_path / "issuer.toml"
    issuer.write_text(examples()["couchgate.toml"])
    settings.write_text(SETTINGS.format(issuer=""))
    arguments = ["-n", "--pidfile=", "couchgate", "--config", settings, "--auth", f"jwt:{issuer}"]
    status, said = says(TWISTD, *arguments, env=environment(site))
    assert status == 1
    assert said.startswith(f"couchgate: {issuer}: issuers[0].keys names the variable"), said
