"""TLS for threads: a socket that encrypts, for those who wait for plain ones.

It has a socket's methods, and never blocks by itself. Who makes it decides what TLS is: the same objects of Twisted's
that make its transports, so certificates are verified alike and a listener's file of keys is read in one place.
OpenSSL works on memory here and not on the descriptor: what it has read ahead is known (`pending`), and a poll that
says nothing more has come would else wait for bytes that are here already.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from OpenSSL import SSL
from twisted.internet.interfaces import (
    IOpenSSLClientConnectionCreator,
    IOpenSSLServerConnectionCreator,
    IProtocolFactory,
    IReactorTime,
)
from twisted.internet.protocol import Factory, Protocol
from twisted.protocols.tls import TLSMemoryBIOFactory, TLSMemoryBIOProtocol
from twisted.python.failure import Failure

RECEIVE = 65536  # bytes taken at once
RECORD = 16384  # bytes that TLS encrypts as one (RFC 8446 5.1)


class TlsBroken(OSError):
    """TLS has failed, which `reason` tells: an `SSL.Error`, or why the certificate is not accepted."""

    def __init__(self, reason: BaseException) -> None:
        super().__init__("TLS failed")
        self.reason = reason


class Party(TLSMemoryBIOProtocol):
    """What Twisted asks of one end of a connection: whom it serves, and whether its peer was accepted."""

    def __init__(self, factory: TLSMemoryBIOFactory) -> None:
        super().__init__(factory, Protocol())  # type: ignore[no-untyped-call]  # Twisted's
        self.refused: BaseException | None = None

    def failVerification(self, reason: Failure) -> None:
        """The certificate is not the right one."""
        self.refused = reason.value


class SecureSocket:
    """`sock` by TLS, which `connection` speaks over memory. Nothing passes until `shake_hands` was true."""

    def __init__(self, sock: socket.socket, connection: SSL.Connection, party: Party) -> None:
        sock.setblocking(False)  # noqa: FBT003  # the socket's own signature
        self._sock = sock
        self._party = party
        self._out: bytes | memoryview = b""  # encrypted, and not taken yet
        self._owed = 0  # bytes of the sender's that are in `_out`
        self._stands = self._left = self._ended = False
        self._ahead = False  # whether more may have come with the end of the handshake
        self.connection = connection

    def fileno(self) -> int:
        """The descriptor."""
        return self._sock.fileno()

    def getpeername(self) -> Any:
        """As of the socket below."""
        return self._sock.getpeername()

    @property
    def writing(self) -> bool:
        """Whether the handshake goes on when the socket can be written to, not read."""
        return bool(self._out)

    @property
    def pending(self) -> bool:
        """Whether `recv` has something to say that no poll will tell."""
        return (self._ahead or self._ended) and not self._left

    def shake_hands(self) -> bool:
        """Do what can be done of the handshake now; whether it is complete. Raises TlsBroken, OSError."""
        if not self._stands and not self._shake():
            with suppress(BlockingIOError, InterruptedError):
                self._take()
                self._shake()
        self._flush()
        return self._stands and not self._out

    def _shake(self) -> bool:
        try:
            self.connection.do_handshake()
        except SSL.WantReadError:
            return False
        except SSL.Error as error:
            with suppress(OSError):
                self._flush()  # the alert that says why
            raise TlsBroken(self._party.refused or error) from error
        if self._party.refused is not None:
            raise TlsBroken(self._party.refused)
        self._stands = self._ahead = True
        return True

    def _take(self) -> None:
        """Give OpenSSL what has come. Raises BlockingIOError, OSError."""
        data = self._sock.recv(RECEIVE)
        if not data:
            raise ConnectionResetError("The connection ended without TLS's goodbye.")
        self.connection.bio_write(data)

    def _flush(self) -> None:
        """Send of what is encrypted as much as is taken now. Raises OSError."""
        while True:
            if not self._out:
                try:
                    self._out = memoryview(self.connection.bio_read(RECEIVE))
                except SSL.WantReadError:
                    return
            try:
                sent = self._sock.send(self._out)
            except (BlockingIOError, InterruptedError):
                return
            self._out = self._out[sent:]

    def recv(self, size: int) -> bytes:
        """What has come; empty: the other side has said goodbye, which cannot be forged.

        Raises BlockingIOError if nothing has come, TlsBroken, and OSError where the connection ends without a goodbye.
        """
        if self._left:
            return self._sock.recv(size)  # after our own goodbye it is thrown away, so nobody reads it
        if not self._ended and not self._ahead:
            self._take()
        self._ahead = False
        pieces = []
        while not self._ended:
            try:
                pieces.append(self.connection.recv(size))
            except SSL.WantReadError:
                break
            except SSL.ZeroReturnError:
                self._ended = True
            except SSL.Error as error:
                raise TlsBroken(error) from error
        with suppress(OSError):
            self._flush()  # what TLS itself answers
        if pieces:
            return b"".join(pieces)
        if not self._ended:
            raise BlockingIOError
        return b""

    def send(self, data: bytes | memoryview) -> int:
        """How many bytes of `data` the system has taken, encrypted. Raises BlockingIOError, TlsBroken, OSError.

        After BlockingIOError the same bytes must come again, perhaps with more behind them: they are encrypted already.
        """
        if not self._owed:
            self._flush()
            if self._out:
                raise BlockingIOError
            try:
                self._owed = self.connection.send(data[:RECORD])
            except SSL.Error as error:
                raise TlsBroken(error) from error
        self._flush()
        if self._out:
            raise BlockingIOError
        taken, self._owed = self._owed, 0
        return taken

    def goodbye(self) -> bool:
        """Say that no more will come, as TLS does; whether that is out. Raises OSError."""
        if not self._left:
            self._left = True
            with suppress(SSL.Error):
                self.connection.shutdown()
        self._flush()
        return not self._out

    def shutdown(self, how: int) -> None:
        """Close a direction of the socket below."""
        self._sock.shutdown(how)

    def setsockopt(self, level: int, option: int, value: int | bytes) -> None:
        """As of the socket below."""
        self._sock.setsockopt(level, option, value)

    def close(self) -> None:
        """Close the socket below."""
        self._sock.close()


Secured = Callable[[socket.socket], SecureSocket]


def server_side(creator: Any, site: IProtocolFactory, clock: IReactorTime) -> Secured:
    """How the connections of a listener for `site` become TLS. `creator` is what its endpoint listens with."""
    factory = TLSMemoryBIOFactory(creator, False, site, clock)  # noqa: FBT003  # Twisted's signature: no client

    def secured(sock: socket.socket) -> SecureSocket:
        party = Party(factory)
        if IOpenSSLServerConnectionCreator.providedBy(creator):
            connection = creator.serverConnectionForTLS(party)
        else:
            connection = SSL.Connection(creator.getContext(), None)
        connection.set_app_data(party)
        connection.set_accept_state()
        return SecureSocket(sock, connection, party)

    return secured


def client_side(creator: IOpenSSLClientConnectionCreator, clock: IReactorTime) -> Secured:
    """How a connection to a server becomes TLS; its certificate is verified as `creator` does."""
    factory = TLSMemoryBIOFactory(creator, True, Factory(), clock)  # noqa: FBT003  # Twisted's signature: a client

    def secured(sock: socket.socket) -> SecureSocket:
        party = Party(factory)
        connection = creator.clientConnectionForTLS(party)
        connection.set_app_data(party)
        connection.set_connect_state()
        return SecureSocket(sock, connection, party)

    return secured
