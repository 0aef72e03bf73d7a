"""Keys by URL: when they are loaded, and what a server may do."""

import gzip
import json

import pytest
from pytest_twisted import ensureDeferred
from twisted.internet.defer import CancelledError, gatherResults
from twisted.web.client import BrowserLikePolicyForHTTPS
from zope.interface.verify import verifyObject

from couchgate.facts.bounded import bounded_agent
from couchgate.facts.jwks import JwksUrl
from couchgate.facts.keyurl import UrlKeys
from couchgate.interfaces import IKeySource


@pytest.fixture
def changes():
    return []


@pytest.fixture
def open_source(reactor, clock, changes):
    """Makes sources whose time is the test's, but whose connections are real."""
    sources = []

    def opened(url, **options):
        bounds = {name: options.pop(name) for name in ("max_bytes", "seconds") if name in options}
        agent = bounded_agent(reactor, bounds.get("max_bytes", 1 << 20))
        source = UrlKeys(JwksUrl(url, agent, clock, **bounds), ("ES256",), clock, **options)
        source.changed = lambda: changes.append(source.current())
        sources.append(source)
        return source

    yield opened
    for source in sources:
        source.stop()
    assert clock.getDelayedCalls() == []


def pause(clock):
    """In how many seconds the next load is due."""
    return round(min(call.getTime() for call in clock.getDelayedCalls()) - clock.seconds(), 6)


@pytest.mark.parametrize(
    "url",
    [
        "http://id.example.com/jwks",
        "http://127.0.0.1.example.com/jwks",
        "http://localhost.example.com/jwks",
        "http://10.0.0.1/jwks",
        "ftp://127.0.0.1/jwks",
        "file:///etc/passwd",
        "https:///jwks",
        "//id.example.com/jwks",
        "https://me:hunter2@id.example.com/jwks",
        "https://id.example.com/j wks",
        "https://id.example.com/j\nwks",
        "https://idé.example.com/jwks",
        "",
    ],
)
def test_keys_come_by_https_only_or_from_this_machine(url, open_source):
    """A URL that somebody on the way could answer is refused, and a password in it is not repeated."""
    with pytest.raises(ValueError, match="the URL of the keys must") as refusal:
        open_source(url)
    assert "hunter2" not in str(refusal.value)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.9.9.9", "[::1]", "idp.localhost"])
def test_http_is_allowed_on_loopback(host, open_source):
    """Loopback names and addresses may be asked by http."""
    assert open_source(f"http://{host}:8080/jwks").description == f"http://{host}:8080/jwks"


def test_it_is_a_key_source_that_hides_the_query(open_source):
    """A UrlKeys provides IKeySource, and its description leaves out the query, which may hold a secret."""
    source = open_source("https://id.example.com/jwks?key=hunter2")
    assert verifyObject(IKeySource, source)
    assert source.description == "https://id.example.com/jwks"


@ensureDeferred
async def test_the_set_is_loaded_at_start(server, open_source, changes):
    """`start` fires when the keys are there."""
    source = open_source(server.url)
    assert source.current() is None
    await source.start()
    assert source.current().find("one", "ES256")
    assert source.problem is None
    assert changes == [source.current()]


@ensureDeferred
async def test_a_rotated_key_is_loaded_at_once(server, open_source, clock, make, changes):
    """An unknown key makes the source load the new set, once the cool-down is over."""
    source = open_source(server.url, cooldown=30)
    await source.start()
    server.body = make.jwks("two")
    clock.advance(30)
    await source.refresh("two")
    assert source.current().find("two", "ES256")
    assert not source.current().find("one", "ES256")
    assert changes == [changes[0], source.current()]


@ensureDeferred
async def test_unknown_keys_share_one_load(server, open_source, clock, make):
    """A hundred tokens of a new key at the same time cost one request, and all wait for it."""
    source = open_source(server.url)
    await source.start()
    server.body = make.jwks("two")
    clock.advance(30)
    waits = [source.refresh("two") for _ in range(100)]
    assert not any(wait.called for wait in waits)
    await gatherResults(waits)
    assert len(server.requests) == 2
    assert source.current().find("two", "ES256")


