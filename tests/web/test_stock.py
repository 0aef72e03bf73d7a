"""Any Resource of `twisted.web` can stand in the gate's tree: requests by real sockets, through `twistd`."""

import json
import os
import re
import socket
import subprocess
import sys
from contextlib import closing

import pytest

from couchgate.testing import Minter
from tests.web.live import CHECKOUT, TWISTD
from tests.web.sockets import PATIENCE, Client, eventually

ORIGIN = "Origin: https://app.example.com"
MIB = 1 << 20
BIG = bytes(range(256)) * 12_000
SETTINGS = """
[gate]
listeners = [
    { endpoint = "tcp:0:interface=127.0.0.1:backlog=200", mode = "keepalive" },
    { endpoint = "tcp:0:interface=127.0.0.1:backlog=201", mode = "close" },
    { endpoint = "unix:gate.sock" },
]
drain_seconds = 0.2
[upstream]
url = "http://127.0.0.1:9"
auth = "none"
[[issuers]]
issuer = "https://id.example.com/"
audiences = ["couchgate"]
algorithms = ["ES256"]
keys = "key.pem"
[cors]
origins = ["https://app.example.com"]
[[rules]]
databases = ["*"]
allow = ["read"]
[log]
access = "access.log"
"""
TAC = """
from couchgate.tap import Options, makeService
from tests.web.stock_app import tree
from twisted.application.service import Application

options = Options()
options.parseOptions(["--config", "couchgate.toml"])
service = makeService(options)
service.root.putChild(b"_app", tree("files"))
application = Application("couchgate")
service.setServiceParent(application)
"""
_LISTENS = re.compile(r"couchgate listens on \S+ host='127.0.0.1', port=(\d+)\) \((\w+)\)")


class App:
    """A running gate with Resources of a deployment's own under `/_app`."""

    def __init__(self, folder):
        self.folder = folder
        (folder / "key.pem").write_bytes(Minter("ES256").public_pem())
        (folder / "couchgate.toml").write_text(SETTINGS)
        (folder / "app.tac").write_text(TAC)
        (folder / "files").mkdir()
        (folder / "files" / "big.bin").write_bytes(BIG)
        with (folder / "gate.log").open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", TWISTD, "-n", "--pidfile=", "-y", "app.tac"],
                cwd=folder,
                stdout=log,
                stderr=log,
                env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
            )

        def ports():
            assert self.process.poll() is None, self.log()
            found = {mode: int(port) for port, mode in _LISTENS.findall(self.log())}
            return found if len(found) == 2 else None

        self.ports = eventually(ports, 30)

    def log(self):
        return (self.folder / "gate.log").read_text()

    def client(self, *request, mode="keepalive", receive_buffer=None):
        """A client that has sent `request` (see `head`)."""
        client = Client(self.ports[mode], receive_buffer)
        if request:
            client.send(head(*request))
        return client

    def ask(self, *request, mode="keepalive"):
        """The answer to one request on a connection of its own."""
        with closing(self.client(*request, mode=mode)) as client:
            return client.answer(request[0])

    def echo(self, *request, path="/_app/echo"):
        answer = self.ask("POST" if request else "GET", path, *request)
        assert answer.status == 200, answer
        return json.loads(answer.body)

    def look(self):
        """What the app's Resources have seen since the last look, and how many requests wait."""
        return json.loads(self.ask("GET", "/_app/looks_back").body)


def head(method, target, *lines, version="1.1"):
    """A request's bytes; a `lines` entry that is bytes is the body, its length is then told."""
    body = next((line for line in lines if isinstance(line, bytes)), b"")
    told = [f"Content-Length: {len(body)}"] if body else []
    lines = [line for line in lines if isinstance(line, str)]
    hosts = [] if any(line.startswith("Host:") for line in lines) else ["Host: localhost"]
    return "\r\n".join([f"{method} {target} HTTP/{version}", *hosts, *lines, *told, "", ""]).encode() + body


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    """The running app."""
    running = App(tmp_path_factory.mktemp("app"))
    yield running
    running.process.terminate()
    try:
        running.process.wait(PATIENCE)
    finally:
        running.process.kill()
        running.process.wait()


@pytest.fixture
def failing(app):
    """For a test of a Resource that fails: says how many tracebacks the gate has logged since."""
    before = app.log().count("Traceback")
    return lambda: app.log().count("Traceback") - before


