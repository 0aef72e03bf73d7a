"""`twistd couchgate`, as an operator starts it: its options, its help, and how it refuses."""

import base64
import http.client
import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
from contextlib import closing, contextmanager
from pathlib import Path
from threading import Thread

import pytest

from couchgate.testing import Minter
from tests.web.sockets import PATIENCE, Upstream, eventually

ROOT = Path(__file__).parents[1]
TWISTD = "from twisted.scripts.twistd import run; run()"
HELLO = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 11\r\n\r\n" + b'{"ok":true}'
SETTINGS = """
[gate]
listen = ["tcp:0:interface=127.0.0.1"]
drain_seconds = 0.1
[upstream]
url = "{upstream}"
auth = "none"
[log]
access = "off"
"""
ISSUER = """
[[issuers]]
issuer = "https://id.example.com/"
audiences = ["couchgate"]
algorithms = ["ES256"]
keys = "key.pem"
"""
RULES = """
[[rules]]
issuers = ["https://id.example.com/"]
databases = ["db"]
allow = ["read"]
"""
_LISTENS = re.compile(r"couchgate listens on \S+ host='127.0.0.1', port=(\d+)\) \((\w+)\)")
MINTER = Minter("ES256")


def command(*arguments, twistd=()):
    return [sys.executable, "-c", TWISTD, "-n", "--pidfile=", *twistd, "couchgate", *map(str, arguments)]


def run(*arguments, folder, twistd=()):
    """`twistd couchgate` that ends by itself; it never shows a traceback."""
    done = subprocess.run(
        command(*arguments, twistd=twistd),
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "Traceback" not in done.stdout + done.stderr, done.stdout + done.stderr
    return done


def refused(*arguments, folder):
    """The one sentence on stderr with which it refuses to run."""
    done = run(*arguments, folder=folder)
    assert done.returncode == 1
    assert done.stderr.startswith("couchgate: ")
    assert done.stderr.count("\n") == 1
    return done.stderr


def refused_late(*arguments, folder):
    """The one sentence with which it refuses to run after its log has begun; twistd puts it there."""
    done = run(*arguments, folder=folder)
    assert done.returncode == 1
    (said,) = [line for line in (done.stdout + done.stderr).splitlines() if "] couchgate: " in line]
    return said.partition("] couchgate: ")[2]


@pytest.fixture
def upstream():
    """CouchDB's place. A thread answers whatever comes."""
    listening = Upstream()
    closed = []

    def serve(peer):
        try:
            while True:
                peer.requests.append(peer.message())
                peer.send(HELLO)
        except (OSError, AssertionError):
            pass  # the gate has closed it

    def accept():
        while not closed:
            try:
                peer = listening.accept()
            except OSError:
                continue
            peer.requests = listening.requests
            Thread(target=serve, args=[peer], daemon=True).start()

    listening.requests = []
    thread = Thread(target=accept, daemon=True)
    thread.start()
    yield listening
    closed.append(True)
    socket.create_connection(("127.0.0.1", listening.port)).close()
    thread.join(PATIENCE)
    listening.close()


@pytest.fixture
def folder(tmp_path, upstream):
    """A folder with settings that have no issuer, an issuer's file, and its key."""
    (tmp_path / "key.pem").write_bytes(MINTER.public_pem())
    (tmp_path / "couchgate.toml").write_text(SETTINGS.format(upstream=upstream.url) + RULES)
    (tmp_path / "issuer.toml").write_text(ISSUER)
    return tmp_path


@contextmanager
def running(folder, *arguments, twistd=()):
    """A gate that runs; its port and a function for its log. It ends well."""
    path = folder / "twistd.log"
    with path.open("wb") as log:
        process = subprocess.Popen(
            command(*arguments, twistd=twistd),
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=log,
            stderr=log,
        )

    def listens():
        assert process.poll() is None, path.read_text()
        return _LISTENS.search(path.read_text())

    try:
        yield int(eventually(listens, 30)[1]), path.read_text
        process.terminate()
        assert process.wait(PATIENCE) == -signal.SIGTERM  # twistd ends by the signal that ended it
    finally:
        process.kill()
        process.wait()
    assert "Traceback" not in path.read_text(), path.read_text()


def get(port, path="/db/doc", **headers):
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)) as client:
        client.request("GET", path, headers=headers)
        answer = client.getresponse()
        return answer.status, json.loads(answer.read())


