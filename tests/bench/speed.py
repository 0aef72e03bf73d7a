"""Measures of speed: requests per second, latency, bytes per second."""

from __future__ import annotations

from .bench import TIMES, Bench, Row, ratio
from .traffic import Load, request_text

OURS = ("couchgate", "keepalive")
SEEN = ("couchgate with metrics, log and tracing", "keepalive")
UNSEEN = ("couchgate without any of them", "keepalive")
RECORDED = "couchgate with its recorder"
HAPROXY = ("HAProxy", "keepalive")
NGINX = ("nginx", "keepalive")
FASTAPI = ("FastAPI + httpx", "keepalive")
AGENT = ("Twisted Agent", "keepalive")
MANY = 16
MEGABYTES = 10


def _gets(bench: Bench, name: str, first: int, count: int, *, close: bool = False) -> Load:
    """Small GETs of one document, each with the next of `count` tokens."""
    texts = [
        request_text("GET", "/bench/note", token, close=close) for token in bench.tokens.good[first : first + count]
    ]
    return Load(bench.requests(name, texts), MANY, bench.effort.seconds, close=close)


def small(bench: Bench) -> list[Row]:
    """Small GETs at 4 connections with one token, against the Python gates."""
    load = _gets(bench, "one", 0, 1)._replace(connections=4)
    taken = bench.interleave("small GET, one token, 4 connections", [OURS, FASTAPI, AGENT], load)
    value = ratio(taken[OURS], taken[FASTAPI], "rate")
    detail = f"{ratio(taken[OURS], taken[AGENT], 'rate'):.1f}{TIMES} Twisted's Agent"
    return [Row("small GET, RS256, against FastAPI + httpx (4 connections)", value, TIMES, 20, 36, detail, more=True)]


def returning(bench: Bench) -> list[Row]:
    """Small GETs with one token and with 1,000 in turn, against HAProxy."""
    rows = []
    for count, word in ((1, "one token"), (1000, "1,000 tokens")):
        sides = [OURS, HAPROXY, NGINX] if count == 1 else [OURS, HAPROXY]
        taken = bench.interleave(
            f"small GET, {word}, {MANY} connections", sides, _gets(bench, f"many{count}", 0, count)
        )
        value = ratio(taken[OURS], taken[HAPROXY], "rate")
        detail = f"{1 / ratio(taken[OURS], taken[HAPROXY], 'cpu'):.2f}{TIMES} by CPU time"
        rows.append(Row(f"against HAProxy with RS256, {word}", value, TIMES, 1.0, 1.5, detail, more=True))
    return rows


def new_tokens(bench: Bench) -> list[Row]:
    """Every request carries a token that the gate never saw, against HAProxy."""
    effort = bench.effort
    needed = effort.new_tokens * (effort.rounds + 1)
    load = _gets(bench, "new", len(bench.tokens.good) - needed, needed)._replace(seconds=30, total=effort.new_tokens)
    taken = bench.interleave(f"small GET, every token new, {MANY} connections", [OURS, HAPROXY], load)
    value = ratio(taken[OURS], taken[HAPROXY], "rate")
    detail = f"{1 / ratio(taken[OURS], taken[HAPROXY], 'cpu'):.2f}{TIMES} by CPU time"
    return [Row("every token new, RS256, against HAProxy", value, TIMES, 0.6, 0.85, detail, more=True)]


def closing(bench: Bench) -> list[Row]:
    """A connection for each request, one token: `close` against HAProxy that does the same, and that keeps upstream."""
    ours = ("couchgate", "close")
    peers = {"that closes both sides too": ("HAProxy", "close"), "that keeps its upstream connections": HAPROXY}
    load = _gets(bench, "close", 0, 1, close=True)
    taken = bench.interleave(f"connection per request, {MANY} at a time", [ours, *peers.values()], load)
    rows = []
    for word, peer in peers.items():
        value = ratio(taken[ours], taken[peer], "rate")
        detail = f"{1 / ratio(taken[ours], taken[peer], 'cpu'):.2f}{TIMES} by CPU time"
        title = f"a connection per request (`close`), against HAProxy {word}"
        rows.append(Row(title, value, TIMES, 0.7, 0.9, detail, more=True))
    return rows