# Answers


@pytest.mark.parametrize("mode", ["keepalive", "close"])
def test_a_page_is_served_as_the_gate_serves(app, mode):
    """A static page arrives framed for the mode, with the gate's CORS lines, a Date, and without Twisted's Server."""
    answer = app.ask("GET", "/_app/data", ORIGIN, mode=mode)
    assert answer.start == (b"HTTP/1.1 200 OK" if mode == "keepalive" else b"HTTP/1.0 200 OK")
    assert (answer.body, answer.framing) == (b"plain data", "length")
    assert answer.first(b"content-type") == b"text/plain"
    assert answer.all(b"access-control-allow-origin") == [b"https://app.example.com"]
    assert answer.first(b"date")
    assert answer.first(b"server") is None
    assert answer.first(b"connection") == (None if mode == "keepalive" else b"close")


def test_a_connection_serves_many_pages(app):
    """Requests on one connection, sent ahead even, are answered in order; with the gate's own pages among them."""
    client = app.client()
    client.send(*(head("GET", path) for path in ("/_app/data", "/_app/pieces", "/_gate/health", "/_app/data")))
    bodies = [client.answer().body for _ in range(4)]
    assert bodies == [b"plain data", b"one,two,three", b'{"status": "ok"}\n', b"plain data"]


@pytest.mark.parametrize(
    ("mode", "version", "framing"),
    [("keepalive", "1.1", "chunked"), ("keepalive", "1.0", "close"), ("close", "1.1", "close")],
)
def test_a_body_of_unknown_length_is_framed_for_the_client(app, mode, version, framing):
    """Pieces are chunks for HTTP/1.1 in mode keepalive, and else end with the connection."""
    client = app.client(mode=mode)
    client.send(head("GET", "/_app/pieces", version=version))
    answer = client.answer()
    assert (answer.body, answer.framing) == (b"one,two,three", framing)


@pytest.mark.parametrize("mode", ["keepalive", "close"])
@pytest.mark.parametrize(
    ("path", "length"),
    [("data", b"10"), ("pieces", None), ("get_only", b"3"), ("files/big.bin", b"%d" % len(BIG)), ("missing", ...)],
)
def test_head_is_the_head_alone(app, mode, path, length):
    """HEAD has the fields of GET and no body, for Resources that know HEAD and for those that do not."""
    client = app.client("HEAD", f"/_app/{path}", mode=mode)
    answer = client.answer("HEAD")
    if length is not ...:
        assert answer.first(b"content-length") == length
        assert answer.status == 200
    if mode == "keepalive":
        client.send(head("GET", "/_app/data"))
        assert client.answer().body == b"plain data"
    else:
        assert client.ending() == ("fin", b"")


def test_status_fields_and_cookies_are_the_resource_s(app):
    """What a Resource says about its answer is passed on, but never framing, CORS, Server or a split line."""
    answer = app.ask("GET", "/_app/dressed", ORIGIN)
    assert answer.start == b"HTTP/1.1 418 I'm a teapot: short"
    assert (answer.body, answer.framing) == (b"short and stout", "length")
    assert answer.all(b"set-cookie") == [b"crumb=sweet; Path=/; HttpOnly"]
    assert answer.all(b"x-two") == [b"1", b"2"]
    assert answer.first(b"etag") == b'"tag"'
    assert answer.all(b"access-control-allow-origin") == [b"https://app.example.com"]
    assert b"mine" not in dict(answer.fields).values()


def test_an_etag_that_the_client_has_is_a_304(app):
    """A conditional request is answered without a body and without a length that would be wrong."""
    client = app.client("GET", "/_app/files/big.bin", "If-Modified-Since: Fri, 01 Jan 2100 00:00:00 GMT")
    answer = client.answer()
    assert (answer.status, answer.first(b"content-length")) == (304, None)
    client.send(head("GET", "/_app/data"))
    assert client.answer().body == b"plain data"


def test_a_redirect(app):
    """`request.redirect` is a 302 with its Location."""
    answer = app.ask("GET", "/_app/redirected")
    assert (answer.status, answer.first(b"location"), answer.body) == (302, b"/elsewhere", b"")


