"""`/_gate/metrics` and the other pages for administrators: who may see them, and what a real gate counts."""

import json
import signal

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.web.live import HELLO, running_gate
from tests.web.sockets import Upstream, eventually

PAGES = ("metrics", "refusals", "syncs")
ADMIN = {"_couchdb": {"roles": ["ops"]}}


@pytest.fixture(scope="module")
def upstream():
    listening = Upstream()
    yield listening
    listening.close()


@pytest.fixture(scope="module")
def gate(upstream):
    """A gate whose first listener is for administrators; the second asks for their role."""
    with running_gate(upstream, admin=True, role="ops") as running:
        yield running


def page(gate, name, mode="keepalive", token=None):
    return gate.client("GET", f"/_gate/{name}", token=token, mode=mode).message()


def samples(gate):
    """Every sample of the metrics page, by name and labels."""
    answer = page(gate, "metrics")
    assert answer.status == 200
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(answer.body.decode())
        for sample in family.samples
    }


def value(found, name, **labels):
    """The sum of the samples that have these labels, and perhaps more."""
    wanted = set(labels.items())
    return sum(number for (each, given), number in found.items() if each == name and wanted <= given)


def changes(gate, act):
    """What `act` adds to the samples; the page that is asked for before it is a part of that."""
    before = samples(gate)
    act()
    after = samples(gate)
    return {key: number - before.get(key, 0) for key, number in after.items()}


@pytest.mark.parametrize("name", PAGES)
def test_an_admin_listener_shows_its_pages_without_a_token(gate, name):
    """Whoever reaches it is an administrator."""
    answer = page(gate, name)
    assert answer.status == 200
    assert answer.first(b"cache-control") == b"no-store"


@pytest.mark.parametrize("name", PAGES)
def test_elsewhere_the_role_is_asked_for(gate, name):
    """No token: 401; a token without the role: 403 in CouchDB's form; with it: the page."""
    answer = page(gate, name, "close")
    assert (answer.status, json.loads(answer.body)["error"]) == (401, "unauthorized")
    answer = page(gate, name, "close", gate.token(_couchdb={"roles": ["editor"]}))
    assert (answer.status, json.loads(answer.body)["error"]) == (403, "forbidden")
    assert page(gate, name, "close", gate.token(**ADMIN)).status == 200


@pytest.mark.parametrize("name", PAGES)
def test_by_default_there_are_no_such_pages(name):
    """Without a role and an admin listener the pages are as absent as any other, whoever asks."""
    upstream = Upstream()
    with running_gate(upstream) as gate:
        unknown = page(gate, "nonsense", token=gate.token())
        for mode in ("keepalive", "close"):
            for token in (None, gate.token(), gate.token(_couchdb={"roles": ["ops", ""]})):
                answer = page(gate, name, mode, token)
                assert (answer.status, answer.body) == (404, unknown.body)
    upstream.close()


@pytest.mark.parametrize("name", PAGES)
def test_the_pages_can_only_be_read(gate, name):
    """Another method is 405."""
    assert gate.client("POST", f"/_gate/{name}", "Content-Length: 0", token=None).message().status == 405


def test_an_admin_listener_serves_as_any_other(gate, upstream):
    """Databases still need a token there, and are relayed with one."""
    assert gate.client("GET", "/db/doc", token=None).message().status == 401
    client = gate.client("GET", "/db/doc")
    upstream.exchange(HELLO)
    assert client.message().status == 200
    upstream.settle()


def test_requests_bytes_and_times_are_counted_by_listener(gate, upstream):
    """A forwarded upload adds one to its series, its bytes both ways, and one to both histograms."""

    def upload():
        client = gate.client("PUT", "/db/doc", "Content-Length: 5", mode="close")
        client.send(b"hello")
        upstream.exchange(HELLO)
        assert client.message().status == 200

    added = changes(gate, upload)
    listener = "tcp:0:interface=127.0.0.1:backlog=201"  # both have the port 0, so the label is the whole string
    series = {"listener": listener, "method": "PUT", "kind": "write", "verdict": "forwarded", "status": "200"}
    assert value(added, "couchgate_requests_total", **series) == 1
    assert value(added, "couchgate_requests_total", listener=listener) == 1
    assert value(added, "couchgate_request_body_bytes_total", listener=listener) == 5
    assert value(added, "couchgate_response_body_bytes_total", listener=listener) == 11
    for name in ("couchgate_request_duration_seconds", "couchgate_upstream_response_seconds"):
        assert value(added, f"{name}_count", listener=listener) == 1
        assert value(added, f"{name}_bucket", listener=listener, le="+Inf") == 1
        assert value(added, f"{name}_sum", listener=listener) >= 0
    assert value(added, "couchgate_upstream_connections_opened_total") == 1


