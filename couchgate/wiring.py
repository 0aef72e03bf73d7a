"""From validated settings to the parts that they describe. Nothing is started, read or listened to here."""

from __future__ import annotations

from typing import Any

from OpenSSL import crypto
from twisted.internet import endpoints
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.ssl import (
    Certificate,
    KeyPair,
    TLSVersion,
    optionsForClientTLS,
    trustRootFromCertificates,
)
from twisted.internet.testing import MemoryReactorClock
from twisted.internet.threads import deferToThreadPool

from couchgate.certified import Verify, name_check
from couchgate.core.cors import Cors
from couchgate.core.credential import BasicRules
from couchgate.core.gate import Gate
from couchgate.core.identity import (
    BasicIntroduction,
    Introduction,
    JwtIntroduction,
    NoIntroduction,
    ProxyIntroduction,
)
from couchgate.core.policy import Policy
from couchgate.facts.keyring import KeyRing
from couchgate.facts.keystore import KeyStore
from couchgate.facts.people import People
from couchgate.facts.sources import key_source
from couchgate.interfaces import IKeySource
from couchgate.portal import portal_of
from couchgate.settings import IssuerSettings, Settings, SettingsError, TlsSettings, UpstreamSettings
from couchgate.upstream.connectors import EndpointConnector, SocketConnector, UnixConnector
from couchgate.upstream.names import NameEndpoint
from couchgate.upstream.pool import Connector
from couchgate.wire.lane import Lane


def key_store_of(settings: Settings, reactor: Any) -> KeyStore:
    """Where key sets outlive the process. The disk is waited for in the reactor's threads."""
    return KeyStore(
        settings.gate.state_dir / "keys", lambda write: deferToThreadPool(reactor, reactor.getThreadPool(), write)
    )


def key_source_of(issuer: IssuerSettings, reactor: Any, store: KeyStore | None = None) -> IKeySource:
    """The source of one issuer's keys, not started. Raises SettingsError."""
    try:
        return key_source(issuer, reactor, store)
    except ValueError as error:
        raise SettingsError(f"{issuer.place}.keys {error}") from error


def check_key_source(issuer: IssuerSettings) -> None:
    """Make the source of one issuer's keys, and throw it away without starting it. Raises SettingsError."""
    key_source_of(issuer, MemoryReactorClock())


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
    auth = settings.auth
    return Gate(
        rules=[issuer.rules for issuer in settings.issuers],
        policy=Policy(settings.rules),
        cors=Cors(settings.cors.origins, settings.cors.private_network),
        hosts=settings.gate.hosts,
        introduction=introduction_of(settings.upstream),
        authority=settings.upstream.authority,
        traces=settings.trace,
        basic=BasicRules(bool(auth.checkers), auth.token_as_password, auth.feed_seconds),
    )


def keyring_of(settings: Settings, reactor: Any, old: Settings | None = None, elder: KeyRing | None = None) -> KeyRing:
    """All keys that these settings need.

    `elder` is the ring of the settings `old`, which runs: those of its sources serve on whose settings are the same,
    and it is the answer itself if nothing about issuers has changed. Raises SettingsError for keys of another package's
    kind that cannot be had.
    """
    left: list[tuple[object, IKeySource]] = []
    if old is not None and elder is not None:
        if old.issuers == settings.issuers:
            return elder
        left = [(each.key_settings, elder.sources[each.rules.id]) for each in old.issuers]
    store = key_store_of(settings, reactor)
    sources: dict[str, IKeySource] = {}
    for each in settings.issuers:
        same = next((pair for pair in left if pair[0] == each.key_settings), None)
        if same is not None:
            left.remove(same)
        sources[each.rules.id] = key_source_of(each, reactor, store) if same is None else same[1]
    issuers = {each.rules.id: each.rules.issuer for each in settings.issuers}
    return KeyRing(sources, reactor, issuers=issuers, elder=elder)


def people_of(settings: Settings, reactor: Any) -> People:
    """Who asks the checkers of `[auth]`. Raises SettingsError for one that Twisted does not have."""
    portals = {}
    for checker in settings.auth.checkers:
        try:
            portals[checker.issuer] = portal_of(
                checker.kind,
                checker.argument,
                issuer=checker.issuer,
                name_prefix=checker.name_prefix,
                reserved_prefixes=checker.reserved_prefixes,
            )
        except ValueError as error:
            raise SettingsError(f"{settings.path}: auth.checkers or --auth: one checker {error}") from None
    return People(portals, reactor)


def tls_of(tls: TlsSettings) -> Any:
    """How a TLS connection to CouchDB is made: TLS 1.2 at least, its certificate verified (service-identity)."""
    more: dict[str, Any] = {"raiseMinimumTo": TLSVersion.TLSv1_2}
    if tls.key is not None:
        own, *chain = [Certificate.loadPEM(pem).original for pem in tls.certificate]
        key = KeyPair.load(tls.key, crypto.FILETYPE_PEM).original
        more.update(certificate=own, privateKey=key, extraCertChain=chain)
    roots = [Certificate.loadPEM(pem) for pem in tls.authorities]
    return optionsForClientTLS(
        tls.server_name,
        trustRoot=trustRootFromCertificates(roots) if roots else None,
        extraCertificateOptions=more,
    )


def verify_of(upstream: UpstreamSettings) -> Verify | None:
    """What judges CouchDB's certificate once more, after `tls_of`; None without TLS."""
    return None if upstream.tls is None else name_check(upstream.tls.server_name)


def endpoint_of(reactor: Any, upstream: UpstreamSettings) -> IStreamClientEndpoint:
    """CouchDB as a Twisted endpoint. By https see `verify_of`."""
    endpoint: Any
    if upstream.socket is not None:
        endpoint = endpoints.UNIXClientEndpoint(reactor, upstream.socket)
    else:
        endpoint = NameEndpoint(reactor, upstream.host, upstream.port)
    if upstream.tls is not None:
        endpoint = endpoints.wrapClientTLS(tls_of(upstream.tls), endpoint)
    return endpoint  # type: ignore[no-any-return]  # Twisted's endpoints are untyped


def connector_of(reactor: Any, lane: Lane | None, upstream: UpstreamSettings) -> Connector:
    """The way to CouchDB: a socket on the lane where that will do, else the endpoint."""
    if lane is not None and upstream.socket is not None:
        return UnixConnector(lane, upstream.socket, upstream.connect_seconds)
    if lane is not None and not upstream.secure:
        try:
            return SocketConnector(lane, upstream.host, upstream.port)
        except ValueError:
            pass  # a name, not an address: looked up anew for each connection
    endpoint = endpoint_of(reactor, upstream)
    return EndpointConnector(endpoint, reactor, upstream.connect_seconds, verify_of(upstream))