@ensureDeferred
async def test_the_cool_down_holds(server, open_source, clock):
    """A key that a load was asked about costs no other one until the cool-down is over, and is not waited for."""
    source = open_source(server.url, cooldown=30)
    await source.start()
    await source.refresh("made up")
    clock.advance(29.9)
    assert all(source.refresh("made up").called for _ in range(100))
    assert len(server.requests) == 2
    clock.advance(0.1)
    await source.refresh("made up")
    assert source.refresh("made up").called
    assert len(server.requests) == 3


@ensureDeferred
async def test_a_load_of_its_own_begins_no_cool_down(server, open_source, clock, make):
    """A key that is new just after the first load, or after any load by schedule, is loaded at once."""
    source = open_source(server.url)
    await source.start()
    server.body = make.jwks("two")
    await source.refresh("two")
    assert source.current().find("two", "ES256")
    clock.advance(480)
    await source.start()
    server.body = make.jwks("three")
    await source.refresh("three")
    assert source.current().find("three", "ES256")


@ensureDeferred
async def test_a_clock_that_is_set_back_ends_the_cool_down(server, open_source, clock, make):
    """An hour that comes twice does not make new keys unknown for an hour."""
    clock.advance(7200)
    source = open_source(server.url)
    await source.start()
    await source.refresh("two")
    server.body = make.jwks("two")
    clock.rightNow -= 3600
    await source.refresh("two")
    assert source.current().find("two", "ES256")


@ensureDeferred
async def test_a_token_that_is_newer_than_the_answer_gets_a_load_of_its_own(server, open_source, clock, make):
    """Who comes while a load by schedule is under way waits for one more, if the key was not in its answer."""
    source = open_source(server.url)
    first = source.start()
    waits = [source.refresh(kid) for kid in ("one", "two", "made up")]
    server.bodies = [server.body]
    server.body = make.jwks("one", "two")
    await gatherResults([first, waits[0]])
    assert not any(wait.called for wait in waits[1:])
    await gatherResults(waits[1:])
    assert source.current().find("two", "ES256")
    assert source.refresh("made up").called
    assert len(server.requests) == 2


@ensureDeferred
async def test_a_load_that_fails_is_not_repeated_for_those_who_wait(server, open_source):
    """While the server is down the tokens that wait are let go after one attempt."""
    server.status = 500
    source = open_source(server.url)
    await gatherResults([source.start(), source.refresh("one")])
    assert len(server.requests) == 1


@ensureDeferred
async def test_who_gives_up_leaves_the_load_to_the_others(server, open_source):
    """Cancelling one wait neither ends the load nor the other waits."""
    source = open_source(server.url)
    first, second = source.start(), source.refresh("one")
    first.cancel()
    with pytest.raises(CancelledError):
        await first
    await second
    assert source.current().find("one", "ES256")


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, 480),
        ({"Cache-Control": "public, max-age=3600"}, 2880),
        ({"Cache-Control": "MAX-AGE = 3600"}, 2880),
        ({"Cache-Control": 'max-age="3600"'}, 2880),
        ({"Cache-Control": "max-age=3600, max-age=120"}, 96),
        ({"Cache-Control": "max-age=3600", "Age": "3000"}, 480),
        ({"Cache-Control": "max-age=3600", "Age": "9999"}, 60),
        ({"Cache-Control": "max-age=3600", "Age": "x"}, 2880),
        ({"Cache-Control": "max-age=0"}, 60),
        ({"Cache-Control": "max-age=9999999999"}, 43200),
        ({"Cache-Control": "max-age=" + "9" * 5000}, 480),
        ({"Cache-Control": "max-age=-1"}, 480),
        ({"Cache-Control": "s-maxage=3600"}, 480),
        ({"Cache-Control": "no-store"}, 60),
        ({"Cache-Control": "no-cache, max-age=3600"}, 60),
    ],
)
@ensureDeferred
async def test_cache_control_says_when_to_load_again_within_bounds(server, open_source, clock, headers, expected):
    """The next load is due before the set expires, within a minute and twelve hours."""
    server.headers = headers
    await open_source(server.url).start()
    assert pause(clock) == expected


