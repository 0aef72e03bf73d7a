"""A fake sensor: `sensor.py RULE SIGNAL SOCKET PID WHEN` watches the Python servers below PID and ends some.

It sees what is to be seen from outside on Linux: descriptors, what an epoll watches, and the kernel's list of TCP
sockets with their counts of bytes. It looks when somebody connects to the Unix socket SOCKET, who is then answered, so
that a test need not hope that it looked in time; and where WHEN is "always", several times a second besides.
"""

import os
import re
import signal
import socket
import struct
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

ESTABLISHED, CLOSE_WAIT, LISTEN = 1, 8, 10
DUMP = 0x301  # NLM_F_REQUEST | NLM_F_DUMP
DIAG_INFO, BY_FAMILY, DONE = 2, 20, 3


class Row(NamedTuple):
    inode: str
    state: int
    local: int
    peer: str
    sent: int
    received: int


def connections():
    """The TCP sockets of the machine (sock_diag(7)), with struct tcp_info's bytes_acked and bytes_received."""
    found = []
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 4) as diag:
        states = 1 << ESTABLISHED | 1 << CLOSE_WAIT | 1 << LISTEN
        request = struct.pack("=BBBBI48x", socket.AF_INET, socket.IPPROTO_TCP, 1 << (DIAG_INFO - 1), 0, states)
        diag.send(struct.pack("=IHHII", 16 + len(request), BY_FAMILY, DUMP, 1, 0) + request)
        while True:
            data = diag.recv(1 << 18)
            while data:
                length, kind = struct.unpack_from("=IH", data)
                if kind == DONE:
                    return found
                found.append(row(data[16:length]))
                data = data[(length + 3) & ~3 :]


def row(message):
    (local,) = struct.unpack_from("!H", message, 4)
    sent = received = 0
    attributes = message[72:]
    while len(attributes) >= 4:
        length, kind = struct.unpack_from("=HH", attributes)
        if kind == DIAG_INFO and length >= 140:
            sent, received = struct.unpack_from("=QQ", attributes, 4 + 120)
        attributes = attributes[(length + 3) & ~3 :]
    peer = socket.inet_ntoa(message[24:28])
    return Row(str(struct.unpack_from("=I", message, 68)[0]), message[1], local, peer, sent, received)


class Seen(NamedTuple):
    """One server: how many clients it has, how many one epoll of it watches, how many of those asked again."""

    clients: int
    multiplexed: int
    reused: int
    outgoing: int


RULES = {
    "reuse": lambda seen: seen.multiplexed >= 2 and seen.reused,
    "relay": lambda seen: seen.multiplexed >= 2 and seen.outgoing,
    "everything": lambda seen: seen.clients,
    "nothing": lambda seen: False,
}


class Sensor:
    def __init__(self, rule, number, parent):
        self.rule, self.number, self.parent = RULES[rule], number, parent
        self.answered = {}  # by socket: bytes received when an answer had begun
        self.reused = set()
        self.lock = threading.Lock()

    def look(self):
        with self.lock:
            rows = connections()
            for each in rows:
                if each.received > self.answered.get(each.inode, 1 << 60):
                    self.reused.add(each.inode)
                elif each.sent:
                    self.answered[each.inode] = each.received
            for pid in children(self.parent):
                with suppress(OSError):  # it has gone
                    if self.rule(self.seen(pid, rows)):
                        os.kill(pid, self.number)

    def seen(self, pid, rows):
        folder = Path(f"/proc/{pid}/fd")
        links = {each.name: str(each.readlink()) for each in folder.iterdir()}
        inodes = {name: link[8:-1] for name, link in links.items() if link.startswith("socket:[")}
        own = [each for each in rows if each.inode in inodes.values()]
        ports = {each.local for each in own if each.state == LISTEN}
        clients = {each.inode for each in own if each.state != LISTEN and each.local in ports}
        outgoing = [each for each in own if each.local not in ports and each.peer.startswith("127.")]
        multiplexed = set()
        for name, link in links.items():
            if "eventpoll" in link:
                targets = re.findall(r"tfd:\s+(\d+)", Path(f"/proc/{pid}/fdinfo/{name}").read_text())
                multiplexed = max(multiplexed, clients & {inodes.get(target) for target in targets}, key=len)
        return Seen(len(clients), len(multiplexed), len(multiplexed & self.reused), len(outgoing))


def children(parent):
    """The children of a process whose program is Python."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            name, _, rest = path.read_text().rpartition(")")
            if int(rest.split()[1]) == parent and "python" in name:
                yield int(path.parent.name)


def main(rule, number, place, parent, when):
    sensor = Sensor(rule, signal.Signals[number], int(parent))

    def always():
        while when == "always":
            sensor.look()
            time.sleep(0.05)

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(place)
        listener.listen()
        threading.Thread(target=always, daemon=True).start()
        while True:
            asking, _ = listener.accept()
            with asking:
                sensor.look()
                asking.send(b"looked")


if __name__ == "__main__":
    main(*sys.argv[1:])
