"""The gates that are compared: how each is configured and started, and whether its verdicts are right.

All of them listen on loopback, run as one process (or one worker) on one core, and forward to the same upstream.
"""

from __future__ import annotations

import http.client
import json
import os
import secrets
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from .processes import GATE_CORE, Process, free_port, need
from .tokens import AUDIENCE, ISSUER, Tokens

_HERE = Path(__file__).parent
CONNECTIONS = 8_000


class Gate(NamedTuple):
    """A running gate. `ports` by mode: "keepalive", and "close" where the gate has a listener of that kind."""

    name: str
    process: Process
    ports: Mapping[str, int]


class Setting(NamedTuple):
    """What every gate is given: a folder of its own, the upstream's port, and the public key."""

    folder: Path
    upstream: int
    tokens: Tokens


class VerdictError(Exception):
    """A gate let in what it must refuse, or refused what it must let in: timing it would mean nothing."""


# Takes the metrics out, which have no switch: what they cost can be measured only against a gate without them.
_UNCOUNTED = """
from couchgate import overview
class Nobody:
    def count(request): pass
overview.Overview.tally = lambda self, endpoint: Nobody
"""

# Takes the recorder or the access log from the listeners with this backlog, and from no others of the process.
_BACKLOG = 51
_APART = f"""
from couchgate.life.recording import Recording
from couchgate.life.sites import Sites
without = set()
make, recorder_for = Sites.make, Recording.recorder_for
def make_apart(self, setup, listener, count, log):
    bare = listener.endpoint.endswith(":backlog={_BACKLOG}")
    site = make(self, setup, listener, count, None if bare and WHAT == "log" else log)
    if bare and WHAT == "recorder":
        without.add(site)
    return site
Sites.make = make_apart
Recording.recorder_for = lambda self, site: None if site in without else recorder_for(self, site)
"""


def couchgate(
    setting: Setting,
    *,
    access: str = "off",
    trace: bool = False,
    auth: str = "proxy",
    counted: bool = True,
    apart: str = "",
    serves: tuple[str, ...] = ("keepalive", "close"),
) -> Gate:
    """The gate of this project, a listener in each mode that it `serves`; `access`, `trace`, `auth` are settings of it.

    Its metrics are on, unless it is not `counted`, and so is its flight recorder. `apart`: another listener in each
    mode lacks the "recorder" or the "log".

    It is what is installed for the interpreter of this run, compiled or not: neither its path nor its folder leads to
    the checkout.
    """
    modes = [*serves, *(f"{mode} without {apart}" for mode in serves if apart)]
    ports = {mode: free_port() for mode in modes}
    listeners = ""
    for name, port in ports.items():
        mode, _, lacking = name.partition(" ")
        more = f":backlog={_BACKLOG}" if lacking else ""
        listeners += f'[[gate.listeners]]\nendpoint = "tcp:{port}:interface=127.0.0.1{more}"\nmode = "{mode}"\n'
    secret = setting.folder / "proxy.secret"
    secret.touch(mode=0o600)
    secret.write_text(secrets.token_hex(32))
    file = setting.folder / "couchgate.toml"
    file.write_text(
        f"""[gate]
state_dir = "state"
{listeners}
[upstream]
url = "http://127.0.0.1:{setting.upstream}"
auth = "{auth}"
{'secret_file = "proxy.secret"' if auth == "proxy" else ""}
[[issuers]]
issuer = "{ISSUER}"
audiences = ["{AUDIENCE}"]
algorithms = ["RS256"]
keys = "{setting.tokens.jwks}"
[[rules]]
databases = ["bench", "source", "pushed-*"]
allow = ["read", "write"]
[limits]
feeds = {CONNECTIONS}
[log]
access = "{access}"
trace = {"true" if trace else "false"}
"""
    )
    changed = ("" if counted else _UNCOUNTED) + (f"WHAT = {apart!r}\n{_APART}" if apart else "")
    twistd = [sys.executable, "-c", changed + "from twisted.scripts.twistd import run; run()"]
    process = Process(
        [*twistd, "-n", "--pidfile=", "couchgate", "--config", str(file)],
        core=GATE_CORE,
        log=setting.folder / "log",
        stdout=setting.folder / "stdout",
        cwd=setting.folder,
        ports=tuple(ports.values()),
    )
    return Gate("couchgate", process, ports)


def haproxy(setting: Setting) -> Gate:
    """HAProxy with `jwt_verify` (RS256) and `exp`; its "close" port closes both sides after each request.

    Its "unbuffered" port sends the first rows of a feed at once; without `http-no-delay` they wait for more.
    """
    ports = {"keepalive": free_port(), "close": free_port(), "unbuffered": free_port()}
    pem = setting.tokens.pem
    rules = f"""\
    http-request set-var(txn.token) http_auth_bearer
    http-request set-var(txn.alg) var(txn.token),jwt_header_query('$.alg')
    http-request set-var(txn.exp) var(txn.token),jwt_payload_query('$.exp','int')
    http-request set-var(txn.now) date()
    http-request deny deny_status 401 unless {{ var(txn.alg) -m str RS256 }}
    http-request deny deny_status 401 unless {{ var(txn.token),jwt_verify(txn.alg,"{pem}") -m int 1 }}
    http-request deny deny_status 401 unless {{ var(txn.exp),sub(txn.now) -m int gt 0 }}
    http-request del-header Authorization"""
    file = setting.folder / "haproxy.cfg"
    file.write_text(
        f"""global
    nbthread 1
    maxconn {CONNECTIONS}
defaults
    mode http
    timeout connect 5s
    timeout client 600s
    timeout server 600s
    http-reuse always
frontend keepalive
    bind 127.0.0.1:{ports["keepalive"]}
{rules}
    default_backend kept
frontend close
    bind 127.0.0.1:{ports["close"]}
    option httpclose
{rules}
    default_backend closed
frontend unbuffered
    bind 127.0.0.1:{ports["unbuffered"]}
    option http-no-delay
{rules}
    default_backend undelayed
backend kept
    server couchdb 127.0.0.1:{setting.upstream}
backend closed
    option httpclose
    server couchdb 127.0.0.1:{setting.upstream}
backend undelayed
    option http-no-delay
    server couchdb 127.0.0.1:{setting.upstream}
"""
    )
    command = [need("haproxy", "haproxy"), "-db", "-f", str(file)]
    log = setting.folder / "log"
    return Gate("HAProxy", Process(command, core=GATE_CORE, log=log, ports=tuple(ports.values())), ports)