def test_204_has_no_body(app):
    """After a 204 the connection is where it should be, whatever the Resource wrote."""
    client = app.client("GET", "/_app/with_status?code=204")
    answer = client.answer()
    assert (answer.status, answer.first(b"content-length")) == (204, None)
    client.send(head("GET", "/_app/data"))
    assert client.answer().body == b"plain data"


@pytest.mark.parametrize("code", [101, 42, 1000])
def test_a_status_that_ends_no_exchange_is_a_500(app, code):
    """A Resource that answers with a status that no final answer has is in the wrong, and the client sees a 500."""
    assert app.ask("GET", f"/_app/with_status?code={code}").status == 500


def test_close_is_obeyed(app):
    """A Resource may close the connection behind its answer."""
    client = app.client("GET", "/_app/parting")
    answer = client.answer()
    assert (answer.body, answer.first(b"connection")) == (b"bye", b"close")
    assert client.ending() == ("fin", b"")


@pytest.mark.parametrize("length", ["11", "9", "0"])
@pytest.mark.parametrize("mode", ["keepalive", "close"])
def test_an_answer_that_breaks_its_own_length_is_cut(app, mode, length):
    """A body longer or shorter than its Content-Length does not end like a whole one."""
    client = app.client("GET", f"/_app/with_length?length={length}", mode=mode)
    how, data = client.ending()
    assert how == "reset"
    assert len(data.partition(b"\r\n\r\n")[2]) <= 10


@pytest.mark.parametrize("length", ["ten", "-1", "+10", "10,10"])
def test_a_length_that_is_none_is_replaced(app, length):
    """A Content-Length that is no number is dropped, and the gate frames the body itself."""
    answer = app.ask("GET", f"/_app/with_length?length={length}")
    assert (answer.body, answer.framing) == (b"0123456789", "chunked")


def test_pages_of_twisted_stay_theirs(app):
    """A missing child, a wrong method and a result of a wrong type are answered as `twisted.web` does."""
    assert app.ask("GET", "/_app/nothing/here").status == 404
    assert app.ask("GET", "/_app/missing").status == 404
    answer = app.ask("POST", "/_app/get_only", b"x")
    assert (answer.status, set(answer.first(b"allow").split(b", "))) == (405, {b"GET", b"HEAD"})
    assert app.ask("PROPFIND", "/_app/get_only").status == 501
    assert app.ask("GET", "/_app/returns_text").status == 500


# Requests


def test_a_resource_is_told_everything(app):
    """Method, target, fields, cookies, addresses and the path on either side of the Resource are as in twisted.web."""
    told = app.echo(path="/_app/echo/a%2Fb/c%20d/?x=1&x=2&y=")
    assert told["prepath"] == ["_app", "echo"]
    assert told["postpath"] == ["a/b", "c d", ""]
    assert told["args"] == {"x": ["1", "2"], "y": [""]}
    assert (told["method"], told["uri"], told["version"]) == (
        "GET",
        "/_app/echo/a%2Fb/c%20d/?x=1&x=2&y=",
        "HTTP/1.1",
    )
    assert (told["client"], told["secure"]) == ("127.0.0.1", False)
    answer = app.ask("GET", "/_app/echo", "X-Custom: yes", "Cookie: crumb=sweet; other=1")
    assert (json.loads(answer.body)["header"], json.loads(answer.body)["cookie"]) == ("yes", "sweet")


@pytest.mark.parametrize("path", ["//_app///echo", "/%5Fapp/%65cho"])
def test_the_walk_is_the_gate_s_down_to_the_resource(app, path):
    """Empty segments and escapes on the way to the first ordinary Resource are read as the gate reads them."""
    if path.startswith("//"):
        assert app.ask("GET", path).status == 404  # below it they are twisted.web's: an empty segment is a child
        path = "//_app/echo"
    assert app.echo(path=path)["prepath"] == ["_app", "echo"]


def test_children_are_made_with_a_stock_request(app):
    """`getChild` of an ordinary Resource has a request with the rest of the path."""
    assert app.ask("GET", "/_app/lazy/x/y/z").body == b"x 2"


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("localhost", "http://localhost/_app/echo"),
        ("LocalHost:5985", "http://LocalHost:5985/_app/echo"),
        ("[::1]:8080", "http://::1:8080/_app/echo"),
        ("localhost:" + "9" * 5000, "http://localhost:99999/_app/echo"),
    ],
)
def test_urls_are_made_of_the_host_that_was_asked_for(app, host, url):
    """`prePathURL` names the authority that the client used, whatever port the gate listens on."""
    assert json.loads(app.ask("GET", "/_app/echo", f"Host: {host}").body)["here"] == url


