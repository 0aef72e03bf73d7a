"""`couchgate demo`: a database, a gate in front of it, a key and a token, and one round trip through all of it.

Everything runs on 127.0.0.1 and stays up until Ctrl-C, which ends what was started here. The settings and the key lie
in a directory that is removed at the end, unless `--dir` names one to keep.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from couchgate import demo_settings
from couchgate.demo_settings import DATABASE, NAME, ORIGINS, UpstreamAuth
from couchgate.standin.child import Child
from couchgate.standin.install import StandinError, cache_directory
from couchgate.standin.start import start as start_standin
from couchgate.system import TWISTD, WINDOWS

READY_SECONDS = 20
TOKEN_SECONDS = 12 * 3600

# The gate ends with this process, however that ends: it stops in order when its standard input is closed.
GATE_PROGRAM = """
import os, signal, threading
def end_with_parent():
    while os.read(0, 4096):
        pass
    signal.raise_signal(signal.SIGTERM)
threading.Thread(target=end_with_parent, daemon=True).start()
from twisted.scripts.twistd import run
run()
"""


class DemoError(Exception):
    """Why the demo cannot go on, for a person."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `couchgate demo` understands to `parser`."""
    add_upstream_arguments(parser)
    parser.add_argument("--port", type=int, default=5985, help="where the gate listens on 127.0.0.1 (default: 5985)")
    parser.add_argument(
        "--origin",
        action="append",
        metavar="ORIGIN",
        help="a web origin whose pages may call the gate, such as http://localhost:8080; may be given several times "
        "(default: localhost and 127.0.0.1 at 3000, 5173 and 8080)",
    )
    parser.add_argument("--dir", metavar="DIR", help="keep settings and key in DIR (default: a temporary directory)")


def add_upstream_arguments(parser: argparse.ArgumentParser) -> None:
    """Add to `parser` what `upstream_auth` reads."""
    parser.add_argument(
        "--upstream", metavar="URL", help="a CouchDB that runs already; without it a stand-in is started"
    )
    known = parser.add_mutually_exclusive_group()
    known.add_argument(
        "--basic", metavar="USER:FILE", help="with --upstream: the CouchDB account of the gate, its password in FILE"
    )
    known.add_argument(
        "--proxy-secret-file", metavar="FILE", help="with --upstream: the secret of CouchDB's proxy authentication"
    )


def run(args: argparse.Namespace) -> int:
    """Run the demo until it is interrupted; the process's exit status."""
    interrupt_on_signals()
    try:
        with contextlib.ExitStack() as stack:
            _run(args, stack)
    except KeyboardInterrupt:
        _say("\nEverything that the demo started has ended.")
        return 0
    except (DemoError, StandinError) as error:
        sys.stderr.write(f"couchgate demo: {error}\n")
        return 1
    except OSError as error:
        sys.stderr.write(f"couchgate demo: {error.filename or 'the system'}: {error.strerror or error}.\n")
        return 1
    return 0


def interrupt_on_signals() -> None:
    """A person who ends a command by closing the terminal wants it ended as by Ctrl-C."""
    for name in ("SIGTERM", "SIGHUP", "SIGBREAK"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), _interrupt)


def _interrupt(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _run(args: argparse.Namespace, stack: contextlib.ExitStack) -> None:
    auth = upstream_auth(args)
    _port_is_free(args.port)
    if args.dir:
        directory = Path(args.dir).absolute()
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    else:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="couchgate-demo-")))
    children: list[Child] = []
    upstream = args.upstream
    if upstream is None:
        if not cache_directory().exists():
            _say("Installing a stand-in database with npm, once; this may take a minute ...")
        standin = start_standin(directory)
        stack.enter_context(ending(standin))
        children.append(standin)
        upstream = standin.url
    try:
        files = demo_settings.write(directory, upstream, auth, args.port, args.origin or ORIGINS)
    except (ValueError, TypeError) as error:
        raise DemoError(f"{directory / 'key.pem'} is no private key that the demo can use; remove it.") from error
    gate = Child(
        "the gate",
        [sys.executable, "-c", GATE_PROGRAM, *TWISTD, "couchgate", "--config", str(files.settings)],
        directory / "gate.log",
        cwd=directory,
    )
    stack.enter_context(ending(gate))
    children.append(gate)
    _wait_until_ready(args.port, gate)
    token = files.minter.token(NAME, expires_in=TOKEN_SECONDS)
    _say(f"couchgate listens on http://127.0.0.1:{args.port}, in front of {upstream}\n")
    _round_trip(args.port, token)
    _say(_to_paste(args.port, token, files.settings))
    _stay(children)


