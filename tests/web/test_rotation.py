"""An issuer with a server of its own, which rotates its keys, lies, moves and goes down, before a real gate."""

import json
import signal
import tempfile
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from couchgate.testing import Minter
from tests.web.live import LiveGate, running_gate
from tests.web.sockets import eventually

# The tests decide what a load is caused by: no test waits for a cool-down, and none may end in the middle of another.
COOLDOWN = "from couchgate.facts.keyurl import UrlKeys; UrlKeys.__init__.__kwdefaults__['cooldown'] = {}; "


class KeyServer:
    """An issuer at `url`: `pages` maps a path to a body (anything else is a 404), `asked` are the paths so far."""

    def __init__(self, port=0):
        self.pages = {}
        self.asked = []
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                issuer.asked.append(self.path)
                body = issuer.pages.get(self.path)
                self.send_response(404 if body is None else 200)
                self.send_header("Content-Length", str(len(body or b"")))
                self.end_headers()
                self.wfile.write(body or b"")

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.port = self._server.server_port
        self.url = f"http://127.0.0.1:{self.port}"
        Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def configure(self, path="/jwks"):
        configuration = {"issuer": f"{self.url}/", "jwks_uri": self.url + path}
        self.pages["/.well-known/openid-configuration"] = json.dumps(configuration).encode()

    def close(self):
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def issuer():
    server = KeyServer()
    yield server
    server.close()


def statuses(gate, tokens, mode="keepalive"):
    """What the gate answers when all of `tokens` come at once, each on a connection of its own."""
    clients = [gate.client("GET", "/_session", token=token, mode=mode) for token in tokens]
    return [client.message().status for client in clients]


def opened(gate, token):
    """Whether the first load is over, and the token is served."""
    return eventually(lambda: statuses(gate, [token]) == [200])


def key_set(*minters):
    return json.dumps({"keys": [key for each in minters for key in json.loads(each.jwks())["keys"]]}).encode()


@pytest.mark.parametrize("mode", ["keepalive", "close", "threaded"])
def test_a_rotation_costs_nobody_a_refusal(own_upstream, issuer, mode):
    """Tokens of the new key are served from the first one on, by one load; those of the withdrawn key end with it."""
    old, new = Minter("ES256", kid="old"), Minter("ES256", kid="new")
    issuer.pages["/jwks"] = key_set(old)
    with running_gate(own_upstream, keys=f"{issuer.url}/jwks", prologue=COOLDOWN.format(1000)) as gate:
        assert opened(gate, old.token())
        assert statuses(gate, [old.token()] * 5, mode) == [200] * 5
        issuer.pages["/jwks"] = key_set(new)
        tokens = [old.token(), *(new.token(sub=f"person{number}") for number in range(20)), old.token()]
        first, *served, last = statuses(gate, tokens, mode)
        assert served == [200] * 20
        # Before and while the keys are loaded the old ones are all that the gate can know.
        assert {first, last} <= {200, 401}
        assert issuer.asked == ["/jwks", "/jwks"]
        assert statuses(gate, [old.token(), tokens[0], new.token()], mode) == [401, 401, 200]


def test_made_up_keys_cost_one_load_in_a_cool_down(own_upstream, issuer):
    """Hundreds of tokens with invented kids make the gate ask once; they wait, and leave without harm."""
    known = Minter("ES256", kid="known")
    issuer.pages["/jwks"] = key_set(known)
    with running_gate(own_upstream, keys=f"{issuer.url}/jwks", prologue=COOLDOWN.format(1000)) as gate:
        assert opened(gate, known.token())
        first = Minter("ES256", kid="made up").token()
        assert statuses(gate, [first]) == [401]
        for wave in range(5):
            tokens = [Minter("ES256", kid=f"made up {wave} {number}").token() for number in range(40)]
            flood = [gate.client("GET", "/_session", token=token) for token in tokens]
            for client in flood:
                eventually(client.taken)
            assert statuses(gate, [first, known.token()]) == [401, 200]
            for client in flood:
                client.reset()
        assert issuer.asked == ["/jwks", "/jwks"]


def test_who_leaves_waits_for_nothing(own_upstream, issuer):
    """A client that goes while its key is to be asked for takes the question along."""
    known, strangers = Minter("ES256", kid="known"), [Minter("ES256", kid=f"made up {number}") for number in range(3)]
    issuer.pages["/jwks"] = key_set(known)
    with running_gate(own_upstream, keys=f"{issuer.url}/jwks", prologue=COOLDOWN.format(1)) as gate:
        assert opened(gate, known.token())
        assert statuses(gate, [strangers[0].token()]) == [401]
        leaves = gate.client("GET", "/db/doc", token=strangers[1].token())
        eventually(leaves.taken)
        leaves.reset()
        eventually(lambda: any("client_gone" in line.values() for line in gate.access()))
        rested = time.monotonic() + 1.5
        eventually(lambda: time.monotonic() > rested)
        assert issuer.asked == ["/jwks", "/jwks"]
        assert statuses(gate, [strangers[2].token(), known.token()]) == [401, 200]