def nginx(setting: Setting) -> Gate:
    """A bare reverse proxy, no token looked at; its "unbuffered" port streams bodies both ways."""
    ports = {"keepalive": free_port(), "unbuffered": free_port()}
    file = setting.folder / "nginx.conf"
    paths = "".join(
        f"    {kind}_temp_path {setting.folder}/{kind};\n"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    user = "user root;" if os.getuid() == 0 else ""
    file.write_text(
        f"""{user}
worker_processes 1;
daemon off;
pid {setting.folder}/nginx.pid;
error_log {setting.folder}/log;
events {{ worker_connections {CONNECTIONS}; }}
http {{
{paths}
    access_log off;
    tcp_nodelay on;
    client_max_body_size 0;
    keepalive_requests 1000000000;
    keepalive_timeout 75s;
    proxy_read_timeout 600s;
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    upstream couchdb {{
        server 127.0.0.1:{setting.upstream};
        keepalive 256;
        keepalive_requests 1000000000;
    }}
    server {{
        listen 127.0.0.1:{ports["keepalive"]} backlog=4096;
        location / {{ proxy_pass http://couchdb; }}
    }}
    server {{
        listen 127.0.0.1:{ports["unbuffered"]} backlog=4096;
        location / {{ proxy_pass http://couchdb; proxy_buffering off; proxy_request_buffering off; }}
    }}
}}
"""
    )
    command = [need("nginx", "nginx"), "-p", str(setting.folder), "-c", str(file)]
    log = setting.folder / "log"
    return Gate("nginx", Process(command, core=GATE_CORE, log=log, ports=tuple(ports.values())), ports)


def fastapi(setting: Setting) -> Gate:
    """FastAPI, uvicorn, httpx and PyJWT: `fastapi_peer.py`."""
    return _python_peer("FastAPI + httpx", "fastapi_peer.py", setting)


def agent(setting: Setting) -> Gate:
    """Twisted's own Resource and Agent with PyJWT: `agent_peer.py`."""
    return _python_peer("Twisted Agent", "agent_peer.py", setting)


def _python_peer(name: str, file: str, setting: Setting) -> Gate:
    port = free_port()
    env = {
        "BENCH_PORT": str(port),
        "BENCH_UPSTREAM": f"http://127.0.0.1:{setting.upstream}",
        "BENCH_PEM": str(setting.tokens.pem),
        "BENCH_ISSUER": ISSUER,
        "BENCH_AUDIENCE": AUDIENCE,
    }
    log = setting.folder / "log"
    process = Process([sys.executable, str(_HERE / file)], core=GATE_CORE, log=log, env=env, ports=(port,))
    return Gate(name, process, {"keepalive": port})


STARTERS: Mapping[str, Callable[[Setting], Gate]] = {
    "couchgate": couchgate,
    "couchgate with its access log": lambda setting: couchgate(setting, access="stdout", apart="log"),
    "couchgate with its recorder": lambda setting: couchgate(setting, apart="recorder"),
    "couchgate in threads with its recorder": lambda setting: couchgate(
        setting, apart="recorder", serves=("threaded",)
    ),
    "couchgate with metrics, log and tracing": lambda setting: couchgate(setting, access="stdout", trace=True),
    "couchgate without any of them": lambda setting: couchgate(setting, counted=False),
    "HAProxy": haproxy,
    "nginx": nginx,
    "FastAPI + httpx": fastapi,
    "Twisted Agent": agent,
}


def check_verdicts(gate: Gate, tokens: Tokens, upstream: int) -> int:
    """Ask each port of `gate` with good and bad tokens, and the upstream whether it was reached; the number of checks.

    Raises VerdictError. nginx checks no token, so of nginx only the forwarding is asked.
    """
    checks: list[tuple[str, str | None, int]] = [
        ("a valid token", tokens.good[0], 200),
        ("another", tokens.good[-1], 200),
    ]
    if gate.name != "nginx":
        checks += [("no token", None, 401), *((fault, token, 401) for fault, token in tokens.bad.items())]
    for mode, port in gate.ports.items():
        for name, token, expected in checks:
            before = stats(upstream)["requests"]
            status, _ = get(port, "/bench/note", token)
            reached = stats(upstream)["requests"] - before
            if (status, reached) != (expected, 1 if expected == 200 else 0):
                raise VerdictError(f"{gate.name} ({mode}): {name}: {status}, reached upstream {reached} times")
    return len(checks) * len(gate.ports)


def get(port: int, target: str, token: str | None = None) -> tuple[int, bytes]:
    """Status and body of one GET on a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", target, headers={"Authorization": f"Bearer {token}"} if token else {})
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, body


def stats(upstream: int) -> dict[str, int]:
    """What the upstream counted: `requests` and `held` (see `upstream.c`)."""
    counted: dict[str, int] = json.loads(get(upstream, "/__stats")[1])
    return counted