@ensureDeferred
async def test_the_set_is_loaded_again_when_it_is_due(server, open_source, clock, make):
    """A new set comes in without any token asking for it, and the schedule goes on."""
    source = open_source(server.url)
    await source.start()
    server.body = make.jwks("two")
    arrival = server.arrival()
    clock.advance(600)
    await arrival
    await source.start()
    assert source.current().find("two", "ES256")
    assert pause(clock) == 480


@ensureDeferred
async def test_the_same_set_again_is_no_change(server, open_source, clock, changes):
    """The set keeps its identity while the server sends the same bytes."""
    source = open_source(server.url)
    await source.start()
    good = source.current()
    clock.advance(30)
    await source.refresh("two")
    assert source.current() is good
    assert changes == [good]
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("status", "headers", "body", "said"),
    [
        (200, {"Content-Type": "text/html"}, b"<html>Sign in to the Wi-Fi</html>", "no keys to use"),
        (200, {}, b"", "no keys to use"),
        (200, {}, b'{"keys": []}', "no keys to use"),
        (200, {}, b"[" * 100_000, "no keys to use"),
        (200, {}, b"\xff\xfe", "no keys to use"),
        (200, {}, json.dumps({"keys": [{"kty": "oct", "k": "c2VjcmV0" * 8}]}).encode(), "no keys to use"),
        (204, {}, b"", "status 204"),
        (404, {}, b"{}", "status 404"),
        (500, {}, b"{}", "status 500"),
        (302, {"Location": "http://169.254.169.254/"}, b"", "redirect (302)"),
        (308, {"Location": "/elsewhere"}, b"", "redirect (308)"),
        (200, {"Content-Encoding": "gzip"}, gzip.compress(b" " * 50_000_000), "content coding"),
        (200, {}, b" " * (1 << 20) + b" ", "longer than 1048576 bytes"),
    ],
)
@ensureDeferred
async def test_a_lying_server_changes_nothing(server, open_source, clock, log_events, status, headers, body, said):
    """Whatever the server sends instead of keys: the old ones stay, one line says why, and it is asked again soon."""
    source = open_source(server.url)
    await source.start()
    good = source.current()
    server.status, server.headers, server.body = status, headers, body
    for _ in range(3):
        clock.advance(30)
        await source.refresh("two")
    assert source.current() is good
    assert said in source.problem
    assert server.url in source.problem
    assert [event["problem"] for event in log_events if "problem" in event] == [source.problem]
    assert pause(clock) == 8


@ensureDeferred
async def test_a_redirect_is_not_followed(server, open_source):
    """A redirect back to the same server is not followed either."""
    server.status, server.headers = 302, {"Location": server.url}
    await open_source(server.url).start()
    assert len(server.requests) == 1


@ensureDeferred
async def test_no_content_coding_is_asked_for(server, open_source):
    """The request asks for the plain bytes, whatever the library below would like to decode."""
    await open_source(server.url).start()
    assert server.requests[0].requestHeaders.getRawHeaders("accept-encoding") == ["identity"]


@ensureDeferred
async def test_no_cookie_is_sent_back(server, open_source, clock):
    """A cookie that the server sets does not come with the next load."""
    server.headers = {"Set-Cookie": "track=1"}
    source = open_source(server.url)
    await source.start()
    clock.advance(30)
    await source.refresh("two")
    assert len(server.requests) == 2
    assert not any(request.requestHeaders.hasHeader("cookie") for request in server.requests)


@ensureDeferred
async def test_a_server_that_is_down_is_asked_again_with_growing_pauses(server, open_source, clock, make):
    """While nothing listens the pauses double up to a minute; the keys count as soon as it answers."""
    port = server.port.getHost().port
    await server.port.stopListening()
    source = open_source(server.url)
    await source.start()
    pauses = [pause(clock)]
    for _ in range(7):
        clock.advance(pauses[-1])
        await source.start()
        pauses.append(pause(clock))
    assert pauses == [2, 4, 8, 16, 32, 60, 60, 60]
    assert source.current() is None
    assert "no answer" in source.problem
    server.port = server.port.reactor.listenTCP(port, server.port.factory, interface="127.0.0.1")
    clock.advance(60)
    await source.start()
    assert source.current().find("one", "ES256")
    assert source.problem is None
    assert pause(clock) == 480


