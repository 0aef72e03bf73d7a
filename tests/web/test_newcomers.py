"""Requests whose tokens are new and that are read together are verified together; nobody is told anything else."""

import contextlib
import signal

import pytest

from couchgate.testing import Minter
from tests.web.live import HELLO, running_gate
from tests.web.sockets import SOON, eventually

# One person's token makes the verification fail by a fault of the gate's own.
FAULT = """
from couchgate.core.gate import Gate
def learn(self, head, facts, now, learn=Gate.learn):
    admission = self.admit(head, facts, now)
    if getattr(getattr(admission, "principal", None), "name", "") == "broken":
        raise RuntimeError("provoked")
    return learn(self, head, facts, now)
Gate.learn = learn
"""


@contextlib.contextmanager
def read_together(gate):
    """What clients send meanwhile the gate reads in one go."""
    gate.process.send_signal(signal.SIGSTOP)
    yield
    gate.process.send_signal(signal.SIGCONT)


@pytest.mark.parametrize("mode", ["keepalive", "close"])
def test_each_of_a_crowd_is_told_what_is_right_for_it(gate, upstream, mode):
    """Forwarded or refused: in one batch, with as many tokens as people, and more than are verified in one turn."""
    people = [gate.token(sub=f"person-{number}") for number in range(20)]
    with read_together(gate):
        good = [gate.client("GET", f"/db/{number}", token=token, mode=mode) for number, token in enumerate(people)]
        forged = [gate.client(token=token[:-8] + "AAAAAAAA", mode=mode) for token in people[:3]]
        denied = gate.client("GET", "/_all_dbs", token=gate.token(sub="someone"), mode=mode)
    assert [client.message().status for client in forged] == [401] * 3
    assert denied.message().status == 403
    targets = [upstream.exchange(HELLO)[1].start.split()[1] for _ in good]
    assert sorted(targets) == sorted(b"/db/%d" % number for number in range(20))
    assert [client.message().status for client in good] == [200] * 20


def test_who_has_left_is_not_waited_for(gate, upstream):
    """A client that is gone before its token was verified is in nobody's way, and logged as gone."""
    with read_together(gate):
        gate.client("GET", "/db/gone", token=gate.token(sub="gone")).reset()
        stays = gate.client("GET", "/db/stays", token=gate.token(sub="stays"))
    target = b""
    while target != b"/db/stays":
        peer = upstream.accept()
        with contextlib.suppress(AssertionError, OSError):  # the other's, cut
            target = peer.message().start.split()[1]
    peer.send(HELLO)
    assert stays.message().status == 200
    eventually(lambda: "client_gone" in [line["reason"] for line in gate.access() if line["status"] == 0])


def test_of_a_pipeline_each_request_has_its_turn(gate, upstream):
    """New tokens that one client sends ahead are verified one after another, and answered in order."""
    tokens = [gate.token(sub=f"in-a-row-{number}") for number in range(3)]
    with read_together(gate):
        client = gate.client(target="/db/0", token=tokens[0])
        client.send(gate.head("GET", "/_all_dbs", token=tokens[1]), gate.head("GET", "/db/2", token=tokens[2]))
    peer, request = upstream.exchange(HELLO)
    assert request.start == b"GET /db/0 HTTP/1.1"
    assert [client.message().status for _ in range(2)] == [200, 403]
    assert peer.message().start == b"GET /db/2 HTTP/1.1"
    peer.send(HELLO)
    assert client.message().status == 200


def test_a_fault_of_the_gates_own_is_one_requests_trouble(own_upstream):
    """It is answered with 500, logged, and the others of its batch are served."""
    with running_gate(own_upstream, prologue=FAULT) as gate:
        with read_together(gate):
            broken = gate.client(target="/db/a", token=gate.token(sub="broken"))
            sound = gate.client(target="/db/b", token=gate.token(sub="sound"))
        assert broken.message().status == 500
        _, request = own_upstream.exchange(HELLO)
        assert request.start == b"GET /db/b HTTP/1.1"
        assert sound.message().status == 200
        eventually(lambda: "provoked" in gate.log(), SOON)
        told = gate.log()
        assert told.count("A request failed inside the gate") == 1
        gate.stop = lambda: (gate.signal(), gate.process.wait())  # its log holds the traceback that was provoked


def jwks_file(tmp_path):
    """A key set in a file, which nobody has to wait for, with a stranger's key."""
    path = tmp_path / "keys.json"
    path.write_bytes(Minter("ES256", kid="known").jwks())
    return path


@pytest.mark.parametrize("mode", ["keepalive", "close"])
@pytest.mark.parametrize(("keys", "status"), [("file", 401), ("http://127.0.0.1:9/jwks.json", 503)])
def test_a_key_that_cannot_be_had_holds_nobody_up(own_upstream, tmp_path, keys, status, mode):
    """Where the answer about an unknown key is there at once, it is given once, to each of a crowd, and to the next."""
    keys = jwks_file(tmp_path) if keys == "file" else keys
    with running_gate(own_upstream, keys=keys) as gate:
        for _ in range(2):
            with read_together(gate):
                crowd = [gate.client("GET", "/db/doc", token=gate.token(sub=f"p{n}"), mode=mode) for n in range(3)]
            assert [client.message().status for client in crowd] == [status] * 3
            assert gate.client("GET", "/_gate/health", token=None, mode=mode).message().status == 200
