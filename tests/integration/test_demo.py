"""`couchgate demo`, run as a person runs it."""

import contextlib
import http.client
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time

import pytest

from tests.ports import free_port

MAIN = "from couchgate.cli import main; raise SystemExit(main())"

pytestmark = [
    pytest.mark.slow,
    # The demo holds the standard input of its children open, and ends them by that.
    pytest.mark.usefixtures("installed"),
]


@pytest.fixture(scope="session")
def installed(standin):
    """The stand-in is installed already: the demo need not wait for npm."""


@pytest.fixture
def port():
    return free_port()


@pytest.fixture
def demo():
    """Starts `couchgate demo` with arguments; what still runs at the end of the test is killed."""
    running = []

    def start(*arguments, **environment):
        process = subprocess.Popen(
            [sys.executable, "-c", MAIN, "demo", *map(str, arguments)],
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        running.append(process)
        return process

    yield start
    for process in running:
        process.kill()
        process.communicate()


def read_until_up(process):
    lines = []
    for line in process.stdout:
        lines.append(line)
        if "Ctrl-C ends everything" in line:
            return "".join(lines)
    raise AssertionError("".join(lines) + process.stderr.read())


def ask(url, method, path, **headers):
    with contextlib.closing(http.client.HTTPConnection(url.removeprefix("http://"), timeout=10)) as connection:
        connection.request(method, path, headers=headers)
        response = connection.getresponse()
        response.read()
        return response.status


def wait_until_gone(*urls):
    deadline = time.monotonic() + 15
    for url in urls:
        host, _, port = url.removeprefix("http://").partition(":")
        while True:
            try:
                socket.create_connection((host, int(port)), 1).close()
            except ConnectionRefusedError:
                break
            assert time.monotonic() < deadline, f"{url} still listens"
            time.sleep(0.05)


def addresses(said):
    return re.search(r"couchgate listens on (\S+), in front of (\S+)", said).groups()


def refused(process):
    """The one sentence of a demo that does not start."""
    out, err = process.communicate(timeout=60)
    assert process.returncode == 1, out + err
    assert "Traceback" not in out + err
    assert err.startswith("couchgate demo: ")
    assert err.count("\n") == 1
    return err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "terminated"])
def test_the_demo_shows_a_round_trip_and_ends_all_it_started(demo, port, number):
    """The demo shows a 401 without a token and answers with one, stays up, and ends gate and database when asked to."""
    process = demo("--port", port)
    said = read_until_up(process)
    steps = re.findall(r"^  (with\S* a token) +(\S+) +\S+ +(\d+)", said, re.MULTILINE)
    assert steps == [
        ("without a token", "GET", "401"),
        ("with a token", "PUT", "201"),
        ("with a token", "PUT", "201"),
        ("with a token", "GET", "200"),
    ]
    gate, database = addresses(said)
    header = re.search(r"curl -H 'Authorization: (Bearer [^']+)'", said)[1]
    assert ask(gate, "GET", "/couchgate-demo/_all_docs", Authorization=header) == 200
    directory = re.search(r"Settings: (.+)/couchgate\.toml", said)[1]

    process.send_signal(number)
    assert process.wait(30) == 0
    wait_until_gone(gate, database)
    assert not os.path.exists(directory)  # noqa: PTH110 - a plain question


def test_a_killed_demo_leaves_nothing_running(demo, port):
    """When the demo itself is killed, the gate and the database that it started end too."""
    process = demo("--port", port)
    urls = addresses(read_until_up(process))
    process.kill()
    process.wait()
    wait_until_gone(*urls)


def test_the_demo_says_which_of_its_children_ended(demo, port, tmp_path):
    """When the gate ends by itself, the demo says so, ends the database and exits with a failure."""
    process = demo("--port", port, "--dir", tmp_path)
    urls = addresses(read_until_up(process))
    children = subprocess.run(
        ["ps", "-ww", "-o", "pid=,args=", "--ppid", str(process.pid)], capture_output=True, text=True, check=True
    ).stdout
    [gate] = [line.split()[0] for line in children.splitlines() if "twistd" in line]
    os.kill(int(gate), signal.SIGKILL)
    assert refused(process).startswith("couchgate demo: the gate has ended by itself (status -9)")
    wait_until_gone(*urls)


def test_a_named_upstream_keeps_its_other_databases(demo, port, standin, tmp_path):
    """In front of a CouchDB that a person named, the demo's token may make and remove the demo's own database only."""
    process = demo("--port", port, "--upstream", standin, "--dir", tmp_path)
    said = read_until_up(process)
    gate, database = addresses(said)
    assert database == standin
    header = re.search(r"curl -H 'Authorization: (Bearer [^']+)'", said)[1]
    assert ask(gate, "PUT", "/other", Authorization=header) == 403
    assert ask(gate, "DELETE", "/couchgate-demo", Authorization=header) == 200


def test_without_node_the_demo_says_what_to_do(demo, port, tmp_path):
    """Without Node.js the demo names what to install, and the way without it."""
    said = refused(demo("--port", port, PATH=str(tmp_path)))
    assert "Node.js 18 or newer is needed for the stand-in database; install it" in said
    assert "--upstream URL" in said


def test_an_old_node_is_named(demo, port, tmp_path):
    """A Node.js that is too old is refused with its path and version."""
    shell = shutil.which("sh")
    (tmp_path / "node").write_text(f"#!{shell}\necho v16.20.2\n")
    (tmp_path / "node").chmod(0o755)
    assert refused(demo("--port", port, PATH=str(tmp_path))).endswith(f"{tmp_path / 'node'} is v16.20.2.\n")


def test_a_port_in_use_is_named(demo):
    """A port on which something listens is one sentence that names it and the option."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        said = refused(demo("--port", port))
    assert f"127.0.0.1:{port}" in said
    assert "--port" in said


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--port", "0"], "--port"),
        (["--upstream", "127.0.0.1:5984"], "--upstream"),
        (["--upstream", "http://admin:secret@127.0.0.1:5984"], "--upstream"),
        (["--basic", "admin:file"], "--upstream"),
        (["--upstream", "http://127.0.0.1:5984", "--basic", "admin"], "USER:FILE"),
        (["--upstream", "http://127.0.0.1:5984", "--basic", "admin:/nowhere"], "/nowhere"),
        (["--upstream", "http://127.0.0.1:5984", "--proxy-secret-file", "/nowhere"], "/nowhere"),
        (["--origin", "no origin"], "origins"),
        (["--dir", os.devnull], os.devnull),
    ],
)
def test_an_argument_that_cannot_be_is_named(demo, port, arguments, named):
    """Each wrong argument is one sentence that names it, and the demo starts nothing."""
    said = refused(demo(*([] if "--port" in arguments else ["--port", port]), *arguments))
    assert named in said
    assert "secret@" not in said


def test_a_key_that_is_none_is_named(demo, port, tmp_path):
    """A `key.pem` in `--dir` that is no private key is one sentence that names it, and it is left as it is."""
    (tmp_path / "key.pem").write_text("no key")
    assert str(tmp_path / "key.pem") in refused(demo("--port", port, "--dir", tmp_path))
    assert (tmp_path / "key.pem").read_text() == "no key"
