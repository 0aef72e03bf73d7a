"""`couchgate explain` about a request that has not been sent."""

import base64
import http.server
import io
import json
import subprocess
import sys
import threading

import pytest

PROGRAM = "import sys; from couchgate.cli import main; sys.exit(main())"


def last(out):
    """The last line of a page: the verdict."""
    return out.rstrip("\n").rpartition("\n")[2]


def test_a_request_that_is_let_through_is_told_to_the_head_that_couchdb_gets(folder):
    """A person sees every step, and status 0."""
    token = folder.minter.token(**{"_couchdb.roles": ["viewer", "_admin"]})
    status, out, err = folder.run("explain", "--token", token, "GET", "https://gate.example.com/notes-alice?x=1")
    assert (status, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == "request       GET https://gate.example.com/notes-alice?x=1"
    assert "host          host: gate.example.com" in lines
    assert "              dropped role _admin: it begins with _" in lines
    assert "rule          rule 1 does not apply: it is for other roles" in lines
    assert "              rule 2 decides (couchgate.toml, line 20)" in lines
    assert "CouchDB gets  GET /notes-alice?x=1 HTTP/1.1" in lines
    assert "              X-Auth-CouchDB-Token: ***" in lines
    assert "              X-Forwarded-Proto: https" in lines
    assert last(out) == "forwarded by rule 2 of couchgate.toml: CouchDB decides the rest"


@pytest.mark.parametrize(
    ("request_", "verdict"),
    [
        (["PUT", "/shared/x"], "403 forbidden: rule 2 of couchgate.toml does not allow write (policy)"),
        (["GET", "/other"], "403 forbidden: no rule of couchgate.toml applies (policy)"),
        (["GET", "/shared/_temp_view"], "403 forbidden: The gate never forwards such a request. (policy)"),
        (["GET", "https://elsewhere.example/shared"], "421 misdirected_request: This gate does not serve that Host:"),
        (["GET", "/%"], "400 bad_request: A percent-escape is broken. (target_escape)"),
        (["G(T", "/"], "400 bad_request: "),
        (["POST", "/_session"], "403 forbidden: There are no cookie sessions here:"),
    ],
)
def test_a_refusal_is_status_3_and_its_last_line_says_why(folder, request_, verdict):
    """What is refused ends in one sentence with status, word and code."""
    status, out, _ = folder.run("explain", "--token", folder.minter.token(), *request_)
    assert status == 3
    assert last(out).startswith(verdict)


@pytest.mark.parametrize(
    ("claims", "words"),
    [
        ({"expires_in": -100}, ["ago)", "401 unauthorized: The token has expired. (token_expired)"]),
        ({"iss": "https://other/"}, ["issuer        iss: https://other/", "(token_issuer)", "slash at the end counts"]),
        ({"headers": {"kid": "new"}, "sub": "a\x1b[2Jb"}, ["a\\x1b[2Jb", "(token_claims)"]),
        ({"_couchdb.roles": ["x" * 5000]}, ["... (5004 characters)"]),
        ({"exp": 1 << 60, "nbf": None}, ["exp: 1152921504606846976", "nbf: none"]),
        ({"nbf": True}, ["nbf: yes"]),
    ],
)
def test_what_a_token_says_is_shown_harmless(folder, claims, words):
    """Claims are shown on one line each, without control characters, cut if long."""
    status, out, _ = folder.run("explain", "--token", folder.minter.token(**claims), "GET", "/shared")
    assert all(word in out for word in words), out
    assert status == (3 if "(token" in out else 0)
    assert out.replace("\n", "").isprintable()


@pytest.mark.parametrize(
    "arguments", [["GET", "/shared/\x9b31m\u202e"], ["GET", "https://\x9bhost/shared"], ["GET", "/shared/\x85x"]]
)
def test_what_was_asked_is_shown_harmless(folder, arguments):
    """A request that somebody pastes from a log cannot speak to the terminal."""
    _, out, _ = folder.run("explain", "--token", folder.minter.token(), *arguments)
    assert out.replace("\n", "").isprintable()


@pytest.mark.parametrize(
    "arguments", [["GET", "/shared/\udcff"], ["G\udcffT", "/shared"], ["--header", "Origin: \udcff", "GET", "/shared"]]
)
def test_arguments_that_are_no_text_are_refused_in_a_sentence(folder, arguments):
    """Bytes of the command line that are not UTF-8 arrive as lone surrogates."""
    assert "must be such as" in folder.refused("explain", *arguments)


def test_a_request_without_a_token_is_explained_too(folder):
    """Without a token the gate's 401 is told."""
    status, out, _ = folder.run("explain", "GET", "/shared")
    assert (status, last(out).partition(":")[0]) == (3, "401 unauthorized")


def test_the_gates_own_answers_are_status_0(folder):
    """Pages of the gate, and a preflight to an allowed origin; another origin's preflight is refused."""
    assert last(folder.run("explain", "GET", "/_gate/ready")[1]) == "answered by the gate itself"
    status, out, _ = folder.run("explain", "--token", folder.minter.token(), "GET", "/_session")
    assert (status, last(out)) == (0, "200 by the gate itself")
    asks = ["--header", "Access-Control-Request-Method: PUT", "OPTIONS", "/shared"]
    status, out, _ = folder.run("explain", "--header", "Origin: https://app.example.com", *asks)
    assert (status, last(out)) == (0, "204 by the gate itself")
    status, out, _ = folder.run("explain", "--header", "Origin: https://x.example", *asks)
    assert (status, last(out)) == (
        3, "403: the preflight is refused, because the origin is not one of [cors] origins",
    )  # fmt: skip


def test_as_if_it_were_another_time(folder):
    """`--at` is the gate's clock, as seconds or as a date; without a zone it is UTC."""
    token = folder.minter.token(now=1_700_000_000)
    for at in ("1700000100", "2023-11-14T22:15:00Z", "2023-11-14T22:15:00", "2023-11-14T23:15:00+01:00"):
        assert folder.run("explain", "--token", token, "--at", at, "GET", "/shared")[0] == 0
    assert folder.run("explain", "--token", token, "GET", "/shared")[0] == 3
    with pytest.raises(SystemExit):
        folder.run("explain", "--at", "soon", "GET", "/")


def test_json_holds_the_same(folder):
    """`--json` is one object with steps, verdict, rule and what is sent."""
    token = folder.minter.token()
    status, out, _ = folder.run("explain", "--json", "--token", token, "GET", "/notes-alice")
    told = json.loads(out)
    assert status == 0
    assert told["verdict"] == {"outcome": "forwarded", "status": None, "refusal": None}
    assert told["rule"] == {"number": 2, "line": 20}
    assert ["X-Auth-CouchDB-Token", "***"] in told["sent"]["fields"]
    assert {step["step"]: step["ok"] for step in told["steps"]}["principal"]
    status, out, _ = folder.run("explain", "--json", "GET", "/notes-alice")
    told = json.loads(out)
    assert (status, told["verdict"]["refusal"]["code"], told["sent"]) == (3, "token_missing", None)


def test_the_token_may_come_from_a_file_or_standard_input(folder, monkeypatch):
    """So it is in no list of processes; "Bearer" before it does not matter."""
    file = folder.path / "token.txt"
    file.write_text(f"Bearer {folder.minter.token()}\n")
    assert folder.run("explain", "--token-file", file, "GET", "/shared")[0] == 0
    monkeypatch.setattr(sys, "stdin", io.StringIO(folder.minter.token() + "\n"))
    assert folder.run("explain", "--token-file", "-", "GET", "/shared")[0] == 0


def test_what_cannot_be_explained_is_one_sentence(folder):
    """A command line or a file that is wrong is status 1."""
    assert "needs METHOD and URL" in folder.refused("explain")
    assert "METHOD and URL must be" in folder.refused("explain", "GET\n", "/")
    assert "must begin with" in folder.refused("explain", "GET", "gate.example.com/x")
    assert "must begin with" in folder.refused("explain", "GET", "https://a:b@gate.example.com/x")
    assert "must begin with" in folder.refused("explain", "GET", "http://[x/")
    assert "--header must be" in folder.refused("explain", "--header", "Origin", "GET", "/")
    assert "--header must be" in folder.refused("explain", "--header", "A: b\r\nHost: x", "GET", "/")
    assert "one word" in folder.refused("explain", "--token", "a\r\nHost: x", "GET", "/")
    assert "No such file" in folder.refused("explain", "--token-file", folder.path / "none", "GET", "/")
    (folder.path / "odd").write_bytes(b"\xff")
    assert "plain ASCII" in folder.refused("explain", "--token-file", folder.path / "odd", "GET", "/")
    token = folder.minter.token()
    assert "must hold the issuer's keys" in folder.refused(
        "explain", "--token", token, "--keys", folder.path / "none", "GET", "/"
    )


def test_names_are_encoded_as_browsers_do(folder):
    """What is not ASCII in the URL is percent-encoded; the fragment stays at home."""
    token = folder.minter.token()
    _, out, _ = folder.run("explain", "--token", token, "GET", "http://localhost:5985/shared/ä b#top")
    assert "CouchDB gets  GET /shared/%C3%A4%20b HTTP/1.1" in out
    _, out, _ = folder.run("explain", "--token", token, "GET", "http://localhost?x")
    assert "CouchDB gets  GET /?x HTTP/1.1" in out


def test_rules_in_one_line_have_no_line_numbers(folder):
    """Where the file does not show each rule under a heading of its own, no line is claimed."""
    text = folder.config.read_text().partition("[[rules]]")[0]
    folder.config.write_text('rules = [{databases = ["shared"], allow = ["read"]}]\n' + text)
    _, out, _ = folder.run("explain", "--token", folder.minter.token(), "GET", "/shared")
    assert "rule          rule 1 decides (couchgate.toml)" in out


class Keys(http.server.BaseHTTPRequestHandler):
    """Serves a JWKS."""

    jwks = b""
    asked = 0

    def do_GET(self):
        Keys.asked += 1
        self.send_response(200 if self.path == "/jwks" else 500)
        self.send_header("Content-Length", str(len(self.jwks)))
        self.end_headers()
        self.wfile.write(self.jwks)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def keys(folder):
    """The URL of the issuer's keys."""
    Keys.jwks, Keys.asked = folder.minter.jwks(), 0
    server = http.server.HTTPServer(("127.0.0.1", 0), Keys)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/jwks"
    server.shutdown()
    thread.join()
    server.server_close()


def in_a_process(folder, *arguments):
    """The command in a process of its own, which can have a reactor of its own."""
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, *map(str, arguments), "--config", str(folder.config)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_keys_by_url_are_fetched_once(folder, keys):
    """The issuer's keys come by the gate's own source, once, and the page says from where."""
    folder.settings(('"key.pub.pem"', f'"{keys}"'))
    done = in_a_process(folder, "explain", "--token", folder.minter.token(), "GET", "/shared")
    assert (done.returncode, done.stderr) == (0, "")
    assert f"source: {keys}" in done.stdout
    assert Keys.asked == 1


def test_keys_that_cannot_be_fetched_are_told(folder, keys):
    """The verdict is then the gate's 503, with the problem beside the key."""
    folder.settings(('"key.pub.pem"', f'"{keys}x"'))
    done = in_a_process(folder, "explain", "--token", folder.minter.token(), "GET", "/shared")
    assert (done.returncode, done.stderr) == (3, "")
    assert "status 500" in done.stdout
    assert last(done.stdout) == (
        "503 service_unavailable: The keys of the token's issuer are not known yet. (keys_missing)"
    )


def test_keys_from_a_file_replace_the_fetching(folder):
    """With `--keys` nothing is fetched, and what the file holds counts."""
    folder.settings(('"key.pub.pem"', '"http://localhost:1/jwks"'))
    (folder.path / "jwks").write_bytes(folder.minter.jwks())
    token = folder.minter.token()
    assert folder.run("explain", "--token", token, "--keys", folder.path / "jwks", "GET", "/shared")[0] == 0
    (folder.path / "jwks").write_bytes(b"{}")
    status, out, _ = folder.run("explain", "--token", token, "--keys", folder.path / "jwks", "GET", "/shared")
    assert (status, "(keys_missing)" in out, "problem: " in out) == (3, True, True)


def test_a_password_is_not_asked_about(folder):
    """Only the running gate has checkers to ask: that is said. A token as password is explained."""
    (folder.path / "passwd").write_text("alice:wonder\n")
    checkers = '[auth]\ntoken_as_password = true\n[[auth.checkers]]\nchecker = "file:passwd"\n[cors]'
    folder.settings(("[cors]", checkers))
    status, _, err = folder.run("explain", "--header", "Authorization: Basic YWxpY2U6d29uZGVy", "GET", "/shared")
    assert (status, "explain knows tokens only" in err) == (1, True)
    token = base64.b64encode(f"_jwt:{folder.minter.token()}".encode()).decode()
    assert folder.run("explain", "--header", f"Authorization: Basic {token}", "GET", "/shared")[0] == 0
