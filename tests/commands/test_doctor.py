"""`couchgate doctor`: each thing that can be wrong is found, and what is right is called right."""

import json
import re
import subprocess
import sys
import time

import pytest
from pytest_twisted import blockon, ensureDeferred
from twisted.internet.defer import maybeDeferred
from twisted.web.resource import Resource
from twisted.web.server import Site

from couchgate.commands.doctor import as_text, as_values, examine
from couchgate.commands.findings import error, ini, ok, toml, warning
from couchgate.settings import load
from tests.commands.fake_couchdb import FakeCouchDB

PROGRAM = "import sys; from couchgate.cli import main; sys.exit(main())"


@pytest.fixture
def couchdb(folder, reactor):
    """A CouchDB that is right for the folder's settings, which name it."""
    fake = FakeCouchDB()
    fake.secret = folder.secret.encode()
    port = fake.listen(reactor)
    fake.url = f"http://127.0.0.1:{port.getHost().port}"
    folder.settings(("http://127.0.0.1:5984", fake.url))
    yield fake
    blockon(maybeDeferred(port.stopListening))


async def looked(folder, reactor, now=None):
    """The findings by check, and the secrets are in none of them."""
    found = await examine(load(folder.config), reactor, time.time() if now is None else now)
    assert folder.secret not in repr(found)
    by = {}
    for each in found:
        by.setdefault(each.check, []).append(each)
    return by


async def the(folder, reactor, check, level):
    """The sentences and the lines to write of the findings about `check`, the worst of which is of `level`."""
    found = (await looked(folder, reactor))[check]
    assert max(("ok", "warning", "error").index(each.level) for each in found) == ("ok", "warning", "error").index(
        level
    )
    return " ".join(
        [each.sentence for each in found] + [line for each in found for fix in each.fixes for line in fix.lines]
    )


def settings(folder, couchdb, upstream):
    """Settings with other lines about CouchDB."""
    folder.settings(("http://127.0.0.1:5984", couchdb.url), ('secret_file = "proxy.secret"', upstream))


@ensureDeferred
async def test_a_couchdb_that_is_right_has_no_findings_but_good_ones(folder, couchdb, reactor):
    """With proxy authentication everything that is looked at is ok, and only GET requests were sent."""
    found = await looked(folder, reactor)
    assert {each.level for every in found.values() for each in every} == {"ok"}
    assert set(found) == {
        "reachable", "version", "clock", "admins", "require_valid_user", "handlers", "proxy_use_secret", "secret",
        "configuration", "cors", "exposure", "keys",
    }  # fmt: skip


@ensureDeferred
async def test_a_couchdb_that_is_not_there(folder, couchdb, reactor):
    """A connection that is cut, and one that is not made, are one error, and nothing else is claimed of CouchDB."""
    couchdb.answers = False
    found = await looked(folder, reactor)
    assert (set(found), found["reachable"][0].level) == ({"reachable", "keys"}, "error")
    folder.settings(("http://127.0.0.1:5984", "http://127.0.0.1:1"))
    assert "cannot be reached, at http://127.0.0.1:1" in await the(folder, reactor, "reachable", "error")


@ensureDeferred
async def test_a_couchdb_that_goes_away(folder, couchdb, reactor):
    """What stops answering in the middle is an error; what was found before is kept."""
    couchdb.broken = ("/",)
    assert "does not go on answering" in await the(folder, reactor, "reachable", "error")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"version": "2.3.1"}, "CouchDB '2.3.1'"),
        ({"version": "x"}, "CouchDB 'x'"),
        ({"welcome": "express-pouchdb"}, "does not say that it is CouchDB"),
        ({"version": None}, "does not say that it is CouchDB"),
        ({"require_valid_user": True, "secret": b"other"}, "status 401"),
    ],
)
@ensureDeferred
async def test_another_version_is_a_warning(folder, couchdb, reactor, change, words):
    """CouchDB before 3, something else, or what hides its version."""
    vars(couchdb).update(change)
    assert words in await the(folder, reactor, "version", "warning")