def password(name, word):
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{word}".encode()).decode()}


def bearer(**claims):
    return {"Authorization": f"Bearer {MINTER.token(**claims)}"}


# Help


def test_twistd_lists_couchgate(tmp_path):
    """`twistd --help` names the command with what it is."""
    done = subprocess.run(
        [sys.executable, "-c", TWISTD, "--help"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert re.search(r"\n +couchgate +An authenticating reverse proxy in front of Apache CouchDB", done.stdout)


def test_the_help_names_every_flag(tmp_path):
    """`twistd couchgate --help` tells what can be given."""
    done = run("--help", folder=tmp_path)
    assert done.returncode == 0
    for flag in ("--config", "--listen", "--mode", "--upstream", "--access-log", "--auth", "--help-auth-type"):
        assert f"{flag}=" in done.stdout


def test_help_auth_lists_only_what_the_gate_can_use(tmp_path):
    """Of all checkers that Twisted knows, those for tokens and for names and passwords."""
    done = run("--help-auth", folder=tmp_path)
    assert done.returncode == 0
    assert "\tPATH: a TOML file with one [[issuers]] table\n" in done.stdout
    kinds = {line.partition("\t")[0].strip() for line in done.stdout.splitlines() if "\t" in line}
    assert {"jwt", "file", "memory"} <= kinds
    assert not {"anonymous", "sshkey"} & kinds


def test_help_auth_type_jwt_explains_the_file(tmp_path):
    """The long help shows a table that can be copied, and no warning that it is not supported."""
    done = run("--help-auth-type", "jwt", folder=tmp_path)
    assert done.returncode == 0
    for word in ("--auth jwt", "[[issuers]]", "audiences", "algorithms", "keys", "settings file"):
        assert word in done.stdout
    assert "not supported" not in done.stdout


def test_help_auth_type_of_another_checker_says_that_it_is_not_supported(tmp_path):
    """Those that take no name and password are explained with the warning."""
    assert "not supported by this application" in run("--help-auth-type", "anonymous", folder=tmp_path).stdout
    assert "not supported by this application" not in run("--help-auth-type", "file", folder=tmp_path).stdout


def test_auth_lets_people_in_by_name_and_password(folder):
    """Twisted's file and memory checkers serve beside tokens, each for what a rule opens to its issuer."""
    settings = folder / "couchgate.toml"
    settings.write_text(
        settings.read_text().replace('["https://id.example.com/"]', '["https://id.example.com/", "auth:file"]')
        + '[[rules]]\nissuers = ["auth:memory"]\ndatabases = ["other"]\nallow = ["read"]\n'
    )
    (folder / "passwd").write_text("alice:wonder\n")
    (folder / "passwd").chmod(0o600)
    flags = ("--auth", "jwt:issuer.toml", "--auth", "file:passwd", "--auth", "memory:alice:land")
    with running(folder, *flags) as (port, log):
        assert get(port, **bearer()) == (200, {"ok": True})
        assert get(port, **password("alice", "wonder")) == (200, {"ok": True})
        assert get(port, **password("alice", "land"))[0] == 403
        assert get(port, "/other", **password("alice", "land")) == (200, {"ok": True})
        assert get(port, **password("alice", "x"))[0] == 401
        names = [get(port, "/_session", **password("alice", word))[1] for word in ("wonder", "land")]
        assert [each["userCtx"]["name"] for each in names] == ["auth:file:alice", "auth:memory:alice"]
    assert "keeps passwords where others may see them" in log()
    assert "wonder" not in log()


# --auth


def test_auth_alone_gives_the_issuers(folder, upstream):
    """With --auth a settings file needs no [[issuers]]: its tokens are let in, others are not."""
    with running(folder, "--auth", "jwt:issuer.toml") as (port, _):
        assert get(port, **bearer()) == (200, {"ok": True})
        assert get(port, **bearer(aud="other"))[0] == 401
        assert get(port)[0] == 401


def test_auth_joins_the_settings_issuers(folder):
    """Issuers of the settings and of --auth files serve side by side, each with its keys; a changed key is read."""
    other = Minter("ES256", issuer="https://other.example.com/")
    (folder / "other").mkdir()
    (folder / "other" / "key.pem").write_bytes(other.public_pem())
    (folder / "other" / "issuer.toml").write_text(ISSUER.replace("id.", "other.") + 'name_prefix = "o:"\n')
    settings = folder / "couchgate.toml"
    settings.write_text(
        settings.read_text().replace(
            '"https://id.example.com/"', '"https://id.example.com/", "https://other.example.com/"'
        )
    )
    with running(folder, "--auth", "jwt:issuer.toml", "--auth", "jwt:other/issuer.toml") as (port, _):
        assert get(port, **bearer())[0] == 200
        assert get(port, Authorization=f"Bearer {other.token()}")[0] == 200
        # The issuer without a prefix cannot name the other's people, and neither's keys open the other's door.
        status, refusal = get(port, **bearer(sub="o:alice"))
        assert (status, refusal["error"]) == (401, "unauthorized")
        assert get(port, **bearer(iss="https://other.example.com/"))[0] == 401


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (ISSUER, "issuer.toml: issuers[0].audiences must not be empty and must differ from couchgate.toml: issuers[0]"),
        (
            ISSUER.replace("id.", "other."),
            "issuer.toml: issuers[0].name_prefix and couchgate.toml: issuers[0].name_prefix ('' and '')",
        ),
        (ISSUER * 2, "issuer.toml: issuers must be one [[issuers]] table, not 2"),
        ("", "issuer.toml: issuers must be one [[issuers]] table, not 0"),
        (ISSUER + "[gate]\n", "issuer.toml: gate is not a setting"),
        (ISSUER.replace("key.pem", "gone.pem"), "issuer.toml: issuers[0].keys names"),
        ("[[issuers]\n", "issuer.toml: line 1, column 10 is not valid TOML"),
    ],
)
def test_an_issuer_that_does_not_fit_is_one_sentence(folder, text, said):
    """What is wrong with a file of --auth, by itself or beside the settings, is told with both names."""
    with (folder / "couchgate.toml").open("a") as settings:
        settings.write(ISSUER)
    (folder / "issuer.toml").write_text(text)
    assert said in refused("--auth", "jwt:issuer.toml", folder=folder)