@ensureDeferred
async def test_a_silent_server_is_given_up_in_time(server, open_source, clock, make):
    """A server that takes the request and never answers is left after the time limit, and its connection is cut."""
    server.body = make.SILENT
    source = open_source(server.url, seconds=10)
    arrival, started = server.arrival(), source.start()
    await arrival
    clock.advance(9.9)
    assert not started.called
    clock.advance(0.1)
    await started
    assert "within 10 seconds" in source.problem
    await server.gone


@ensureDeferred
async def test_a_body_that_never_ends_is_given_up_in_time(raw_server, open_source, clock):
    """The time limit holds in the middle of a body, too."""
    raw_server.answer, raw_server.close = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{", False
    source = open_source(raw_server.url, seconds=10)
    started = source.start()
    await raw_server.answered
    clock.advance(10)
    await started
    assert "within 10 seconds" in source.problem
    await raw_server.gone


@pytest.mark.parametrize(
    ("answer", "endless"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n", b" " * 65536),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10000000000\r\n\r\n", b" " * 65536),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"10000\r\n" + b" " * 65536 + b"\r\n"),
        (b"HTTP/1.1 200 OK\r\n", b"X-More: and more\r\n" * 4096),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 2048),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", b"X-Trailer: and more\r\n" * 4096),
        (b"HTTP/1.1 200 OK\r\nX: ", b"x" * 65536),
        (b"HTTP/1.1 500 No\r\n\r\n", b" " * 65536),
    ],
)
@ensureDeferred
async def test_an_endless_answer_is_cut_off(raw_server, open_source, answer, endless):
    """Head, body, trailers or informational answers without end: the connection is cut soon after the limit."""
    raw_server.answer, raw_server.endless = answer, endless
    source = open_source(raw_server.url, max_bytes=100_000)
    await source.start()
    assert source.problem
    assert source.current() is None
    await raw_server.gone
    # What the two kernels hold between them comes on top of the limit.
    assert raw_server.sent < 20_000_000


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n{KEYS}",
        b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n{KEYS}",
        b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n{KEYS}",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{KEYS}",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{KEYS}",
        b"HTTP/1.1 twohundred OK\r\n\r\n{KEYS}",
        b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
        b"\x00\x01\x02\r\n\r\n",
        b"\r\n\r\n\r\n",
    ],
)
@ensureDeferred
async def test_broken_http_is_a_problem_and_nothing_else(raw_server, open_source, make, answer):
    """A length that lies, bad chunks, other protocols: no keys, one sentence, no exception."""
    raw_server.answer = answer.replace(b"{KEYS}", make.jwks("one"))
    source = open_source(raw_server.url)
    await source.start()
    assert source.current() is None
    assert source.problem
    assert source.problem.isprintable()
    assert len(source.problem) < 400


@ensureDeferred
async def test_stop_ends_the_load_and_lets_go_who_waits(server, open_source, clock, make):
    """After `stop` no wait, no connection and no timer is left, and the last keys still serve."""
    source = open_source(server.url)
    await source.start()
    good = source.current()
    server.body = make.SILENT
    clock.advance(30)
    arrival, waiting = server.arrival(), source.refresh("two")
    await arrival
    source.stop()
    await waiting
    await server.gone
    assert clock.getDelayedCalls() == []
    assert source.current() is good
    assert source.problem is None
    assert source.refresh("two").called


@ensureDeferred
async def test_a_stopped_source_starts_again(server, open_source, make):
    """`start` after `stop` loads the set anew."""
    source = open_source(server.url)
    await source.start()
    source.stop()
    server.body = make.jwks("two")
    await source.start()
    assert source.current().find("two", "ES256")


@ensureDeferred
async def test_a_certificate_of_no_authority_is_refused(tls_server, open_source):
    """A server whose certificate nobody vouches for gives no keys, and learns no path."""
    source = open_source(tls_server.url)
    await source.start()
    assert source.current() is None
    assert "certificate verify failed" in source.problem
    assert tls_server.requests == []