@ensureDeferred
async def test_a_clock_that_is_wrong(folder, couchdb, reactor):
    """A minute is a warning; for tokens of five minutes more is an error."""
    couchdb.skew = 200
    assert "differs by" in await the(folder, reactor, "clock", "warning")
    couchdb.handlers, couchdb.jwt_secret, couchdb.skew = ["jwt", "default"], folder.secret.encode(), -400
    settings(folder, couchdb, 'auth = "jwt"\nsecret_file = "proxy.secret"')
    assert "good for 300 s" in await the(folder, reactor, "clock", "error")


@ensureDeferred
async def test_the_admin_party(folder, couchdb, reactor):
    """Without administrators everybody is one; a list of databases for everybody is less bad."""
    couchdb.admins = couchdb.require_valid_user = False
    assert "[admins]" in await the(folder, reactor, "admins", "error")
    couchdb.admins, couchdb.admin_only_all_dbs = True, False
    assert "admin_only_all_dbs = true" in await the(folder, reactor, "admins", "warning")


@ensureDeferred
async def test_requests_without_a_name(folder, couchdb, reactor):
    """The gate names everybody, so CouchDB need not let in anybody else; with "none" it must."""
    couchdb.require_valid_user = False
    assert "require_valid_user = true" in await the(folder, reactor, "require_valid_user", "warning")
    settings(folder, couchdb, 'auth = "none"')
    assert "require_valid_user" not in await looked(folder, reactor)
    await the(folder, reactor, "login", "ok")
    couchdb.require_valid_user = True
    assert "require_valid_user = false" in await the(folder, reactor, "login", "error")


@ensureDeferred
async def test_proxy_use_secret(folder, couchdb, reactor):
    """A CouchDB that believes any name is an error, and the secret then cannot be seen."""
    couchdb.proxy_use_secret = False
    assert "proxy_use_secret = true" in await the(folder, reactor, "proxy_use_secret", "error")
    assert "only when proxy_use_secret is on" in await the(folder, reactor, "secret", "warning")


@ensureDeferred
async def test_a_missing_handler(folder, couchdb, reactor):
    """Without the handler CouchDB believes nobody; where it tells nobody its handlers, that is said."""
    couchdb.require_valid_user, couchdb.handlers = False, ["cookie", "default"]
    assert "proxy_authentication_handler" in await the(folder, reactor, "handlers", "error")
    couchdb.require_valid_user, couchdb.handlers = False, ["cookie", "proxy", "default"]
    assert "cookie, proxy, default" in await the(folder, reactor, "handlers", "ok")
    couchdb.require_valid_user = True
    assert "cookie, proxy, default" in await the(folder, reactor, "handlers", "ok")
    couchdb.secret = b"another"
    assert "their order is unseen" in await the(folder, reactor, "handlers", "warning")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"secret": b"another"}, ["the two secrets differ", "secret = (the line in"]),
        ({"hashes": ["sha"]}, ["does not take sha256, only sha1", 'hmac = "sha1"', "hash_algorithms = sha256, sha"]),
        ({"handlers": ["cookie", "default"]}, ["the proxy handler is missing"]),
    ],
)
@ensureDeferred
async def test_a_secret_that_is_wrong(folder, couchdb, reactor, change, words):
    """Another secret, another digest: told apart, each with its lines."""
    vars(couchdb).update(change)
    said = await the(folder, reactor, "secret", "error")
    assert all(word in said for word in words), said


@ensureDeferred
async def test_a_secret_with_white_space(folder, couchdb, reactor):
    """White space that an editor left around the secret is found out."""
    (folder.path / "proxy.secret").write_text(f"{folder.secret} \n")
    assert "white space" in await the(folder, reactor, "secret", "error")