@pytest.mark.parametrize(
    ("argument", "said"),
    [
        ("file:passwords", "--auth: checker names"),
        ("file", "--auth: checker must be a kind and its argument"),
        ("memory:a", 'one checker has an argument that "memory" cannot use'),
        ("passwd", 'one checker has the kind "passwd", which is not installed'),
        ("./passwd", "--auth: checker must be a kind and its argument"),
        ("nonsense:x", 'one checker has the kind "nonsense", which is not installed'),
        ("anonymous:x", 'one checker has the kind "anonymous", which takes no name and password'),
        ("nonsense\u00e9\n", "--auth: checker must be a text without control characters"),
        ("jwt", "needs a file"),
        ("jwt:", "needs a file"),
        ("jwt:gone.toml", "gone.toml: the settings file is one which does not exist"),
    ],
)
def test_a_checker_that_cannot_be_used_is_one_sentence(folder, argument, said):
    """A kind that there is not, an argument that is none, and a missing file are refused with what would be right."""
    assert said in refused("--auth", "jwt:issuer.toml", "--auth", argument, folder=folder)


def test_no_issuer_at_all_is_one_sentence(folder):
    """Without [[issuers]] and without --auth there is nobody to let in."""
    assert "issuers is missing" in refused(folder=folder)


# Starting


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("[gate]", "[gaet]"), "couchgate.toml: gaet is not a setting; did you mean gate?"),
        (("listen", "lisen"), "couchgate.toml: gate.lisen is not a setting; did you mean gate.listen?"),
        (('"none"', "7"), "couchgate.toml: upstream.auth must be a text in quotes, not 7"),
    ],
)
def test_wrong_settings_are_one_sentence(folder, change, said):
    """What is wrong with the settings is told with file, key and what would be right; the status is 1."""
    settings = folder / "couchgate.toml"
    settings.write_text(settings.read_text().replace(*change, 1))
    assert said in refused("--auth", "jwt:issuer.toml", folder=folder)