@ensureDeferred
async def test_keys_come_by_https(tls_server, certificate, reactor, clock):
    """A server with a valid certificate for its name gives the keys by https."""
    policy = BrowserLikePolicyForHTTPS(trustRoot=certificate.trust_root)
    source = UrlKeys(JwksUrl(tls_server.url, bounded_agent(reactor, 1 << 20, policy), clock), ("ES256",), clock)
    await source.start()
    source.stop()
    assert source.problem is None
    assert source.current().find("one", "ES256")


@ensureDeferred
async def test_a_certificate_for_another_name_is_refused(tls_server, certificate, reactor, clock):
    """A valid certificate does not serve a host that it does not name."""
    policy = BrowserLikePolicyForHTTPS(trustRoot=certificate.trust_root)
    url = tls_server.url.replace("localhost", "127.0.0.1")
    source = UrlKeys(JwksUrl(url, bounded_agent(reactor, 1 << 20, policy), clock), ("ES256",), clock)
    await source.start()
    source.stop()
    assert source.current() is None
    assert source.problem


@ensureDeferred
async def test_old_keys_are_used_for_their_time_and_no_longer(server, open_source, clock, changes, log_events, make):
    """While the server is down the keys stay for `stale_seconds` after their last good load; then there are none."""
    source = open_source(server.url, stale_seconds=3600)
    await source.start()
    good = source.current()
    server.status = 500
    while clock.seconds() < 3599:
        clock.advance(1)
        await source.start()
    assert source.current() is good
    assert "status 500" in source.problem
    clock.advance(1)
    await source.start()
    assert source.current() is None
    assert changes == [good, None]
    (said,) = [event["problem"] for event in log_events if "stale_seconds" in event.get("problem", "")]
    assert "3600 seconds" in said
    server.status = 200
    clock.advance(60)
    await source.start()
    assert source.current().find("one", "ES256")
    assert source.problem is None
    assert len(changes) == 3


@ensureDeferred
async def test_a_good_load_makes_keys_young_again(server, open_source, clock):
    """The time counts from the last good load, also of the same set; and loads come in time for that."""
    source = open_source(server.url, stale_seconds=300)
    server.headers = {"Cache-Control": "max-age=86400"}
    await source.start()
    for _ in range(5):
        assert pause(clock) == 150
        clock.advance(150)
        await source.start()
    assert source.current() is not None
    assert len(server.requests) == 6


@ensureDeferred
async def test_a_clock_that_jumps_ahead_drops_no_keys_while_the_server_is_up(server, open_source, clock, changes):
    """After a jump over both the next load and the end of the keys, the load decides."""
    source = open_source(server.url)
    await source.start()
    clock.advance(10**8)
    await source.start()
    assert source.current() is not None
    assert changes == [source.current()]


@ensureDeferred
async def test_a_source_that_was_stopped_for_too_long_starts_without_keys(server, open_source, clock):
    """Keys in memory do not outlive `stale_seconds` by a stop."""
    source = open_source(server.url)
    await source.start()
    source.stop()
    clock.advance(86400)
    server.status = 500
    await source.start()
    assert source.current() is None


@ensureDeferred
async def test_what_it_tells_of_itself(server, open_source, clock, reactor):
    """Kind, last good load, attempts and failures are there to be read; the last two count every load."""
    times = iter((1763700000.0, 1763700600.0))
    source = open_source(server.url, wall=lambda: next(times))
    assert (source.kind, source.loaded_at, source.attempts, source.failures) == ("url", None, 0, 0)
    await source.start()
    assert (source.loaded_at, source.attempts, source.failures) == (1763700000.0, 1, 0)
    server.status = 500
    await source.refresh("two")
    assert (source.loaded_at, source.attempts, source.failures) == (1763700000.0, 2, 1)
    server.status = 200
    clock.advance(2)
    await source.start()
    assert (source.loaded_at, source.attempts, source.failures) == (1763700600.0, 3, 1)


@ensureDeferred
async def test_starting_what_runs_loads_nothing(server, open_source):
    """A source that changes hands while it runs is started again without a load."""
    source = open_source(server.url)
    await source.start()
    assert source.start().called
    assert len(server.requests) == 1
