"""The thread that accepts a listening socket's connections. It waits for that socket alone."""

from __future__ import annotations

import errno
import socket
import threading
from collections.abc import Callable
from typing import Any

from couchgate.threaded.waiting import wait

REST = 1.0  # seconds without accepting when there are no descriptors left


class Accepting:
    """Calls `accepted(sock, address)` for each connection of `listener`; `ended()` once there will be no more."""

    def __init__(
        self,
        listener: socket.socket,
        accepted: Callable[[socket.socket, Any], None],
        ended: Callable[[], None],
        warn: Callable[[str], None],
    ) -> None:
        listener.setblocking(False)  # noqa: FBT003  # the socket's own signature
        self._listener = listener
        self._accepted = accepted
        self._ended = ended
        self._warn = warn
        self._stopping = threading.Event()
        self._told, self._waker = socket.socketpair()
        self._thread = threading.Thread(target=self._run, name="couchgate accepts", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Accept no more, beyond those whose connections the system has made already: closing would reset them."""
        if not self._stopping.is_set():
            self._stopping.set()
            self._waker.close()

    def _run(self) -> None:
        try:
            while not self._stopping.is_set():
                wait((self._listener, self._told), (), 60.0)
                self._accept()
        finally:
            self._listener.close()
            self._told.close()
            self._ended()

    def _accept(self) -> None:
        """Accept all who wait."""
        while True:
            try:
                sock, address = self._listener.accept()
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                if error.errno == errno.ECONNABORTED:
                    continue
                if error.errno != errno.EINVAL:  # else the port was closed, which shuts the socket down for both
                    self._warn(f"No connection can be accepted for a moment: {error}")
                self._stopping.wait(REST)
                return
            self._accepted(sock, address)