@ensureDeferred
async def test_tokens_of_the_gates_own(folder, couchdb, reactor):
    """With auth = "jwt": right, another secret, no verification, no handler, and handlers in the wrong order."""
    settings(folder, couchdb, 'auth = "jwt"\nsecret_file = "proxy.secret"')
    couchdb.handlers, couchdb.jwt_secret = ["cookie", "jwt", "default"], folder.secret.encode()
    await the(folder, reactor, "secret", "ok")
    couchdb.jwt_secret = b"o" * 32
    assert "hmac:_default" in await the(folder, reactor, "secret", "error")
    couchdb.jwt_verifies = False
    assert "another secret" in await the(folder, reactor, "jwt", "error")
    couchdb.jwt_verifies, couchdb.require_valid_user, couchdb.handlers = True, False, ["default", "jwt"]
    assert "before jwt" in await the(folder, reactor, "handlers", "error")
    couchdb.handlers = ["cookie", "default"]
    assert "jwt_authentication_handler" in await the(folder, reactor, "handlers", "error")


@ensureDeferred
async def test_one_service_account(folder, couchdb, reactor):
    """With auth = "basic": the account is known, is an administrator, or is refused."""
    (folder.path / "password").write_text("pw")
    (folder.path / "password").chmod(0o600)
    settings(folder, couchdb, 'auth = "basic"\nusername = "couchgate"\npassword_file = "password"')
    assert "only the gate's rules protect" in await the(folder, reactor, "login", "warning")
    couchdb.users = {"couchgate": ("pw", ["notes"])}
    await the(folder, reactor, "login", "ok")
    couchdb.users = {}
    assert "refuses the name and password" in await the(folder, reactor, "login", "error")


@ensureDeferred
async def test_the_gates_own_account(folder, couchdb, reactor):
    """An administrator's account reads single values of the configuration, never the whole; others see behaviour."""
    (folder.path / "password").write_text("pw")
    (folder.path / "password").chmod(0o600)
    own = 'secret_file = "proxy.secret"\n[upstream.own]\nusername = "couchgate"\npassword_file = "password"'
    settings(folder, couchdb, own)
    assert "fits" in await the(folder, reactor, "configuration", "ok")
    asked = [path for path in couchdb.requests if path.startswith("/_node")]
    assert asked
    assert all(path.count("/") == 5 and "secret" not in path for path in asked)
    couchdb.config = {
        "chttpd/bind_address": "0.0.0.0", "httpd/enable_cors": "true", "chttpd_auth/hash_algorithms": "sha",
    }  # fmt: skip
    assert "bind_address = 127.0.0.1" in await the(folder, reactor, "bind_address", "warning")
    assert "[httpd] enable_cors = false" in await the(folder, reactor, "cors", "warning")
    assert "hash_algorithms = sha256, sha" in await the(folder, reactor, "hash_algorithms", "error")
    couchdb.config = {"chttpd/enable_cors": "true"}
    assert "[chttpd] enable_cors = false" in await the(folder, reactor, "cors", "warning")
    couchdb.users = {"couchgate": ("pw", [])}
    assert "no administrator" in await the(folder, reactor, "configuration", "ok")
    couchdb.users = {}
    assert "refuses" in await the(folder, reactor, "own", "error")


@ensureDeferred
async def test_cors_that_is_doubled(folder, couchdb, reactor):
    """CouchDB's own CORS is seen in its answer to the app's origin."""
    couchdb.enable_cors = True
    assert "enable_cors = false" in await the(folder, reactor, "cors", "warning")


class Jwks(Resource):
    """Serves keys, with a clock of its own."""

    isLeaf = True
    body = b""
    date = b""

    def __init__(self):
        super().__init__()
        self.asked = []

    def render_GET(self, request):
        self.asked.append(request.path)
        request.setHeader(b"date", self.date)
        if request.path.endswith(b"/openid-configuration"):
            return json.dumps({"issuer": self.issuer, "jwks_uri": self.url}).encode()
        return self.body


@pytest.fixture
def jwks(folder, reactor):
    """The issuer's server."""
    resource = Jwks()
    resource.body, resource.date = folder.minter.jwks(), b"Sat, 21 Nov 2026 12:00:00 GMT"
    site = Site(resource)
    port = reactor.listenTCP(0, site, interface="127.0.0.1")
    resource.url = f"http://127.0.0.1:{port.getHost().port}/jwks"
    resource.now = 1795262400.0
    folder.settings(('"key.pub.pem"', f'"{resource.url}"'), ("http://127.0.0.1:5984", "http://127.0.0.1:1"))
    yield resource
    blockon(maybeDeferred(port.stopListening))