def test_invented_kids_hide_no_rotation(own_upstream, issuer):
    """While an attacker invents kids without pause, every token of each new key is served, by few loads."""
    minters = [Minter("ES256", kid=f"key {number}") for number in range(4)]
    strangers = [Minter("ES256", kid=f"made up {number}").token() for number in range(300)]
    issuer.pages["/jwks"] = key_set(minters[0])
    with running_gate(own_upstream, keys=f"{issuer.url}/jwks", prologue=COOLDOWN.format(0.5)) as gate:
        assert opened(gate, minters[0].token())
        begun, flood = time.monotonic(), []
        for minter in minters[1:]:
            flood += [gate.client("GET", "/_session", token=strangers.pop()) for _ in range(50)]
            issuer.pages["/jwks"] = key_set(minter)
            tokens = [minter.token(sub=f"person{number}") for number in range(10)]
            flood += [gate.client("GET", "/_session", token=strangers.pop()) for _ in range(50)]
            assert statuses(gate, tokens) == [200] * 10
        assert [client.message().status for client in flood] == [401] * 300
        assert len(issuer.asked) <= 2 + (time.monotonic() - begun) / 0.5


@pytest.mark.parametrize(
    "answer", [b'{"keys": []}', b"<html>Sign in", b'{"keys": [{"kty": "oct", "k": "c2VjcmV0"}]}', None]
)
def test_a_set_without_a_usable_key_changes_nothing(own_upstream, issuer, answer):
    """The last good set stays in use, the log says once what came instead, and the next good set counts."""
    known, new = Minter("ES256", kid="known"), Minter("ES256", kid="new")
    issuer.pages["/jwks"] = key_set(known)
    with running_gate(own_upstream, keys=f"{issuer.url}/jwks", prologue=COOLDOWN.format(0)) as gate:
        assert opened(gate, known.token())
        issuer.pages["/jwks"] = answer
        for _ in range(3):
            assert statuses(gate, [new.token()]) == [401]
        assert statuses(gate, [known.token()]) == [200]
        assert gate.log().count("the keys loaded before stay in use") == 1
        issuer.pages["/jwks"] = key_set(known, new)
        assert statuses(gate, [new.token(), known.token()]) == [200, 200]


def test_an_issuer_by_discovery_may_move_and_rotate_at_once(own_upstream, issuer):
    """With `keys = "oidc"` a new key at a new address serves its first token."""
    old, new = (Minter("ES256", kid=kid, issuer=f"{issuer.url}/") for kid in ("old", "new"))
    issuer.pages["/jwks"] = key_set(old)
    issuer.configure()
    with running_gate(own_upstream, keys="oidc", issuer=f"{issuer.url}/") as gate:
        assert opened(gate, old.token())
        del issuer.pages["/jwks"]
        issuer.pages["/moved"] = key_set(new)
        issuer.configure("/moved")
        assert statuses(gate, [new.token(), new.token()]) == [200, 200]
        assert statuses(gate, [old.token()]) == [401]


@pytest.mark.parametrize("kind", ["url", "oidc"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_restart_during_an_outage_opens_the_door(own_upstream, kind, number):
    """After a stop or a kill the gate serves from the kept set while the issuer is down, and then takes its new key."""
    server = KeyServer()
    known, new = (Minter("ES256", kid=kid, issuer=f"{server.url}/") for kid in ("known", "new"))
    server.pages["/jwks"] = key_set(known)
    server.configure()
    options = {"keys": "oidc" if kind == "oidc" else f"{server.url}/jwks", "issuer": f"{server.url}/"}
    with tempfile.TemporaryDirectory() as directory:
        gate = LiveGate(directory, own_upstream.url, **options)
        assert opened(gate, known.token())
        eventually(lambda: list(Path(directory, "state", "keys").glob("*.jwks")))
        server.close()
        gate.signal(number)
        gate.stop()
        gate = LiveGate(directory, own_upstream.url, prologue=COOLDOWN.format(0), **options)
        assert statuses(gate, [known.token()]) == [200]
        assert statuses(gate, [new.token()]) == [401]
        server = KeyServer(server.port)
        server.pages["/jwks"] = key_set(new)
        server.configure()
        assert statuses(gate, [new.token()]) == [200]
        assert statuses(gate, [known.token()]) == [401]
        gate.stop()
    server.close()


def test_a_kept_set_that_is_too_old_keeps_the_door_shut(own_upstream):
    """A set from beyond `stale_seconds` opens nothing: 503, and readiness names the source."""
    server = KeyServer()
    known = Minter("ES256", kid="known")
    server.pages["/jwks"] = key_set(known)
    with tempfile.TemporaryDirectory() as directory:
        gate = LiveGate(directory, own_upstream.url, keys=f"{server.url}/jwks")
        assert opened(gate, known.token())
        (path,) = eventually(lambda: list(Path(directory, "state", "keys").glob("*.jwks")))
        gate.stop()
        server.close()
        head, _, body = path.read_bytes().partition(b"\n")
        path.write_bytes(json.dumps({"loaded_at": json.loads(head)["loaded_at"] - 86400}).encode() + b"\n" + body)
        gate = LiveGate(directory, own_upstream.url, keys=f"{server.url}/jwks")
        assert statuses(gate, [known.token()]) == [503]
        ready = gate.client("GET", "/_gate/ready").message()
        assert ready.status == 503
        assert f"{server.url}/jwks" in ready.body.decode()
        gate.stop()
