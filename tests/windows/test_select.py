"""Waiting by `select`, as Windows has it: for a thread's sockets, and for all of the reactor's."""

import json

import pytest
from twisted.internet.selectreactor import SelectReactor

from couchgate.core.limits import Limits
from couchgate.life.listener import Listener, NotBoundError
from couchgate.life.selecting import limits_of, too_many
from couchgate.life.threads import ThreadedSite
from couchgate.settings import ListenerSettings, load

WAITS = """
import json, socket
from couchgate.threaded.waiting import wait

listening = socket.create_server(("127.0.0.1", 0))
client = socket.create_connection(listening.getsockname())
served, _ = listening.accept()
client.send(b"!", socket.MSG_OOB)
urgent = wait((served,), (), 0.1)
client.send(b"x")
plain = wait((served,), (served,), 10)

nobody = socket.socket()
nobody.bind(("127.0.0.1", 0))
calling = socket.socket()
calling.setblocking(False)
calling.connect_ex(nobody.getsockname())
failed = wait((), (calling,), 10)
print(json.dumps([[len(each) for each in pair] for pair in (urgent, plain, failed)]))
"""
SETTINGS = """
[gate]
listeners = [{listeners}]
[upstream]
url = "http://127.0.0.1:9"
auth = "none"
[[issuers]]
issuer = "https://id.example.com/"
audiences = ["couchgate"]
algorithms = ["RS256"]
keys = "https://id.example.com/jwks"
[limits]
connections = {connections}
"""


def test_a_thread_waits_for_its_sockets(python):
    """Urgent data does not keep it awake; what came does, and so does a connection that could not be made."""
    done = python(WAITS)
    assert done.returncode == 0, done.stderr.decode()
    assert json.loads(done.stdout) == [[0, 0], [1, 1], [0, 1]]


@pytest.fixture
def selecting():
    """A select reactor that is nobody's."""
    reactor = SelectReactor()
    yield reactor
    reactor.disconnectAll()


@pytest.mark.parametrize(
    ("modes", "connections", "clients"),
    [
        (("keepalive",), 10_000, 200),
        (("keepalive", "close", "threaded"), 10_000, 100),
        (("keepalive",), 50, 50),
        (("threaded",), 300, 200),
    ],
)
def test_no_more_clients_than_a_select_can_wait_for(tmp_path, selecting, modes, connections, clients):
    """The reactor's listeners share them; the operator is told where that is less than the settings say."""
    path = tmp_path / "couchgate.toml"
    listeners = ", ".join(f'{{endpoint = "tcp:{port}", mode = "{mode}"}}' for port, mode in enumerate(modes, 1))
    path.write_text(SETTINGS.format(listeners=listeners, connections=connections))
    settings = load(path)
    assert limits_of(settings, selecting, 512).connections == clients
    sentence = too_many(settings, selecting, 512)
    assert (sentence is not None) == (clients < connections and modes != ("threaded",))
    assert sentence is None or f"lets in {clients} clients" in sentence


def test_elsewhere_the_limits_are_those_of_the_settings(tmp_path, selecting, reactor):
    """Another system's select, and another reactor, have no such bound."""
    path = tmp_path / "couchgate.toml"
    path.write_text(SETTINGS.format(listeners='{endpoint = "tcp:1"}', connections=10_000))
    settings = load(path)
    assert limits_of(settings, selecting, None) == limits_of(settings, reactor, 512) == settings.limits
    assert isinstance(settings.limits, Limits)


class CompletionPort:
    """A port as Windows' IOCP reactor has it: it cannot be told to leave its socket alone."""

    stopped = False

    def stopListening(self):
        self.stopped = True


class CompletionReactor:
    """A reactor with such a port."""

    def __init__(self):
        self.port = CompletionPort()

    def listenTCP(self, *_, **__):
        return self.port


def test_threads_need_a_port_that_gives_its_socket_away():
    """On the IOCP reactor mode threaded is one sentence, and nothing is left open."""
    reactor = CompletionReactor()
    listener = Listener(ListenerSettings("tcp:1", "threaded"), object.__new__(ThreadedSite), reactor)
    problems = []
    listener.bind().addErrback(problems.append)
    problems[0].trap(NotBoundError)
    assert "leave out twistd's --reactor" in problems[0].getErrorMessage()
    assert reactor.port.stopped
