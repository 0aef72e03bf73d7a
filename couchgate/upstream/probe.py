"""Asks whether CouchDB answers, over the same pool as real requests.

Any answer below 500 will do: a CouchDB that lets nobody in without a name says 401 and is alive. When the gate has a
name of its own for such calls (`[upstream.own]`), CouchDB must know it.
"""

from __future__ import annotations

from typing import Any

from twisted.internet import defer, protocol
from twisted.internet.interfaces import IHandshakeListener, IReactorTime, ISSLTransport, IStreamClientEndpoint
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from couchgate.certified import Verify
from couchgate.core.errors import GateError, Unavailable
from couchgate.core.message import ResponseHead
from couchgate.upstream.connection import UpstreamConnection
from couchgate.upstream.pool import UpstreamPool
from couchgate.upstream.secure import unavailable


class Probe:
    """One `GET /`, as an exchange. `answer` fires with None if CouchDB answered, else with a sentence."""

    def __init__(self, pool: UpstreamPool, head: bytes, *, named: bool) -> None:
        self._head = head
        self._named = named
        self._connection: UpstreamConnection | None = None
        self._status = 0
        self._connecting: defer.Deferred[None] | None = None
        self.answer: defer.Deferred[str | None] = defer.Deferred(self._cancelled)
        self._connecting = pool.acquire(self, fresh=True)

    def _cancelled(self, _: object) -> None:
        if self._connection is not None:
            self._connection.abandon()
        elif self._connecting is not None:
            self._connecting.cancel()

    def _tell(self, problem: str | None) -> None:
        self._connection = None
        if not self.answer.called:
            self.answer.callback(problem)

    def upstream_connected(self, connection: UpstreamConnection) -> None:
        """Ask."""
        self._connection = connection
        connection.begin(self, b"GET", self._head, complete=True, keep=False)

    def response_begun(self, head: ResponseHead, data: bytes, *, done: bool) -> None:
        """CouchDB answers."""
        self._status = head.status
        self.response_data(data, done=done)

    def response_data(self, data: bytes, *, done: bool) -> None:  # noqa: ARG002  # the words do not matter
        """CouchDB goes on answering."""
        if not done:
            return
        if self._status >= 500:
            self._tell(f"CouchDB answers with status {self._status}.")
        elif self._named and self._status in (401, 403):
            self._tell("CouchDB refuses the name and password of [upstream.own].")
        else:
            self._tell(None)

    def upstream_failed(self, error: GateError, *, stale: bool) -> None:  # noqa: ARG002  # never stale: it is fresh
        """CouchDB does not answer."""
        self._tell(error.reason)

    def upstream_drained(self) -> None:
        """Nothing more is sent."""


async def probe(
    pool: UpstreamPool, authority: str, clock: object, *, name_line: bytes = b"", seconds: float = 1.5
) -> str | None:
    """None if CouchDB answers `GET /` within `seconds`, else one sentence.

    `name_line` is the header line that names the gate, with its CRLF, or empty.
    """
    head = b"GET / HTTP/1.1\r\nHost: %b\r\n%bConnection: close\r\n\r\n" % (authority.encode("ascii"), name_line)
    asked = Probe(pool, head, named=bool(name_line)).answer
    asked.addTimeout(seconds, clock)  # type: ignore[arg-type]  # an IReactorTime
    try:
        return await asked
    except defer.TimeoutError:
        return f"CouchDB did not answer within {seconds:g} seconds."


@implementer(IHandshakeListener)
class _Caller(protocol.Protocol):
    """Connects and goes; `made` fires once the connection stands, by TLS once `verify` has judged the certificate."""

    def __init__(self, verify: Verify | None) -> None:
        self._verify = verify
        self.made: defer.Deferred[None] = defer.Deferred()

    def connectionMade(self) -> None:
        """The connection stands, or TLS begins."""
        if not ISSLTransport.providedBy(self.transport):
            self.handshakeCompleted()

    def handshakeCompleted(self) -> None:
        """The certificate is good (IHandshakeListener)."""
        carrier: Any = self.transport
        if self._verify is not None:
            try:
                self._verify(carrier.getHandle())
            except Exception:  # noqa: BLE001  # whatever it is, this is not who it should be
                self.connectionLost(Failure())
                carrier.abortConnection()
                return
        carrier.loseConnection()
        self.made.callback(None)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Gone, perhaps before it stood."""
        if not self.made.called:
            self.made.errback(unavailable(reason, self.transport))


async def reach(
    endpoint: IStreamClientEndpoint, clock: IReactorTime, seconds: float, verify: Verify | None = None
) -> str | None:
    """None if a connection to CouchDB can be made within `seconds`, else one sentence. Nothing is asked.

    A request would be counted by whoever counts CouchDB's requests, for nothing: the gate serves in any case.
    """
    factory = protocol.Factory.forProtocol(lambda: _Caller(verify))
    factory.noisy = False
    calling: defer.Deferred[Any] = endpoint.connect(factory)
    try:
        await calling.addCallback(lambda caller: caller.made).addTimeout(seconds, clock)
    except Unavailable as error:
        return error.reason
    except Exception:  # noqa: BLE001  # endpoints fail in many ways, and all of them mean no
        return unavailable(Failure()).reason
    return None