def test_a_form_is_parsed(app):
    """A posted form, URL-encoded or multipart, is in `args` beside the query."""
    told = app.echo("Content-Type: application/x-www-form-urlencoded", b"a=1&b=%20", path="/_app/echo?q=0")
    assert told["args"] == {"q": ["0"], "a": ["1"], "b": [" "]}
    part = b'--cut\r\nContent-Disposition: form-data; name="f"\r\n\r\nvalue\r\n--cut--\r\n'
    assert app.echo("Content-Type: multipart/form-data; boundary=cut", part)["args"] == {"f": ["value"]}


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("multipart/form-data", b"--x\r\n\r\nno boundary was named"),
        ("multipart/form-data; boundary=cut", b"--cut\r\nContent-Disposition: form-data\r\n\r\n1\r\n--cut--\r\n"),
        ("multipart/form-data; boundary=\xe9", b"--"),
        ("multipart/form-data; boundary*=x''y", b"--y\r\n\r\n--y--"),
    ],
)
def test_a_form_that_cannot_be_read_is_the_client_s_fault(app, failing, kind, body):
    """A malformed form is answered, never a 500, and leaves no traceback in the log."""
    assert app.ask("POST", "/_app/echo", f"Content-Type: {kind}", body).status in {200, 400}
    assert failing() == 0


def test_a_body_without_a_boundary_is_a_400_in_json(app):
    """What Twisted answers with an empty 400 is the gate's refusal, with CORS lines."""
    answer = app.ask("POST", "/_app/echo", ORIGIN, "Content-Type: multipart/form-data", b"--x\r\n\r\nx")
    assert (answer.status, json.loads(answer.body)["error"]) == (400, "bad_request")
    assert answer.first(b"access-control-allow-origin")


def test_a_chunked_body_is_content(app):
    """A body in chunks is in `content`, without its framing."""
    client = app.client()
    client.send(head("PUT", "/_app/echo", "Transfer-Encoding: chunked"), b"3\r\nabc\r\n", b"2;x=y\r\nde\r\n0\r\n\r\n")
    assert json.loads(client.answer().body)["content"] == "abcde"
    client.send(head("GET", "/_app/data"))
    assert client.answer().body == b"plain data"


def test_a_body_may_be_one_mebibyte(app):
    """A body of exactly 1 MiB is taken whole."""
    assert len(app.echo(b"x" * MIB)["content"]) == MIB


def test_a_longer_body_is_refused_before_it_is_read(app):
    """A body that is announced longer is a 413 without `100 Continue`."""
    answer = app.ask("POST", "/_app/echo", ORIGIN, f"Content-Length: {MIB + 1}", "Expect: 100-continue")
    assert (answer.status, json.loads(answer.body)["error"]) == (413, "too_large")
    assert answer.first(b"access-control-allow-origin")


def test_a_longer_body_in_chunks_is_refused_as_it_grows(app):
    """A body that turns out longer is a 413, too."""
    client = app.client("POST", "/_app/echo", "Transfer-Encoding: chunked")
    client.send(b"%x\r\n" % (MIB + 1), b"x" * (MIB + 1))
    assert client.answer().status == 413


@pytest.mark.parametrize("mode", ["keepalive", "close"])
def test_what_is_sent_ahead_of_the_answer_is_the_next_request(app, mode):
    """A body that came with its head, and the request behind it, are told apart."""
    client = app.client(mode=mode)
    client.send(head("POST", "/_app/echo", b"a=1"), head("GET", "/_app/data"))
    assert json.loads(client.message(until_close=True).body)["content"] == "a=1"
    if mode == "keepalive":
        assert client.answer().body == b"plain data"


def test_a_client_that_waits_to_be_asked_is_asked(app):
    """`Expect: 100-continue` is obeyed for a body that may come."""
    client = app.client("POST", "/_app/echo", "Content-Length: 3", "Expect: 100-continue")
    assert client.until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    client.send(b"abc")
    assert json.loads(client.answer().body)["content"] == "abc"


