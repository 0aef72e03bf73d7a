"""CouchDB on blocking sockets, the twin of `connection` and `connectors`: a fresh connection for each request.

Sockets here do not block by themselves: who waits does so with `poll`, for CouchDB and its own client together, so
that either side's end is seen at once. Nothing is shared between two requests but the addresses of a name.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Collection
from contextlib import suppress
from typing import Any, NoReturn

from couchgate.certified import Verify
from couchgate.core.errors import BadGateway, Unavailable
from couchgate.core.message import ResponseHead
from couchgate.http1.responses import ResponseReader
from couchgate.system import RESET
from couchgate.upstream.dialling import Dialling, Places, too_late, unreachable
from couchgate.upstream.secure import no_tls
from couchgate.wire.secured import Secured, SecureSocket, TlsBroken

RECEIVE = 65536  # bytes taken at once


class SecureWay:
    """How CouchDB is reached by TLS: `secured` makes it of a socket, `verify` judges the certificate once more."""

    def __init__(self, secured: Secured, verify: Verify) -> None:
        self._secured = secured
        self._verify = verify

    def begin(self, sock: socket.socket) -> SecureSocket:
        """TLS on this connected socket, whose handshake comes next."""
        return self._secured(sock)

    def shake_hands(self, tls: SecureSocket) -> bool:
        """Go on; whether the certificate is verified. Raises Unavailable."""
        try:
            if not tls.shake_hands():
                return False
            self._verify(tls.connection)
        except TlsBroken as error:
            raise no_tls(error.reason, tls.connection) from None
        except OSError:
            raise unreachable() from None
        except Exception as error:  # noqa: BLE001  # whatever it is, this is not who it should be
            raise no_tls(error, tls.connection) from None
        return True


class BlockingUpstream:
    """One exchange with CouchDB. It connects to `places`, within `seconds` in all; by TLS, if there is a `way`.

    Until `connected`, wait for those `awaited`, and `go_on`. From then on `sock` is to be waited for: for reading, and
    for writing while there is `unsent`. Nothing is sent before, so by TLS not before the certificate was verified.
    """

    def __init__(self, places: Places, seconds: float, method: bytes, way: SecureWay | None = None) -> None:
        self._deadline = time.monotonic() + seconds
        self._way = way
        self._reader = ResponseReader(method)
        self._deaf = False  # it takes nothing more of the request
        self._tls: SecureSocket | None = None
        self.sock: Any = None  # a socket, plain or by TLS
        self.connected = False
        self.unsent: bytes | memoryview = b""
        self._dialling: Dialling | None = Dialling(places, seconds)

    @property
    def head(self) -> ResponseHead | None:
        """The answer's head, once it is there."""
        return self._reader.head

    @property
    def done(self) -> bool:
        """Whether the answer is complete."""
        return self._reader.done

    def awaited(self) -> tuple[list[Any], list[Any]]:
        """The sockets that the connection depends on: to be read, to be written."""
        if self._dialling is not None:
            return self._dialling.awaited()
        assert self._tls is not None  # noqa: S101  # for the type checker: the handshake is under way
        return ([], [self._tls]) if self._tls.writing else ([self._tls], [])

    def go_on(self, ready: Collection[Any]) -> None:
        """Connect further; `ready` of those awaited are, perhaps none: time has passed. Raises Unavailable."""
        if self._dialling is not None:
            self.sock = self._dialling.go_on(ready)
            if self.sock is None:
                return
            self._dialling = None
            if self._way is not None:
                self.sock = self._tls = self._way.begin(self.sock)
        if self._way is not None and self._tls is not None and not self._way.shake_hands(self._tls):
            if time.monotonic() > self._deadline:
                raise too_late()
            return
        self.connected = True
        self.flush()

    def send(self, data: bytes) -> None:
        """Send `data` of the request, now or when the socket can be written to."""
        self.unsent = bytes(self.unsent) + data if self.unsent else data
        if self.connected:
            self.flush()

    def flush(self) -> None:
        """Send more of what is `unsent`, if it takes some now."""
        if self._deaf:
            self.unsent = b""
        while self.unsent:
            try:
                sent = self.sock.send(self.unsent)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                self._deaf = True  # what it has answered before can be read all the same
                self.unsent = b""
                return
            self.unsent = memoryview(self.unsent)[sent:]

    def receive(self) -> bytes | None:
        """Body bytes of the answer, perhaps none; None: nothing has come. Look at `head` and `done` afterwards.

        Raises BadGateway, Unavailable.
        """
        reader = self._reader
        try:
            data = self.sock.recv(RECEIVE)
        except (BlockingIOError, InterruptedError):
            return None
        except OSError as error:
            self._lost(error)
        if data:
            return reader.feed(data)
        if not reader.ended():
            self._lost(None)
        reader.done = True
        return b""

    def _lost(self, error: OSError | None) -> NoReturn:
        if self._reader.touched:
            raise BadGateway("CouchDB's answer broke off.", code="upstream_cut")
        if isinstance(error, TlsBroken):  # with TLS 1.3 the gate's certificate is refused only now
            raise no_tls(error.reason)
        raise Unavailable("CouchDB closed the connection without an answer.", code="upstream_closed")

    def close(self) -> None:
        """End it; CouchDB stops working on what is unfinished."""
        if self._dialling is not None:
            self._dialling.close()
        if self.sock is None:
            return
        with suppress(OSError):
            if not self.done:  # RST: an end of ours must not look like the end of a request
                self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            elif self._tls is not None:
                self._tls.goodbye()
        self.sock.close()
