"""CouchDB by https: verified by certificate and name, or not spoken to at all."""

import json
import re
import ssl

import pytest

from tests.upstream.certificates import HOUR, Authority, SecureUpstream
from tests.web.live import HELLO, running_gate
from tests.web.sockets import SOON, eventually

# Of a certificate without a usable name Twisted logs this and goes on: the gate's own check must end it.
TWISTED_SAYS = re.compile(r".*while verifying certificate\n(\t.*\n)+")


MODES = pytest.mark.parametrize("mode", ["keepalive", "close", "threaded"])


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    """A new Authority."""
    return Authority(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def started(authority):
    upstream = SecureUpstream(authority.server("localhost"))
    with running_gate(upstream, env={"SSL_CERT_FILE": str(authority.path)}) as gate:
        yield gate, upstream
    upstream.close()


@pytest.fixture
def secure_gate(started):
    """A gate that trusts its upstream, and the upstream."""
    yield started
    started[1].settle()


@MODES
def test_a_verified_upstream_serves_in_both_directions(secure_gate, mode):
    """With the authority trusted, exchanges work, large bodies included, and connections are kept in mode keepalive."""
    gate, upstream = secure_gate
    data = bytes(range(256)) * 4000
    client = gate.client("PUT", "/db/doc/a", f"Content-Length: {len(data)}", mode=mode)
    client.send(data)
    peer = upstream.accept()
    assert peer.message().body == data
    peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(data), data)
    assert client.message().body == data
    again = gate.client("GET", "/db/doc", mode=mode)
    if mode != "keepalive":
        peer = upstream.accept()
    peer.message()
    peer.send(HELLO)
    assert again.message().status == 200


@MODES
def test_a_body_that_ends_with_a_goodbye_is_whole(secure_gate, mode):
    """An answer without a length ends with TLS's own close, which cannot be forged: the client has it whole."""
    gate, upstream = secure_gate
    client = gate.client("GET", "/db/doc", mode=mode)
    peer, _ = upstream.exchange(b"HTTP/1.1 200 OK\r\n\r\nhello")
    client.peek()
    peer.sock.unwrap()
    answer = client.answer()
    assert (answer.body, answer.framing) == (b"hello", "chunked" if mode == "keepalive" else "close")


@pytest.mark.parametrize("mode", ["keepalive", "threaded"])
@pytest.mark.parametrize("framing", [b"", b"Content-Length: 100\r\n", b"Transfer-Encoding: chunked\r\n"])
def test_a_body_that_is_cut_off_never_looks_whole(secure_gate, framing, mode):
    """The connection ends without TLS's goodbye: the client is cut, too."""
    gate, upstream = secure_gate
    client = gate.client("GET", "/db/doc", mode=mode)
    begun = b"5\r\nhello\r\n" if b"chunked" in framing else b"hello"
    peer, _ = upstream.exchange(b"HTTP/1.1 200 OK\r\n" + framing + b"\r\n" + begun)
    client.until(b"hello")
    peer.close()
    assert client.ending()[0] == "reset"


def serves(upstream, **options):
    """Whether a gate with these settings gets an answer from `upstream`, over a verified connection, in both faces."""
    with running_gate(upstream, **options) as gate:
        for mode in ("keepalive", "threaded"):
            client = gate.client("GET", "/db/doc", mode=mode)
            upstream.exchange(HELLO)
            if client.message().status != 200:
                return False
        return True


