"""How each mode behaves on its sockets, seen from outside: counted at both peers and in /proc.

docs/edr-sensitive-hosts.md has what is measured here, as a table.
"""

import re
import select
import subprocess
import sys
from pathlib import Path

import pytest

from tests.web.live import CHECKOUT, HELLO, running_gate
from tests.web.sockets import Client, Upstream, eventually

MODES = ("keepalive", "close", "threaded")
REQUESTS, OPEN = 5, 4
ROWS = (
    "connections accepted for five requests",
    "connections to CouchDB for them",
    "requests on a connection to CouchDB that was used before",
    "more threads while four requests are open",
    "clients' sockets that one selector watches then",
)


class Couch:
    """CouchDB's place, which counts the gate's connections."""

    def __init__(self, upstream):
        self._upstream = upstream
        self._peers = []
        self.accepted = 0

    def asked(self):
        """The connection on which the next request comes, new or used before, after it was read."""
        while True:
            listener = self._upstream._listener
            ready = select.select([listener, *(peer.sock for peer in self._peers)], [], [], 10)[0]
            assert ready
            if listener in ready:
                self._peers.append(self._upstream.accept())
                self.accepted += 1
            for peer in [peer for peer in self._peers if peer.sock in ready]:
                if peer.sock.recv(1, 2):  # MSG_PEEK
                    peer.message()
                    return peer
                self._peers.remove(peer)  # the gate has closed it


def threads(pid):
    return len(list(Path(f"/proc/{pid}/task").iterdir()))


def descriptors(pid, clients):
    """The numbers by which the process has its ends of these clients' connections."""
    ends = {b"0100007F:%04X" % client.sock.getsockname()[1] for client in clients}
    rows = (line.split() for line in Path("/proc/net/tcp").read_bytes().splitlines())
    inodes = {f"socket:[{int(row[9])}]" for row in rows if row[2] in ends and row[9] != b"0"}
    return {each.name for each in Path(f"/proc/{pid}/fd").iterdir() if str(each.readlink()) in inodes}


def watched(pid, clients):
    """The most sockets of these clients that one epoll of the process watches."""
    folder = Path(f"/proc/{pid}/fd")
    # The list of sockets is not read in one go, so what else opens and closes on the machine can hide a row.
    numbers = eventually(lambda: len(found := descriptors(pid, clients)) == len(clients) and found)
    most = 0
    for each in folder.iterdir():
        if "eventpoll" in str(each.readlink()):
            targets = re.findall(r"tfd:\s+(\d+)", Path(f"/proc/{pid}/fdinfo/{each.name}").read_text())
            most = max(most, len(numbers & set(targets)))
    return most


def profile(port, pid, upstream, head):
    """The rows' numbers. The client keeps its connection for as long as it is let."""
    couch, client, connections = Couch(upstream), None, 0
    before = threads(pid)
    for _ in range(REQUESTS):
        if client is None:
            client = Client(port)
            connections += 1
        client.send(head)
        couch.asked().send(HELLO)
        if client.answer().start.startswith(b"HTTP/1.0"):
            assert client.ending() == ("fin", b"")
            client = None
    accepted = couch.accepted
    eventually(lambda: threads(pid) <= before)
    clients = [Client(port) for _ in range(OPEN)]
    peers = []
    for each in clients:
        each.send(head)
        peers.append(couch.asked())
    more, most = threads(pid) - before, watched(pid, clients)
    for peer in peers:
        peer.send(HELLO)
    for each in clients:
        assert each.answer().body == b'{"ok":true}'
    return connections, accepted, REQUESTS - accepted, more, most


def documented():
    """The table of the page, by column."""
    text = (CHECKOUT / "docs" / "edr-sensitive-hosts.md").read_text()
    rows = [re.search(rf"^\| {re.escape(row)} \|(.*)\|$", text, re.MULTILINE)[1].split("|") for row in ROWS]
    columns = (*MODES, "ThreadingHTTPServer")
    return {column: tuple(int(row[index]) for row in rows) for index, column in enumerate(columns)}


@pytest.fixture
def upstream():
    listening = Upstream()
    yield listening
    listening.close()


@pytest.mark.parametrize("mode", MODES)
def test_a_mode_behaves_as_the_page_says(upstream, mode):
    """Connections, their use, threads and selectors are those of the table."""
    with running_gate(upstream) as gate:
        assert gate.client("GET", "/_gate/health").message().status == 200  # its own threads are there
        assert profile(gate.ports[mode], gate.process.pid, upstream, gate.head()) == documented()[mode]


def test_threads_behave_as_the_stdlib_server_does(upstream):
    """A relay on ThreadingHTTPServer has the same profile, and that is the profile of mode threaded."""
    relay = Path(__file__).parent / "relay.py"
    with subprocess.Popen([sys.executable, relay, str(upstream.port)], stdout=subprocess.PIPE, text=True) as process:
        try:
            port = int(process.stdout.readline())
            head = b"GET /db/doc HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
            measured = profile(port, process.pid, upstream, head)
        finally:
            process.kill()
    assert measured == documented()["ThreadingHTTPServer"] == documented()["threaded"]