@ensureDeferred
async def test_keys_are_loaded_and_told(folder, jwks, reactor):
    """Which keys there are and for which algorithms, from where."""
    (keys,) = (await looked(folder, reactor, jwks.now))["keys"]
    assert (keys.level, jwks.url in keys.sentence, "1 key ('test-1') for ES256" in keys.sentence) == ("ok", True, True)


@ensureDeferred
async def test_keys_that_do_not_fit(folder, jwks, reactor):
    """Keys that no allowed algorithm fits and algorithms without a key are warnings, no keys at all an error."""
    ours = json.loads(jwks.body)["keys"][0]
    other = {**ours, "kid": "enc", "use": "enc"}
    jwks.body = json.dumps({"keys": [ours, other, {**other, "kid": "enc-2"}]}).encode()
    found = await looked(folder, reactor, jwks.now)
    assert "2 of its keys cannot be used here: a key is not for signatures" in found["keys"][1].sentence
    config = folder.config.read_text()
    folder.config.write_text(config.replace('["ES256"]', '["ES256", "EdDSA"]'))
    (unserved,) = (await looked(folder, reactor, jwks.now))["algorithms"]
    assert (unserved.level, unserved.fixes[0].lines[1]) == ("warning", 'algorithms = ["ES256"]')
    jwks.body = json.dumps({"keys": [other]}).encode()
    (keys,) = (await looked(folder, reactor, jwks.now))["keys"]
    assert (keys.level, "no usable key" in keys.sentence) == ("error", True)


@ensureDeferred
async def test_the_clock_of_the_keys_server(folder, jwks, reactor):
    """A server whose clock differs by more than the leeway bears is a warning, with a leeway that would do."""
    assert "clock" not in await looked(folder, reactor, jwks.now + 5)
    (clock,) = (await looked(folder, reactor, jwks.now + 60))["clock"]
    assert (clock.level, clock.fixes[0].lines[1]) == ("warning", "leeway = 90")
    jwks.date = b"yesterday"
    assert "clock" not in await looked(folder, reactor, jwks.now)


@ensureDeferred
async def test_the_clock_of_a_discovered_issuer(folder, jwks, reactor):
    """With `keys = "oidc"` the clock is looked at, too, and nothing is asked for twice."""
    jwks.issuer = jwks.url.removesuffix("/jwks")
    config = folder.config.read_text().replace(f'"{jwks.url}"', '"oidc"')
    folder.config.write_text(re.sub(r'issuer = ".*"', f'issuer = "{jwks.issuer}"', config))
    (clock,) = (await looked(folder, reactor, jwks.now + 60))["clock"]
    assert (clock.level, "differs by 60 s" in clock.sentence) == ("warning", True)
    assert jwks.asked == [b"/.well-known/openid-configuration", b"/jwks"]


def test_a_page_and_json_hold_the_same():
    """Each finding with its lines, and a last line that counts."""
    found = [
        ok("a", "Fine."),
        warning("b", "So\x1b so.", ini("chttpd", "x = 1"), toml("[upstream]", "y = 2")),
        error("c", "Bad."),
    ]
    assert as_text(found).splitlines() == [
        "ok       a: Fine.",
        "warning  b: So\\x1b so.",
        "         in local.ini:",
        "           [chttpd]",
        "           x = 1",
        "         or in couchgate.toml:",
        "           [upstream]",
        "           y = 2",
        "error    c: Bad.",
        "",
        "errors: 1, warnings: 1, looked at: 3",
    ]
    values = as_values(found)
    assert (values["errors"], values["warnings"], values["findings"][1]["fixes"][0]["file"]) == (1, 1, "local.ini")


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_the_command_ends_with_status_1_for_errors(folder, form):
    """In a process of its own: without CouchDB there is an error, and it is printed, not raised."""
    folder.settings(("http://127.0.0.1:5984", "http://127.0.0.1:1"))
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, "doctor", *form, "--config", str(folder.config)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (1, "")
    assert "cannot be reached" in done.stdout
    assert not form or json.loads(done.stdout)["errors"] == 1
