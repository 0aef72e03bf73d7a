"""What the gate counts, in Prometheus' words: names, units and types as its conventions have them.

Made when it is asked for, from the plain numbers of `tally` and from what the gate's parts know of themselves. A label
is never a principal, a database or a text of an error.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate
from typing import NamedTuple, Protocol

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from couchgate.sight.syncs import STATES, Sync
from couchgate.sight.tally import BOUNDS, Counted, Tally

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4.encode("ascii")
_LISTENER = ("listener",)
_KEYS = ("issuer", "rules", "source")


class Keys(Protocol):
    """The keys of one `[[issuers]]` table; `couchgate.facts.keyring.KeyState` describes the members."""

    @property
    def rules_id(self) -> str: ...
    @property
    def issuer(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def keys(self) -> int: ...
    @property
    def loaded_at(self) -> float | None: ...
    @property
    def attempts(self) -> int: ...
    @property
    def failures(self) -> int: ...
    @property
    def problem(self) -> str | None: ...


class Listener(NamedTuple):
    """One listener as it is now: its label, its numbers, how many clients and feeds are there, and its syncs."""

    name: str
    tally: Tally
    connections: int
    feeds: int
    syncs: Sequence[Sync]


class Pool(NamedTuple):
    """The connections to CouchDB: those that wait for work and those that work, now; the others since the start."""

    idle: int
    in_use: int
    opened: int
    reused: int


class Reloads(Protocol):
    """How often the settings were read again, when last (seconds since the epoch), and what was wrong then."""

    @property
    def succeeded(self) -> int: ...
    @property
    def failed(self) -> int: ...
    @property
    def last(self) -> float | None: ...
    @property
    def problem(self) -> str | None: ...


class Recorder(NamedTuple):
    """Whether the flight recorder writes, and how many runs were found at the start that had not ended in order."""

    running: bool
    unclean: int


class Present(NamedTuple):
    """All that is shown. `now` is in seconds since the epoch.

    `verdicts` are tokens whose acceptance is remembered, `verifications` those that were looked at; `digest` is that
    of the settings in force.
    """

    now: float
    listeners: Sequence[Listener]
    pool: Pool
    verdicts: int
    verifications: int
    keys: Iterable[Keys]
    reloads: Reloads
    recorder: Recorder
    digest: str
    version: str
    compiled: bool


class Exposition:
    """Writes what `present` gives in the text format of Prometheus, and what the system says of the process."""

    def __init__(self, present: Callable[[], Present]) -> None:
        self._present = present
        self._registry = CollectorRegistry()
        self._registry.register(self)
        ProcessCollector(registry=self._registry)  # finds nothing where there is no /proc

    def __call__(self) -> bytes:
        """The whole page."""
        return generate_latest(self._registry)

    def describe(self) -> Iterable[Metric]:
        """Nothing is asked of the gate before there is something to tell (prometheus_client's Collector)."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Every family (prometheus_client's Collector)."""
        present = self._present()
        yield from _requests(present.listeners)
        yield from _durations(present.listeners)
        yield from _ends(present.listeners)
        yield from _now(present.listeners)
        yield from _upstream(present.pool)
        yield from _tokens(present)
        yield from _keys(present)
        yield from _gate(present)
        yield from _reloads(present.reloads)
        yield from _recorder(present.recorder)


def _requests(listeners: Sequence[Listener]) -> Iterator[Metric]:
    requests = CounterMetricFamily(
        "couchgate_requests",
        "Requests that are over; status 0: the client left before an answer.",
        labels=(*_LISTENER, "method", "kind", "verdict", "status"),
    )
    received = CounterMetricFamily("couchgate_request_body_bytes", "Bytes of bodies from clients.", labels=_LISTENER)
    sent = CounterMetricFamily("couchgate_response_body_bytes", "Bytes of bodies to clients.", labels=_LISTENER)
    for listener in listeners:
        tally = listener.tally
        for key, count in tally.requests.items():
            counted = Counted(*key)
            method = counted.method.decode("ascii")
            requests.add_metric(
                (listener.name, method, counted.kind, counted.verdict, str(counted.status)),
                count,
            )
        received.add_metric((listener.name,), tally.received)
        sent.add_metric((listener.name,), tally.sent)
    yield from (requests, received, sent)


def _durations(listeners: Sequence[Listener]) -> Iterator[Metric]:
    whole = HistogramMetricFamily(
        "couchgate_request_duration_seconds",
        "From the complete head of a request to the end of its answer; feed: _changes, which may stay open for ever.",
        labels=(*_LISTENER, "feed"),
    )
    upstream = HistogramMetricFamily(
        "couchgate_upstream_response_seconds",
        "From the decision to the head of CouchDB's answer, without feeds.",
        labels=_LISTENER,
    )
    for listener in listeners:
        tally = listener.tally
        whole.add_metric((listener.name, "false"), _buckets(tally.plain), tally.plain_seconds)
        whole.add_metric((listener.name, "true"), _buckets(tally.feeds), tally.feeds_seconds)
        upstream.add_metric((listener.name,), _buckets(tally.upstream), tally.upstream_seconds)
    yield from (whole, upstream)


def _buckets(counts: Sequence[int]) -> list[tuple[str, float]]:
    bounds = [*(f"{bound:g}" if bound % 1 else f"{bound:.1f}" for bound in BOUNDS), "+Inf"]
    return list(zip(bounds, accumulate(counts), strict=True))


def _ends(listeners: Sequence[Listener]) -> Iterator[Metric]:
    labels = (*_LISTENER, "reason")
    refused = CounterMetricFamily("couchgate_refusals", "Requests that the gate refused.", labels=labels)
    interrupted = CounterMetricFamily(
        "couchgate_interrupted", "Answers of CouchDB that did not end as it meant them to.", labels=labels
    )
    for listener in listeners:
        for family, counts in ((refused, listener.tally.refused), (interrupted, listener.tally.interrupted)):
            for code, count in counts.items():
                family.add_metric((listener.name, code), count)
    yield from (refused, interrupted)


def _now(listeners: Sequence[Listener]) -> Iterator[Metric]:
    connections = GaugeMetricFamily("couchgate_connections", "Clients that are connected.", labels=_LISTENER)
    feeds = GaugeMetricFamily("couchgate_feeds", "Feeds that are open.", labels=_LISTENER)
    syncs = GaugeMetricFamily("couchgate_syncs", "Syncs of the last 15 minutes by state.", labels=(*_LISTENER, "state"))
    without = GaugeMetricFamily(
        "couchgate_syncs_without_bulk_get", "Syncs whose last _bulk_get failed.", labels=_LISTENER
    )
    for listener in listeners:
        name = (listener.name,)
        connections.add_metric(name, listener.connections)
        feeds.add_metric(name, listener.feeds)
        states = [sync.state for sync in listener.syncs]
        for state in STATES:
            syncs.add_metric((*name, state), states.count(state))
        without.add_metric(name, sum(sync.without_bulk_get for sync in listener.syncs))
    yield from (connections, feeds, syncs, without)


def _upstream(pool: Pool) -> Iterator[Metric]:
    family = GaugeMetricFamily("couchgate_upstream_connections", "Connections to CouchDB.", labels=("state",))
    family.add_metric(("idle",), pool.idle)
    family.add_metric(("in_use",), pool.in_use)
    yield family
    yield CounterMetricFamily(
        "couchgate_upstream_connections_opened", "Connections to CouchDB that were begun.", value=pool.opened
    )
    yield CounterMetricFamily(
        "couchgate_upstream_connections_reused", "Exchanges on a connection that had served one.", value=pool.reused
    )


def _tokens(present: Present) -> Iterator[Metric]:
    yield GaugeMetricFamily("couchgate_verdicts", "Tokens whose acceptance is remembered.", value=present.verdicts)
    yield CounterMetricFamily(
        "couchgate_token_verifications",
        "Tokens that were verified because no verdict was remembered.",
        value=present.verifications,
    )


def _keys(present: Present) -> Iterator[Metric]:
    usable = GaugeMetricFamily("couchgate_keys", "Usable keys of an issuer.", labels=_KEYS)
    loaded = GaugeMetricFamily("couchgate_keys_loaded_timestamp_seconds", "When its keys were loaded.", labels=_KEYS)
    age = GaugeMetricFamily("couchgate_keys_age_seconds", "How long ago its keys were loaded.", labels=_KEYS)
    failing = GaugeMetricFamily("couchgate_keys_failing", "1 if the last load failed.", labels=_KEYS)
    attempts = CounterMetricFamily("couchgate_key_loads", "Attempts to load its keys.", labels=_KEYS)
    failures = CounterMetricFamily("couchgate_key_load_failures", "Attempts that failed.", labels=_KEYS)
    for state in present.keys:
        labels = (state.issuer, state.rules_id, state.kind)
        usable.add_metric(labels, state.keys)
        if state.loaded_at is not None:
            loaded.add_metric(labels, state.loaded_at)
            age.add_metric(labels, max(present.now - state.loaded_at, 0.0))
        failing.add_metric(labels, state.problem is not None)
        attempts.add_metric(labels, state.attempts)
        failures.add_metric(labels, state.failures)
    yield from (usable, loaded, age, failing, attempts, failures)


def _gate(present: Present) -> Iterator[Metric]:
    settings = GaugeMetricFamily("couchgate_settings_info", "Always 1; the settings in force.", labels=("digest",))
    settings.add_metric((present.digest,), 1)
    yield settings
    build = GaugeMetricFamily("couchgate_build_info", "Always 1.", labels=("version", "python", "compiled"))
    build.add_metric((present.version, platform.python_version(), str(present.compiled).lower()), 1)
    yield build


def _reloads(reloads: Reloads) -> Iterator[Metric]:
    family = CounterMetricFamily("couchgate_reloads", "Reloads of the settings.", labels=("result",))
    family.add_metric(("ok",), reloads.succeeded)
    family.add_metric(("failed",), reloads.failed)
    yield family
    yield GaugeMetricFamily(
        "couchgate_reload_failing", "1 if the last reload changed nothing.", value=reloads.problem is not None
    )
    last = GaugeMetricFamily("couchgate_reload_timestamp_seconds", "When the last reload ended.", labels=())
    if reloads.last is not None:
        last.add_metric((), reloads.last)
    yield last


def _recorder(recorder: Recorder) -> Iterator[Metric]:
    yield GaugeMetricFamily("couchgate_recorder", "1 if the flight recorder writes.", value=recorder.running)
    yield GaugeMetricFamily(
        "couchgate_unclean_ends",
        "Runs found at this start that had not ended in order.",
        value=recorder.unclean,
    )