def test_all_bodies_together_are_bounded(app):
    """When the bodies that are being taken fill 64 MiB the next is a 503; when they have gone there is room again."""
    crowd = []
    for _ in range(64):
        client = app.client("POST", "/_app/echo", f"Content-Length: {MIB}")
        client.send(b"x" * (MIB - 1))
        crowd.append(client)
    for client in crowd:
        eventually(client.taken)
    one_more = app.client("POST", "/_app/echo", b"x" * 65)
    answer = one_more.answer()
    assert (answer.status, answer.first(b"retry-after")) == (503, b"5")
    for client in crowd[:32]:
        client.send(b"x")
        assert client.answer().status == 200
    for client in crowd[32:]:
        client.reset()
    eventually(lambda: app.ask("POST", "/_app/echo", b"x" * MIB).status == 200)


def test_a_body_that_is_cut_is_never_rendered(app):
    """A client that leaves before its body is complete reaches no Resource."""
    app.look()
    client = app.client("POST", "/_app/waits", "Content-Length: 9")
    client.send(b"cut")
    eventually(client.taken)
    client.half_close()
    assert client.ending()[0] == "reset"
    assert app.look() == {"seen": [], "waiting": 0}


# Answers that come later


def test_an_answer_may_come_later(app):
    """NOT_DONE_YET: the answer is what is written until `finish`, and `notifyFinish` then fires."""
    app.look()
    client = app.client("GET", "/_app/waits")
    eventually(lambda: app.look()["waiting"])
    app.ask("GET", "/_app/release_all")
    assert client.answer().body == b"released"
    assert app.look()["seen"] == ["finished"]


@pytest.mark.parametrize("end", ["close", "reset", "half_close"])
@pytest.mark.parametrize("begun", ["", "?begin=1"])
@pytest.mark.parametrize("mode", ["keepalive", "close"])
def test_a_client_that_leaves_is_told_to_the_resource(app, mode, begun, end):
    """`notifyFinish` fails at once, and what is written then is lost without an error."""
    app.look()
    client = app.client("GET", f"/_app/waits{begun}", mode=mode)
    if begun:
        client.until(b"begun,")
    eventually(lambda: app.look()["waiting"])
    getattr(client, end)()
    eventually(lambda: app.look()["seen"] == ["ConnectionLost"])
    assert app.ask("GET", "/_app/release").status == 200


@pytest.mark.parametrize("mode", ["keepalive", "close"])
def test_a_file_is_streamed(app, mode):
    """`static.File` sends a file whole, by its pull producer, and a range of it."""
    client = app.client("GET", "/_app/files/big.bin", mode=mode)
    answer = client.answer()
    assert (answer.body, answer.framing) == (BIG, "length")
    answer = app.ask("GET", "/_app/files/big.bin", "Range: bytes=1000-1999", mode=mode)
    assert (answer.status, answer.body) == (206, BIG[1000:2000])


@pytest.mark.parametrize(
    "target", ["..%2Fcouchgate.toml", "%2e%2e/couchgate.toml", "../couchgate.toml", "%2Fetc/hosts"]
)
def test_a_file_outside_is_not_reached(app, target):
    """The gate's way of walking opens no way out of the folder that `static.File` serves."""
    assert app.ask("GET", f"/_app/files/{target}").status == 404


def test_a_slow_reader_of_a_file_gets_it_whole(app):
    """A pull producer waits for its client, and others are served meanwhile."""
    client = app.client("GET", "/_app/files/big.bin", receive_buffer=4096)
    assert client.take(16) == b"HTTP/1.1 200 OK\r"
    assert app.ask("GET", "/_app/data").body == b"plain data"
    client.until(b"\r\n\r\n")
    assert client.take(len(BIG)) == BIG


def test_a_push_producer_is_paused_resumed_and_stopped(app):
    """A client that does not read pauses the producer, one that reads again resumes it, one that leaves stops it."""
    app.look()
    seen = []

    def saw(*what):
        seen.extend(app.look()["seen"])
        return [word for word in seen if word in what][: len(what)] == list(what)

    client = app.client("GET", "/_app/floods", receive_buffer=4096)
    eventually(lambda: saw("paused"))
    while "resumed" not in seen:
        client.take(1 << 16)
        saw()
    client.reset()
    eventually(lambda: saw("stopped"))