def latency(bench: Bench) -> list[Row]:
    """One connection, one request at a time, against nginx."""
    load = _gets(bench, "latency", 0, 1)._replace(connections=1)
    taken = bench.interleave("small GET, one token, 1 connection", [OURS, NGINX, HAPROXY], load)
    value = ratio(taken[OURS], taken[NGINX], "p50")
    detail = f"{ratio(taken[OURS], taken[HAPROXY], 'p50'):.2f}{TIMES} HAProxy's"
    return [Row("median latency at one connection, against nginx", value, TIMES, 1.3, 1.1, detail, more=False)]


def bodies(bench: Bench) -> list[Row]:
    """Bodies of 10 MB down and up on 4 connections, against nginx that does not buffer them."""
    size = MEGABYTES * 1024 * 1024
    nginx = ("nginx", "unbuffered")
    token = bench.tokens.good[0]
    down = bench.requests("down", [request_text("GET", f"/bench/note/big/{size}", token)])
    up = bench.requests("up", [request_text("PUT", "/bench/note/attachment", token, body=size)])
    rows = []
    for word, load in (
        ("download", Load(down, 4, bench.effort.seconds)),
        ("upload", Load(up, 4, bench.effort.seconds, body=size, status=201)),
    ):
        taken = bench.interleave(f"{MEGABYTES} MB {word}, 4 connections", [OURS, nginx], load)
        value = ratio(taken[OURS], taken[nginx], "throughput")
        detail = f"{1 / ratio(taken[OURS], taken[nginx], 'cpu'):.2f}{TIMES} by CPU time"
        rows.append(
            Row(f"{MEGABYTES} MB bodies, {word}, against nginx unbuffered", value, TIMES, 1.1, 1.3, detail, more=True)
        )
    return rows


def access_log(bench: Bench) -> list[Row]:
    """What the access log costs."""
    load = _gets(bench, "logged", 0, 1)
    title = f"access log on and off, {MANY} connections"
    return [
        _cost(bench, title, "cost of the access log", ("couchgate with its access log", "keepalive", "log"), 15, load)
    ]


def _cost(bench: Bench, title: str, measure: str, what: tuple[str, str, str], limit: float, load: Load) -> Row:
    """What a part costs, in per cent of the rate: `what` is the gate, the mode and the part.

    Two listeners of one process are compared, of which one lacks it: two processes of the very same gate differ by
    where their memory happens to lie, and that may be more than the part costs.
    """
    name, mode, part = what
    on, off = (name, mode), (name, f"{mode} without {part}")
    taken = bench.interleave(title, [off, on], load, pieces=4)
    value = (1 - ratio(taken[on], taken[off], "rate")) * 100
    detail = f"{(ratio(taken[on], taken[off], 'cpu') - 1) * 100:.1f} % more CPU time per request"
    return Row(measure, value, " %", limit, limit, detail, more=False)


def sight(bench: Bench) -> list[Row]:
    """What an operator's sight costs: the rate with metrics, access log and tracing, against none of them."""
    load = _gets(bench, "seen", 0, 1)
    title = f"metrics, log and tracing on and off, {MANY} connections"
    taken = bench.interleave(title, [UNSEEN, OURS, SEEN], load, anew=True)
    value = ratio(taken[SEEN], taken[UNSEEN], "rate")
    detail = f"metrics alone {ratio(taken[OURS], taken[UNSEEN], 'rate'):.2f}{TIMES}"
    return [Row("metrics, access log and tracing on, against none of them", value, TIMES, 0.8, 0.8, detail, more=True)]


def recorder(bench: Bench) -> list[Row]:
    """What the flight recorder costs: with kept connections, and with one for each request."""
    rows = []
    # In threads its records have numbers of another kind, as soon as one listener is of that mode: a gate of its own.
    threaded = "couchgate in threads with its recorder"
    for mode, limit, gate in (("keepalive", 5, RECORDED), ("close", 3, RECORDED), ("threaded", 3, threaded)):
        load = _gets(bench, f"recorded-{mode}", 0, 1, close=mode != "keepalive")
        title = f"flight recorder on and off, {mode}, {MANY} connections"
        what = (gate, mode, "recorder")
        rows.append(_cost(bench, title, f"cost of the flight recorder, `{mode}`", what, limit, load))
    return rows
