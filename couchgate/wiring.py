"""From validated settings to the parts that they describe. Nothing is started, read or listened to here."""

from __future__ import annotations

from typing import Any

from twisted.internet import endpoints
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.ssl import optionsForClientTLS

from couchgate.core.cors import Cors
from couchgate.core.gate import Gate
from couchgate.core.identity import (
    BasicIntroduction,
    Introduction,
    JwtIntroduction,
    NoIntroduction,
    ProxyIntroduction,
)
from couchgate.core.policy import Policy
from couchgate.settings import Settings, UpstreamSettings
from couchgate.upstream.connectors import EndpointConnector, SocketConnector
from couchgate.upstream.pool import Connector
from couchgate.wire.lane import Lane


def introduction_of(upstream: UpstreamSettings) -> Introduction:
    """How CouchDB is told for whom a request comes."""
    if upstream.auth == "proxy":
        return ProxyIntroduction(upstream.secret or b"", upstream.hmac)
    if upstream.auth == "jwt":
        return JwtIntroduction(upstream.secret or b"")
    if upstream.auth == "basic":
        return BasicIntroduction(upstream.username or "", upstream.password or "")
    return NoIntroduction()


def gate_of(settings: Settings) -> Gate:
    """The deciding core that these settings describe."""
    return Gate(
        rules=[issuer.rules for issuer in settings.issuers],
        policy=Policy(settings.rules),
        cors=Cors(settings.cors.origins, settings.cors.private_network),
        hosts=settings.gate.hosts,
        introduction=introduction_of(settings.upstream),
        authority=settings.upstream.authority,
        traces=settings.trace,
    )


def endpoint_of(reactor: Any, upstream: UpstreamSettings) -> IStreamClientEndpoint:
    """CouchDB as a Twisted endpoint; by https its certificate is verified for the host's name (service-identity)."""
    endpoint: Any = endpoints.HostnameEndpoint(reactor, upstream.host, upstream.port)
    if upstream.secure:
        endpoint = endpoints.wrapClientTLS(optionsForClientTLS(upstream.host), endpoint)
    return endpoint  # type: ignore[no-any-return]  # Twisted's endpoints are untyped


def connector_of(reactor: Any, lane: Lane | None, upstream: UpstreamSettings) -> Connector:
    """The way to CouchDB: a socket on the lane where that will do, else the endpoint."""
    if lane is not None and not upstream.secure:
        try:
            return SocketConnector(lane, upstream.host, upstream.port)
        except ValueError:
            pass  # a name, not an address: looked up anew for each connection
    return EndpointConnector(endpoint_of(reactor, upstream), reactor, upstream.connect_seconds)