def test_hostile_requests_make_no_series_of_their_own(gate):
    """A thousand invented methods, databases, paths and tokens end in a handful of series."""
    before = set(samples(gate))
    for index in range(100):
        for method, target, token in (
            (f"M{index}", "/db", None), ("GET", f"/d{index}/x", None), ("GET", f"/_x{index}", None),
            ("GET", f"/%{index:02}", f"nonsense.{index}.x"), ("GET", f"/_gate/{index}", None),
        ):  # fmt: skip
            gate.client(method, target, token=token, mode="close").message()
    new = set(samples(gate)) - before
    assert len(new) < 20
    assert not any(str(index) in str(labels) for _, labels in new for index in ("M7", "d7", "x7"))


def test_the_pool_tells_of_reuse(gate, upstream):
    """Two requests on one connection to CouchDB: one opened, one reuse, one idle."""

    def two():
        client = gate.client("GET", "/db/1")
        peer, _ = upstream.exchange(HELLO)
        client.message()
        client.send(gate.head("GET", "/db/2"))
        peer.message()
        peer.send(HELLO)
        client.message()

    added = changes(gate, two)
    assert value(added, "couchgate_upstream_connections_opened_total") == 1
    assert value(added, "couchgate_upstream_connections_reused_total") == 1
    assert value(added, "couchgate_upstream_connections", state="idle") == 1
    upstream.settle()


def test_clients_and_feeds_are_gauges(gate, upstream):
    """An open feed is one, and its client another; a sync is live by it."""
    client = gate.client("GET", "/db/_changes?feed=longpoll", mode="close")
    upstream.accept().message()
    found = samples(gate)
    listener = {"listener": "tcp:0:interface=127.0.0.1:backlog=201"}
    assert value(found, "couchgate_connections", **listener) == 1
    assert value(found, "couchgate_feeds", **listener) == 1
    assert value(found, "couchgate_syncs", state="live", **listener) == 1
    client.close()
    eventually(lambda: value(samples(gate), "couchgate_feeds", **listener) == 0)
    upstream.settle()


def test_tokens_are_verified_once_and_remembered(gate, upstream):
    """A new token is verified; the second use of it is not."""
    token = gate.token(sub="remembered")

    def twice():
        for _ in range(2):
            client = gate.client("GET", "/_session", token=token)
            assert client.message().status == 200

    added = changes(gate, twice)
    assert value(added, "couchgate_token_verifications_total") == 1
    assert value(added, "couchgate_verdicts") == 1


def test_keys_build_and_settings_are_told(gate):
    """One usable key from a file, loaded a moment ago; the version; a digest of the settings."""
    found = samples(gate)
    issuer = {"issuer": "https://id.example.com/", "rules": "issuers[0]", "source": "file"}
    assert value(found, "couchgate_keys", **issuer) == 1
    assert value(found, "couchgate_keys_failing", **issuer) == 0
    assert 0 <= value(found, "couchgate_keys_age_seconds", **issuer) < 600
    assert value(found, "couchgate_keys_loaded_timestamp_seconds", **issuer) > 1.7e9
    assert value(found, "couchgate_key_loads_total", **issuer) >= 1
    assert value(found, "couchgate_build_info", compiled="false") == 1
    assert value(found, "couchgate_settings_info") == 1


def test_a_reload_is_counted_and_what_was_counted_stays(gate, upstream):
    """A reload that changes nothing because it cannot is told; the numbers of requests go on."""
    before = samples(gate)
    settings = gate.directory / "couchgate.toml"
    text = settings.read_text()
    settings.write_text(text + "[nonsense]\n")
    gate.process.send_signal(signal.SIGHUP)
    found = eventually(lambda: value(now := samples(gate), "couchgate_reload_failing") and now)
    assert value(found, "couchgate_reloads_total", result="failed") == 1
    settings.write_text(text)
    gate.process.send_signal(signal.SIGHUP)
    found = eventually(lambda: value(now := samples(gate), "couchgate_reloads_total", result="ok") and now)
    assert value(found, "couchgate_reload_failing") == 0
    assert value(found, "couchgate_reload_timestamp_seconds") > 1.7e9
    requests = "couchgate_requests_total"
    assert value(found, requests) > value(before, requests)
    upstream.settle()
