"""Ports for what a test starts later."""

import socket

_held = []


def free_port():
    """A port of 127.0.0.1 where nobody listens, and which no other test is given.

    A socket that is bound but does not listen holds it to the end of the tests: connections are refused, the system
    gives the port to nobody, and who names it can listen, given SO_REUSEADDR as Twisted does.
    """
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("127.0.0.1", 0))
    _held.append(sock)
    return sock.getsockname()[1]