def refusal(upstream, **options):
    """How a gate with these settings refuses to speak to `upstream`: a 503 in every place, and no byte of a request."""
    upstream.looked_at = upstream.refuses
    with running_gate(upstream, **options) as gate:
        log = gate.log
        gate.log = lambda: TWISTED_SAYS.sub("", log())
        eventually(lambda: "is not ready until that is over" in gate.log())
        for method, mode in (("GET", "keepalive"), ("POST", "keepalive"), ("GET", "close"), ("GET", "threaded")):
            client = gate.client(method, "/db/doc", mode=mode)
            assert upstream.refuses() == b""
            answer = client.answer()
            assert (answer.status, json.loads(answer.body)["error"]) == (503, "service_unavailable")
            assert answer.first(b"retry-after")
            assert upstream.untouched
        asking = gate.client("GET", "/_gate/ready", token=None)
        assert upstream.refuses() == b""
        (problem,) = json.loads(asking.message().body)["missing"]
        assert json.loads(answer.body)["reason"] == problem
        assert problem in gate.log()
        eventually(lambda: len(gate.access()) > 4)
        assert [line["reason"] for line in gate.access()[:4]] == ["upstream_tls"] * 4
        return problem


def test_an_authority_of_the_platform_is_trusted_no_more_beside_a_ca_file(authority, tmp_path):
    """`ca_file` takes the place of the platform's authorities."""
    other = Authority(tmp_path)
    env = {"SSL_CERT_FILE": str(other.path)}
    upstream = SecureUpstream(authority.server("localhost"))
    assert serves(upstream, env=env, more_upstream=f'ca_file = "{authority.path}"')
    foreign = SecureUpstream(other.server("localhost"))
    problem = refusal(foreign, env=env, more_upstream=f'ca_file = "{authority.path}"')
    assert problem == "There is no TLS with CouchDB: its certificate is signed by no authority that the gate trusts."
    upstream.close()
    foreign.close()


@pytest.mark.parametrize(
    ("names", "times", "words"),
    [
        (["other.example.com"], {}, "its certificate is for another name than the gate expects"),
        (["*.localhost"], {}, "its certificate is for another name than the gate expects"),
        (["*.*.com"], {}, "its certificate is for another name than the gate expects"),
        (["127.0.0.1"], {}, "its certificate is for another name than the gate expects"),
        ([], {}, "its certificate is for another name than the gate expects"),
        (["localhost"], {"begins": -2 * HOUR, "ends": -HOUR}, "its certificate has expired"),
        (["localhost"], {"begins": HOUR, "ends": 2 * HOUR}, "its certificate is not valid yet"),
    ],
)
def test_who_is_not_couchdb_hears_nothing(authority, names, times, words):
    """A certificate for another name or for none at all, or one whose time is not now: 503, and nothing is sent."""
    upstream = SecureUpstream(authority.server(*names, **times))
    problem = refusal(upstream, more_upstream=f'ca_file = "{authority.path}"')
    assert problem == f"There is no TLS with CouchDB: {words}."
    upstream.close()


def test_an_address_is_verified_as_an_address(authority):
    """`https://127.0.0.1` needs a certificate for that address, and one for a name will not do."""
    upstream = SecureUpstream(authority.server("127.0.0.1"), host="127.0.0.1")
    assert serves(upstream, more_upstream=f'ca_file = "{authority.path}"')
    upstream.close()
    named = SecureUpstream(authority.server("localhost"), host="127.0.0.1")
    assert "another name" in refusal(named, more_upstream=f'ca_file = "{authority.path}"')
    named.close()


def test_server_name_is_what_is_verified_and_asked_for(authority):
    """With `server_name` the certificate must be for that name, which the server hears as SNI; `Host` is the URL's."""
    context = authority.server("couch.internal")
    heard = []
    context.sni_callback = lambda _, name, __: heard.append(name)
    upstream = SecureUpstream(context, host="127.0.0.1")
    options = f'ca_file = "{authority.path}"\nserver_name = "Couch.Internal"'
    with running_gate(upstream, more_upstream=options) as gate:
        for mode in ("keepalive", "threaded"):
            client = gate.client("GET", "/db/doc", mode=mode)
            _, request = upstream.exchange(HELLO)
            assert request.all(b"host") == [upstream.url.removeprefix("https://").encode()]
            assert client.message().status == 200
    assert set(heard) == {"couch.internal"}
    upstream.close()