def test_a_port_in_use_is_one_sentence(folder, upstream):
    """A port that another program has is named, with what to do; the status is 1."""
    endpoint = f"tcp:{upstream.port}:interface=127.0.0.1"
    said = refused_late("--auth", "jwt:issuer.toml", "--listen", endpoint, folder=folder)
    assert endpoint in said
    assert "in use" in said
    assert "name another endpoint" in said


def test_an_endpoint_that_is_none_is_one_sentence(folder):
    """An endpoint of a kind that Twisted does not know is named; the status is 1."""
    said = refused_late("--auth", "jwt:issuer.toml", "--listen", "nonsense:1", folder=folder)
    assert said.startswith("cannot listen on 'nonsense:1': ")


@pytest.mark.parametrize("reactor", ["select", "asyncio", "epoll", "poll"])
@pytest.mark.parametrize("mode", ["keepalive", "close"])
def test_any_reactor_will_do(folder, reactor, mode):
    """`twistd --reactor` is obeyed, requests pass under it, and it ends well."""
    with running(folder, "--auth", "jwt:issuer.toml", "--mode", mode, twistd=[f"--reactor={reactor}"]) as (port, log):
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)) as client:
            for _ in range(3):
                client.request("GET", "/db/doc", headers=bearer())
                answer = client.getresponse()
                assert (answer.status, answer.read()) == (200, b'{"ok":true}')
                assert answer.version == (11 if mode == "keepalive" else 10)
        assert get(port, "/_gate/ready") == (200, {"status": "ready"})
        loop = {"asyncio": "AsyncioSelector", "select": "Select", "epoll": "EPoll", "poll": "Poll"}[reactor]
        assert f"{loop}Reactor" in log()
        assert f"({mode})" in log()


# The folder for state


def test_the_state_folder_is_made_for_the_gate_alone(folder):
    """A missing state_dir is made when the gate starts, with mode 0700; one that is there stays as it is."""
    with running(folder, "--auth", "jwt:issuer.toml"):
        assert stat.S_IMODE((folder / "state").stat().st_mode) == 0o700
    (folder / "state").chmod(0o750)
    with running(folder, "--auth", "jwt:issuer.toml"):
        assert stat.S_IMODE((folder / "state").stat().st_mode) == 0o750


def test_a_state_folder_that_cannot_be_made_is_one_sentence(folder):
    """A state_dir in a folder that does not exist is named, with what would be right; the status is 1."""
    settings = folder / "couchgate.toml"
    settings.write_text(settings.read_text().replace("[gate]", '[gate]\nstate_dir = "no/such/folder"'))
    said = refused_late("--auth", "jwt:issuer.toml", folder=folder)
    assert "gate.state_dir names" in said
    assert "no/such/folder" in said
    assert "No such file or directory" in said


# The gate's own name


@pytest.mark.parametrize("named", [False, True])
def test_readiness_asks_with_the_gate_s_own_name(folder, upstream, named):
    """[upstream.own] is shown to CouchDB by the gate's own calls, and by no forwarded request."""
    if named:
        (folder / "own.password").write_text("p\u00e4ss\n")
        (folder / "own.password").chmod(0o600)
        with (folder / "couchgate.toml").open("a") as settings:
            settings.write('[upstream.own]\nusername = "couchgate"\npassword_file = "own.password"\n')
    with running(folder, "--auth", "jwt:issuer.toml") as (port, _):
        assert get(port, "/_gate/ready")[0] == 200
        assert get(port, **bearer())[0] == 200
    asked = {request.start: request.first(b"authorization") for request in upstream.requests}
    assert asked[b"GET / HTTP/1.1"] == (b"Basic Y291Y2hnYXRlOnDDpHNz" if named else None)
    assert asked[b"GET /db/doc HTTP/1.1"] is None
