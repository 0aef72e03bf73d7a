"""Every module, and every command, on (a pretended) Windows. `conftest` says what that shows."""

import json

import pytest

from couchgate.testing import Minter
from tests.test_rooms import MODULES

SETTINGS = """
[gate]
state_dir = 'state'
[upstream]
url = "http://127.0.0.1:9"
secret_file = "proxy.secret"
[[issuers]]
issuer = "https://id.example.com/"
audiences = ["couchgate"]
algorithms = ["ES256"]
keys = "key.pub.pem"
[[rules]]
databases = ["*"]
allow = ["read"]
"""
RUN = """
import contextlib, io, json, sys
from couchgate.cli import main

def run(*argv):
    out, err = (io.TextIOWrapper(io.BytesIO(), "cp1252", newline="") for _ in range(2))
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            status = main(argv)
        except SystemExit as end:
            status = end.code
        for each in (out, err):
            each.flush()
    return status, *(each.buffer.getvalue().decode("cp1252") for each in (out, err))

sys.stdout.write(json.dumps([run(*argv) for argv in json.loads(sys.argv[1])]))
"""
IMPORTS = f"import {', '.join(MODULES)}; print({len(MODULES)})"
COMMANDS = ("demo", "check", "token", "explain", "doctor", "reload", "postmortem", "probe")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Settings in a folder whose name no code page holds."""
    folder = tmp_path_factory.mktemp("commands") / "Жора"
    folder.mkdir()
    minter = Minter("ES256")
    (folder / "key.pem").write_bytes(minter.private_pem())
    (folder / "key.pub.pem").write_bytes(minter.public_pem())
    (folder / "proxy.secret").write_bytes(b"s" * 32 + b"\r\n")
    (folder / "couchgate.toml").write_text(SETTINGS)
    return folder


@pytest.fixture(scope="module")
def ran(python, folder):
    """What one process answered to each command line: status, stdout, stderr."""
    config = ["--config", "couchgate.toml"]
    lines = {
        "help": ["--help"],
        **{f"{each} --help": [each, "--help"] for each in COMMANDS},
        "check": ["check", "--config", str(folder / "couchgate.toml")],
        "check a folder": ["check", "--config", str(folder)],
        "token": ["token", "--key", "key.pem", "--sub", "alice", *config],
        "explain": ["explain", *config, "GET", "/notes"],
        "postmortem": ["postmortem", *config],
        "reload": ["reload", *config],
        "doctor": ["doctor", *config],
    }
    done = python(RUN, json.dumps(list(lines.values())), cwd=folder)
    assert done.returncode == 0, done.stderr.decode()
    answers = dict(zip(lines, json.loads(done.stdout), strict=True))
    assert "Traceback" not in done.stdout.decode("cp1252")
    return answers


def test_every_module_can_be_imported(python):
    """Each module of the package, in a process that has nothing that Windows lacks."""
    done = python(IMPORTS)
    assert done.stdout.split() == [str(len(MODULES)).encode()], done.stderr.decode()


def test_every_command_says_what_it_does(ran):
    """`--help` of the command and of each subcommand: all of them are asked."""
    assert all(f"  {each}" in ran["help"][1] for each in COMMANDS)
    listed = ran["help"][1].partition("commands:")[2].split("\n")
    assert {line.split()[0] for line in listed if line[:4] == "    " and line[4:5].isalpha()} == set(COMMANDS)
    for each in COMMANDS:
        status, said, _ = ran[f"{each} --help"]
        assert (status, said.startswith(f"usage: couchgate {each}")) == (0, True), ran[f"{each} --help"]


def test_a_text_that_the_code_page_lacks_is_escaped(ran):
    """A path in letters of another alphabet does not end the command that writes it into a pipe."""
    status, said, _ = ran["check"]
    assert status == 0
    assert "\\u0416\\u043e\\u0440\\u0430" in said
    assert "couchgate.toml is valid" in said


def test_a_folder_in_the_place_of_a_file_is_called_a_folder(ran):
    """Windows says that permission is denied, and that would send a person the wrong way."""
    status, _, said = ran["check a folder"]
    assert (status, "which is a folder, not a file" in said) == (1, True), said


def test_tokens_and_explanations_are_made(ran):
    """What needs no gate gives what it gives elsewhere; the secret has lost its line end of Windows."""
    assert ran["token"][0] == 0
    assert ran["token"][1].count(".") == 2
    status, said, problem = ran["explain"]
    assert (status, "401" in said) == (3, True), (said, problem)


def test_what_cannot_be_done_is_one_sentence(ran):
    """Without a gate, a recorder's ring or a CouchDB the commands say so, as elsewhere."""
    assert ran["reload"][0] == ran["postmortem"][0] == ran["doctor"][0] == 1
    assert "no gate has run with these settings yet" in ran["reload"][2]
    assert "has no ring of a run" in ran["postmortem"][2]
    assert "reachable: " in ran["doctor"][1]
