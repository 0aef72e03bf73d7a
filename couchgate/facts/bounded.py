"""An HTTP client whose connections carry a bounded number of bytes.

Twisted's client reads any number of header fields, informational responses and trailers into memory. Here the
connection itself counts what comes, and is reset when it is more than any honest answer needs. It is reset, too,
instead of closed: a TLS peer that never says goodbye would hold a closing connection open.
"""

from __future__ import annotations

from typing import Any

from service_identity import CertificateError, VerificationError
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
from twisted.internet.interfaces import IHandshakeListener, IProtocol, IProtocolFactory, IStreamClientEndpoint
from twisted.internet.protocol import connectionDone
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.python.failure import Failure
from twisted.web.client import URI, Agent, BrowserLikePolicyForHTTPS, HTTPConnectionPool
from twisted.web.iweb import IAgent, IAgentEndpointFactory, IPolicyForHTTPS
from zope.interface import implementer

from couchgate.certified import Verify, name_check

_OVERHEAD = 64 * 1024
"""What a connection may carry besides the body, in bytes: heads, chunk sizes, trailers."""


class TooManyBytes(Exception):
    """The server sent more than this connection may carry."""


class WrongCertificate(Exception):
    """The server's certificate is for another name, or for none."""


def bounded_agent(reactor: Any, max_bytes: int, policy: IPolicyForHTTPS | None = None) -> IAgent:
    """An Agent on `reactor` for single answers with bodies of `max_bytes` at most; no connection is kept.

    Certificates are verified against the platform's authorities and the host's name, or as `policy` says.
    """
    endpoints = _BoundedEndpoints(reactor, policy or BrowserLikePolicyForHTTPS(), max_bytes + _OVERHEAD)
    agent: IAgent = Agent.usingEndpointFactory(reactor, endpoints, HTTPConnectionPool(reactor, persistent=False))
    return agent


@implementer(IAgentEndpointFactory)
class _BoundedEndpoints:
    def __init__(self, reactor: Any, policy: IPolicyForHTTPS, limit: int) -> None:
        self._reactor = reactor
        self._policy = policy
        self._limit = limit

    def endpointForURI(self, uri: URI) -> IStreamClientEndpoint:
        host, verify = uri.host.decode("ascii"), None
        endpoint: IStreamClientEndpoint = HostnameEndpoint(self._reactor, host, uri.port)
        if uri.scheme == b"https":
            endpoint = wrapClientTLS(self._policy.creatorForNetloc(uri.host, uri.port), endpoint)
            verify = name_check(host)
        return _BoundedEndpoint(endpoint, self._limit, verify)


@implementer(IStreamClientEndpoint)
class _BoundedEndpoint:
    def __init__(self, endpoint: IStreamClientEndpoint, limit: int, verify: Verify | None) -> None:
        self._endpoint = endpoint
        self._limit = limit
        self._verify = verify

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        factory: Any = WrappingFactory(protocolFactory)
        factory.protocol = lambda outer, protocol: _Bounded(outer, protocol, self._limit, self._verify)
        factory.noisy = False
        connecting: Deferred[Any] = self._endpoint.connect(factory)
        # The Agent wants the protocol that its own factory built.
        return connecting.addCallback(_unwrapped)


def _unwrapped(wrapper: ProtocolWrapper) -> IProtocol:
    protocol: IProtocol = wrapper.wrappedProtocol
    return protocol


@implementer(IHandshakeListener)
class _Bounded(ProtocolWrapper):
    """Lets `limit` bytes pass, then resets the connection; over TLS only from whom `verify` finds to be the server."""

    def __init__(self, factory: WrappingFactory, protocol: IProtocol, limit: int, verify: Verify | None) -> None:
        ProtocolWrapper.__init__(self, factory, protocol)
        self._limit = limit
        self._verify = verify
        self._wrong = False
        self._received = 0

    def handshakeCompleted(self) -> None:
        """TLS is there (IHandshakeListener)."""
        try:
            if self._verify is not None:
                transport: Any = self.transport
                self._verify(transport.getHandle())
        except (VerificationError, CertificateError):
            self._wrong = True
            self.loseConnection()

    def dataReceived(self, data: bytes) -> None:
        self._received += len(data)
        if self._wrong:
            return
        if self._received <= self._limit:
            ProtocolWrapper.dataReceived(self, data)
        else:
            self.loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._wrong:
            reason = Failure(WrongCertificate("its certificate is not for the host in the URL"))
        elif self._received > self._limit:
            reason = Failure(TooManyBytes(f"it sent more than {self._limit} bytes"))
        ProtocolWrapper.connectionLost(self, reason)

    def loseConnection(self) -> None:
        """Called by the HTTP client only when all is read or nothing more is wanted."""
        transport: Any = self.transport
        transport.abortConnection()
