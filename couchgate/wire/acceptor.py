"""Taking connections of a listening socket on a lane."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable
from typing import Any

from couchgate.wire.lane import IN, Lane

ACCEPTS = 64  # connections accepted before others are served
REST = 1.0  # seconds without accepting when there are no descriptors left


class Acceptor:
    """Accepts connections of a listening socket. `accepted(sock, address)` is called for each, non-blocking."""

    def __init__(self, lane: Lane, listener: socket.socket, accepted: Callable[[socket.socket, Any], None]) -> None:
        self._lane = lane
        self._listener = listener
        self._accepted = accepted
        self._resting: Any = None
        listener.setblocking(False)  # noqa: FBT003  # the socket's own signature
        lane.add(listener.fileno(), self)

    def readable(self) -> None:
        """Accept what waits."""
        for _ in range(ACCEPTS):
            try:
                sock, address = self._listener.accept()
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                if error.errno == errno.ECONNABORTED:
                    continue
                if error.errno == errno.EINVAL:
                    return  # the port was closed, which shuts the socket down for both
                sentence = "No connection can be accepted for a moment: {error}"
                self._lane.log.warn(sentence, error=error)  # noqa: G010  # Twisted's logger has no `warning`
                self._lane.change(self._listener.fileno(), 0)
                self._resting = self._lane.reactor.callLater(REST, self._go_on)
                return
            sock.setblocking(False)  # noqa: FBT003  # the socket's own signature
            self._accepted(sock, address)

    def _go_on(self) -> None:
        self._resting = None
        self._lane.change(self._listener.fileno(), IN)

    def writable(self) -> None:
        """Never asked for."""

    def abort(self) -> None:
        """A connection could not be taken on; go on with the next."""

    def stop(self) -> None:
        """Accept no more, beyond those whose connections the system has made already: closing would reset them."""
        if self._resting is None:  # else there is no descriptor to take them with
            self.readable()
        if self._resting is not None:
            self._resting.cancel()
        self._lane.change(self._listener.fileno(), 0)  # the port's own descriptor keeps the socket in the epoll
        self._lane.remove(self._listener.fileno())
        self._listener.close()