def upstream_auth(args: argparse.Namespace) -> UpstreamAuth | None:
    """How the gate tells a named CouchDB who it is; None for the stand-in. Raises `DemoError`."""
    if args.upstream is None:
        if args.basic or args.proxy_secret_file:
            raise DemoError("--basic and --proxy-secret-file go with --upstream; the stand-in database asks nobody.")
        return None
    parts = urlsplit(args.upstream)
    if parts.scheme not in {"http", "https"} or not parts.hostname or "@" in parts.netloc:
        raise DemoError("--upstream must be a URL such as http://127.0.0.1:5984, without a user name in it.")
    if args.proxy_secret_file:
        return UpstreamAuth("proxy", secret_file=_file("--proxy-secret-file", args.proxy_secret_file))
    if args.basic:
        username, _, path = args.basic.partition(":")
        if not username or not path:
            raise DemoError("--basic must be USER:FILE, FILE being a file that holds the password.")
        return UpstreamAuth("basic", username=username, password_file=_file("--basic", path))
    return UpstreamAuth("none")


def _file(option: str, path: str) -> Path:
    if not Path(path).is_file():
        raise DemoError(f"{option}: there is no file {path}.")
    return Path(path).absolute()


def _port_is_free(port: int) -> None:
    if not 0 < port < 65536:
        raise DemoError("--port must be a number from 1 to 65535.")
    with socket.socket() as probe:
        if not WINDOWS:  # as Twisted listens; there the option means another thing
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise DemoError(
                f"The gate cannot listen on 127.0.0.1:{port} ({error.strerror}); end what listens there, "
                "or choose another port with --port."
            ) from error


@contextlib.contextmanager
def ending(child: Child) -> Iterator[None]:
    """The child ends with the context."""
    try:
        yield
    finally:
        child.stop()


def _request(port: int, method: str, path: str, token: str | None = None, document: object = None) -> tuple[int, str]:
    """One exchange with the gate: the status and the body as one line. Raises OSError or HTTPException."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    with contextlib.closing(connection):
        headers = {"Accept": "application/json"}
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        body = None
        if document is not None:
            headers["Content-Type"] = "application/json"
            body = json.dumps(document)
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        return response.status, " ".join(response.read(65536).decode("utf-8", "replace").split())


def _wait_until_ready(port: int, gate: Child) -> None:
    deadline = time.monotonic() + READY_SECONDS
    last = "it does not answer"
    while time.monotonic() < deadline:
        if gate.ended():
            raise DemoError(f"The gate does not start: {_last_line(gate)}")
        with contextlib.suppress(OSError, http.client.HTTPException):
            status, last = _request(port, "GET", "/_gate/ready")
            if status == http.HTTPStatus.OK:
                return
        time.sleep(0.05)
    raise DemoError(f"The gate is not ready after {READY_SECONDS} s: {last}")


def _round_trip(port: int, token: str) -> None:
    """Show what the gate does, with a token and without; raises `DemoError` where it should do otherwise."""
    document = f"/{DATABASE}/hello-{int(time.time() * 1000)}"
    steps = (
        ("without a token", "GET", f"/{DATABASE}", None, None, (401,)),
        ("with a token", "PUT", f"/{DATABASE}", token, None, (201, 202, 412)),
        ("with a token", "PUT", document, token, {"text": "hello through the gate"}, (201, 202)),
        ("with a token", "GET", document, token, None, (200,)),
    )
    for who, method, path, bearer, body, expected in steps:
        try:
            status, answer = _request(port, method, path, bearer, body)
        except (OSError, http.client.HTTPException) as error:
            raise DemoError(f"{method} {path}: no answer through the gate ({type(error).__name__}).") from error
        _say(f"  {who:16} {method:4} {path:42} {status}  {answer[:100]}")
        if status not in expected:
            raise DemoError(
                f"{method} {path} was answered {status}: {answer[:300]}\n"
                f"If that is CouchDB's own refusal: let an administrator create the database {DATABASE} and make the "
                f"user {NAME} a member (PUT /{DATABASE}/_security), or give the gate an account with --basic USER:FILE."
            )


def _to_paste(port: int, token: str, settings: Path) -> str:
    return f"""
Paste into a shell:

  curl -H 'Authorization: Bearer {token}' http://127.0.0.1:{port}/{DATABASE}/_all_docs

or into an app with PouchDB:

  const token = '{token}';
  const remote = new PouchDB('http://127.0.0.1:{port}/{DATABASE}', {{
    fetch: (url, options) => {{
      options.headers.set('Authorization', 'Bearer ' + token);
      return PouchDB.fetch(url, options);
    }},
  }});
  new PouchDB('local').sync(remote, {{ live: true, retry: true }});

The token is good for {TOKEN_SECONDS // 3600} hours. Settings: {settings}
Ctrl-C ends everything."""


def _last_line(child: Child) -> str:
    return (child.written().strip().splitlines() or ["it says nothing"])[-1]


def _stay(children: list[Child]) -> None:
    pause = threading.Event()
    while True:
        for child in children:
            if child.ended():
                raise DemoError(
                    f"{child.name} has ended by itself (status {child.process.returncode}): {_last_line(child)}"
                )
        pause.wait(0.5)
