"""Measures of memory: what slow readers and idle feeds cost a gate, in a process of its own that was warmed up."""

from __future__ import annotations

import selectors
import socket
import time

from .bench import Bench, Row
from .gates import Gate, get, stats
from .traffic import Load, request_text

READERS = 8
BODY = 100 * 1024 * 1024
POLLS = 2000
_WATCHED_SECONDS = 5.0
_PEERS = ("HAProxy", "nginx", "Twisted Agent")


def slow_readers(bench: Bench) -> list[Row]:
    """Growth of resident memory while 8 clients read 100 MB each at some 400 kB/s."""
    grown = {name: _slow(bench, name) / 1e6 for name in ("couchgate", *_PEERS)}
    detail = ", ".join(f"{name} {grown[name]:.1f} MB" for name in _PEERS)
    return [
        Row(
            f"memory growth with {READERS} slow readers of 100 MB",
            grown["couchgate"],
            " MB",
            4,
            0.5,
            detail,
            more=False,
        )
    ]


def longpolls(bench: Bench) -> list[Row]:
    """Resident memory of each of 2,000 open longpolls, all of which must then get their rows."""
    cost = {name: _hold(bench, name) / 1e3 for name in ("couchgate", *_PEERS)}
    detail = "all served; " + ", ".join(f"{name} {cost[name]:.1f} kB" for name in _PEERS)
    return [Row("2,000 idle longpolls: memory each, all served", cost["couchgate"], " kB", 8, 5, detail, more=False)]


def _mode(gate: Gate) -> str:
    return "unbuffered" if "unbuffered" in gate.ports else "keepalive"


def _warm_up(bench: Bench, gate: Gate) -> int:
    """Some seconds of ordinary work, so that what is measured is growth; the resident bytes after it."""
    texts = [request_text("GET", "/bench/note", token) for token in bench.tokens.good[:100]]
    bench.once(gate, _mode(gate), Load(bench.requests("warm", texts), 16, 10, total=4000))
    time.sleep(0.5)
    return gate.process.rss_bytes()


def _slow(bench: Bench, name: str) -> int:
    bench.say(f"slow readers: {name}")
    request = request_text("GET", f"/bench/note/big/{BODY}", bench.tokens.good[0])
    with bench.fresh(name) as gate:
        before = peak = _warm_up(bench, gate)
        readers = [_connect(gate.ports[_mode(gate)], request, window=16384) for _ in range(READERS)]
        read = [0] * READERS
        deadline = time.monotonic() + _WATCHED_SECONDS
        while time.monotonic() < deadline:
            for number, reader in enumerate(readers):
                try:
                    read[number] += len(reader.recv(8192, socket.MSG_DONTWAIT))
                except BlockingIOError:
                    continue
            peak = max(peak, gate.process.rss_bytes())
            time.sleep(0.02)
        for reader in readers:
            reader.close()
    if min(read) < 100_000:
        raise RuntimeError(f"{name}: a slow reader got only {min(read)} bytes")
    return peak - before


def _hold(bench: Bench, name: str) -> float:
    bench.say(f"longpolls: {name}")
    accounts = bench.tokens.good
    with bench.fresh(name) as gate:
        before = _warm_up(bench, gate)
        waiting: dict[socket.socket, bytes] = {}
        for number in range(POLLS):
            request = request_text(
                "GET", "/bench/_changes?feed=longpoll&since=7&heartbeat=10000", accounts[number % 100]
            )
            client = _connect(gate.ports[_mode(gate)], request)
            waiting[client] = b""
            while b'"results":[' not in waiting[client]:
                part = client.recv(4096)
                if not part:
                    raise RuntimeError(f"{name}: longpoll {number} was refused: {waiting[client][:200]!r}")
                waiting[client] += part
        held = stats(bench.upstream)["held"]
        if held != POLLS:
            raise RuntimeError(f"{name}: {held} of {POLLS} longpolls reached the upstream")
        time.sleep(0.5)
        each = (gate.process.rss_bytes() - before) / POLLS
        get(bench.upstream, "/__release")
        _collect(name, waiting)
    return each


def _collect(name: str, waiting: dict[socket.socket, bytes]) -> None:
    """Read every longpoll to its end; raises RuntimeError unless all of them are whole."""
    deadline = time.monotonic() + 30
    with selectors.DefaultSelector() as selector:
        for waiter in waiting:
            selector.register(waiter, selectors.EVENT_READ, waiter)
        while waiting and time.monotonic() < deadline:
            for key, _ in selector.select(1):
                client: socket.socket = key.data
                part = client.recv(4096)
                waiting[client] += part
                if b'"pending":0}' in waiting[client] and waiting[client].endswith(b"0\r\n\r\n"):
                    selector.unregister(client)
                    del waiting[client]
                    client.close()
                elif not part:
                    raise RuntimeError(f"{name}: a longpoll broke off")
    if waiting:
        raise RuntimeError(f"{name}: {len(waiting)} of {POLLS} longpolls were never served")


def _connect(port: int, request: bytes, window: int | None = None) -> socket.socket:
    client = socket.socket()
    if window is not None:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
    client.settimeout(20)
    client.connect(("127.0.0.1", port))
    client.sendall(request)
    return client