@pytest.mark.parametrize("separate", [False, True])
def test_a_client_certificate_is_shown_to_who_asks(authority, tmp_path, separate):
    """CouchDB that demands a certificate gets the gate's, from one file or two, and then serves."""
    clients = Authority(tmp_path)
    upstream = SecureUpstream(authority.server("localhost", clients=clients))
    certificate, key = clients.pair("couchgate")
    (tmp_path / "gate.pem").write_bytes(certificate if separate else certificate + key)
    (tmp_path / "gate.key").write_bytes(key)
    lines = [f'ca_file = "{authority.path}"', f'client_certificate = "{tmp_path / "gate.pem"}"']
    if separate:
        lines.append(f'client_key = "{tmp_path / "gate.key"}"')
    assert serves(upstream, more_upstream="\n".join(lines))
    upstream.close()


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
def test_without_the_certificate_that_couchdb_demands_it_is_503(authority, version):
    """No client certificate where one is demanded: 503 that says who refuses, whenever TLS makes it known."""
    context = authority.server("localhost", clients=authority)
    context.minimum_version = context.maximum_version = ssl.TLSVersion[version]
    upstream = SecureUpstream(context)
    upstream.looked_at = upstream.refuses
    with running_gate(upstream, more_upstream=f'ca_file = "{authority.path}"') as gate:
        for mode in ("keepalive", "threaded"):
            client = gate.client("GET", "/db/doc", mode=mode)
            assert upstream.refuses() == b""
            answer = client.answer()
            assert answer.status == 503
            assert "There is no TLS with CouchDB: " in json.loads(answer.body)["reason"]
            assert upstream.untouched
    upstream.close()


def test_an_upstream_that_speaks_old_tls_only_is_refused(authority):
    """TLS 1.1 is not spoken."""
    context = authority.server("localhost")
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSVersion"):
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    upstream = SecureUpstream(context)
    assert "There is no TLS" in refusal(upstream, more_upstream=f'ca_file = "{authority.path}"')
    upstream.close()


@MODES
def test_a_handshake_that_hangs_ends_with_the_time_to_connect(authority, mode):
    """CouchDB's port accepts and says nothing: `connect_seconds` bounds that, not the time for an answer."""
    upstream = SecureUpstream(authority.server("localhost"))
    upstream.looked_at = lambda: upstream.accept_plain().reset()
    options = f'ca_file = "{authority.path}"\nconnect_seconds = 0.3'
    with running_gate(upstream, more_upstream=options) as gate:
        client = gate.client("GET", "/db/doc", mode=mode)
        peer = upstream.accept_plain()
        answer = client.answer()
        assert (answer.status, json.loads(answer.body)["reason"]) == (503, "CouchDB cannot be reached in time.")
        peer.ending()
    upstream.close()


@pytest.mark.parametrize("mode", ["keepalive", "threaded"])
def test_a_client_that_leaves_during_the_handshake_ends_it(authority, mode):
    """Nobody waits for the connection any more: it is given up."""
    upstream = SecureUpstream(authority.server("localhost"))
    with running_gate(upstream, more_upstream=f'ca_file = "{authority.path}"') as gate:
        client = gate.client("GET", "/db/doc", mode=mode)
        peer = upstream.accept_plain()
        client.reset()
        assert peer.ending(SOON)[0] in {"fin", "reset"}
    upstream.close()


@pytest.mark.parametrize("mode", ["close", "threaded"])
def test_a_goodbye_that_is_not_answered_is_not_waited_for(authority, mode):
    """CouchDB never answers the end of TLS: the gate lets go of the connection all the same."""
    upstream = SecureUpstream(authority.server("localhost"))
    with running_gate(upstream, more_upstream=f'ca_file = "{authority.path}"') as gate:
        client = gate.client("GET", "/db/doc", mode=mode)
        peer, _ = upstream.exchange(HELLO)
        assert client.answer().status == 200
        eventually(peer.gone)
    upstream.close()