def test_a_twisted_transport_carries_it_too(app):
    """Over a Unix socket, which Twisted serves, a slow reader gets a file whole, and one that leaves is noticed."""
    app.look()
    with closing(socket.socket(socket.AF_UNIX)) as sock:
        sock.connect(os.path.relpath(app.folder / "gate.sock"))
        sock.settimeout(PATIENCE)
        sock.sendall(head("GET", "/_app/files/big.bin") + head("GET", "/_app/waits?begin=1"))
        stream = sock.makefile("rb")
        assert b"Content-Length: %d\r\n" % len(BIG) in list(iter(stream.readline, b"\r\n"))
        assert app.ask("GET", "/_app/data").body == b"plain data"
        assert stream.read(len(BIG)) == BIG
        assert stream.readline() == b"HTTP/1.1 200 OK\r\n"
        stream.close()
    eventually(lambda: app.look()["seen"] == ["ConnectionLost"])


def test_sessions_work(app):
    """A session is found again by its cookie."""
    first = app.ask("GET", "/_app/counts")
    cookie = first.first(b"set-cookie").split(b";")[0].decode()
    assert [first.body, app.ask("GET", "/_app/counts", f"Cookie: {cookie}").body] == [b"1", b"2"]


# What goes wrong


@pytest.mark.parametrize("path", ["fails", "deferred/x", "bad_producer", "lean"])
@pytest.mark.parametrize("mode", ["keepalive", "close"])
def test_a_fault_is_a_500_in_json(app, failing, mode, path):
    """An exception in a Resource is logged and answered by the gate, without a word of it, with CORS lines."""
    client = app.client("GET", f"/_app/{path}", ORIGIN, mode=mode)
    answer = client.answer()
    assert answer.status == 500
    assert json.loads(answer.body)["error"] == "internal_server_error"
    assert b"fault" not in answer.body
    assert answer.first(b"access-control-allow-origin")
    assert failing() >= 1
    if mode == "keepalive":
        client.send(head("GET", "/_app/data"))
        assert client.answer().body == b"plain data"


@pytest.mark.parametrize("path", ["fails_late", "bad_producer?first=1"])
@pytest.mark.parametrize("mode", ["keepalive", "close"])
def test_a_fault_after_the_head_cuts_the_answer(app, failing, mode, path):
    """What was begun and failed does not end like a whole answer."""
    assert app.client("GET", f"/_app/{path}", mode=mode).ending()[0] == "reset"
    assert failing() >= 1


def test_a_resource_may_refuse_as_the_gate_does(app, failing):
    """A GateError is answered with its status and reason, and is no fault."""
    answer = app.ask("GET", "/_app/says_no")
    assert (answer.status, json.loads(answer.body)["reason"]) == (404, "There is nothing here, says a Resource.")
    assert failing() == 0


# The gate's part


def test_an_unknown_host_reaches_no_resource(app):
    """`Host` is checked before the walk."""
    assert app.ask("GET", "/_app/data", "Host: evil.example").status == 421


def test_a_preflight_is_answered_by_the_gate(app):
    """A CORS preflight reaches no Resource, and one of an origin that is not allowed gets nothing."""
    wanted = "Access-Control-Request-Method: POST"
    answer = app.ask("OPTIONS", "/_app/fails", ORIGIN, wanted)
    assert answer.status == 204
    assert answer.first(b"access-control-allow-origin") == b"https://app.example.com"
    foreign = app.ask("OPTIONS", "/_app/fails", "Origin: https://evil.example", wanted)
    assert foreign.first(b"access-control-allow-origin") is None


def test_beside_them_the_gate_asks_for_a_token(app):
    """A Resource of one's own opens nothing else."""
    assert app.ask("GET", "/_apps").status == 401
    assert app.ask("GET", "/db").status == 401


def test_the_access_log_names_them(app):
    """A request to an ordinary Resource is a line like any other."""
    path = app.folder / "access.log"
    app.ask("OPTIONS", "/_app/dressed?secret=1")

    def entry():
        entries = [json.loads(line) for line in path.read_text().splitlines()]
        return next((entry for entry in entries if entry["method"] == "OPTIONS" and entry["status"] == 418), None)

    assert "resource" in eventually(entry).values()
    assert "secret" not in path.read_text()


def test_a_producer_that_fails_as_it_stops_is_only_logged(app, failing):
    """The fault of a producer whose client has left harms nobody else."""
    app.client("GET", "/_app/bad_producer").answer()
    assert failing() == 2
    assert app.ask("GET", "/_app/data").body == b"plain data"
