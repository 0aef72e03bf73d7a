"""TLS toward CouchDB: nothing is sent before its certificate was verified, and a failure says why.

Twisted checks the certificate's chain and its name during the handshake; `couchgate.certified` checks the name again.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from OpenSSL import SSL
from service_identity import CertificateError, VerificationError
from twisted.internet import defer
from twisted.internet.interfaces import IHandshakeListener
from twisted.internet.main import CONNECTION_LOST
from twisted.python.failure import Failure
from zope.interface import implementer

from couchgate.certified import Verify
from couchgate.core.errors import Unavailable
from couchgate.upstream.connection import RETRY_AFTER, UpstreamConnection
from couchgate.wire.transport import TransportWire


def unavailable(reason: Failure, carrier: Any = None) -> Unavailable:
    """Why there is no connection, for people and logs. `carrier` is the TLS transport, if there is one."""
    if reason.check(VerificationError, CertificateError, SSL.Error):
        return no_tls(reason.value, None if carrier is None else carrier.getHandle())
    in_time = " in time" if reason.check(defer.TimeoutError) else ""
    return Unavailable(f"CouchDB cannot be reached{in_time}.", code="upstream_down", retry_after=RETRY_AFTER)


def no_tls(error: Any, handle: Any = None) -> Unavailable:
    """Why there is no TLS, for people and logs. `handle` is the `SSL.Connection`, if there is one."""
    if isinstance(error, SSL.Error):
        why = _words(error, handle)
    else:
        why = "its certificate is for another name than the gate expects"
    return Unavailable(f"There is no TLS with CouchDB: {why}.", code="upstream_tls", retry_after=RETRY_AFTER)


def _words(error: SSL.Error, handle: Any) -> str:
    """What OpenSSL says; for a certificate that it does not accept, why."""
    said = [str(part[-1]) for part in error.args[0]] if error.args and isinstance(error.args[0], list) else []
    if "certificate verify failed" not in said:
        return ", ".join(said) or "the handshake failed"
    chain = (handle.get_peer_cert_chain(as_cryptography=True) if handle is not None else None) or ()
    now = datetime.now(UTC)
    if any(certificate.not_valid_after_utc < now for certificate in chain):
        return "its certificate has expired"
    if any(certificate.not_valid_before_utc > now for certificate in chain):
        return "its certificate is not valid yet"
    return "its certificate is signed by no authority that the gate trusts"


@implementer(IHandshakeListener)
class SecureWire(TransportWire):
    """A wire over TLS. `made` fires once the certificate is verified; before that nothing may be written."""

    def __init__(self, connection: UpstreamConnection, verify: Verify) -> None:
        super().__init__(self._owner_of)
        self.stands = False
        self.made: defer.Deferred[None] = defer.Deferred(lambda _: self.abort())
        self._connection = connection
        self._verify = verify

    def _owner_of(self, wire: Any) -> UpstreamConnection:
        self._connection.wire = wire
        return self._connection

    def handshakeCompleted(self) -> None:
        """TLS is there (IHandshakeListener)."""
        try:
            self._verify(self._carrier.getHandle())
        except (VerificationError, CertificateError):
            self._refuse(Failure())
            self.abort()
            return
        self.stands = True
        if not self.made.called:
            self.made.callback(None)

    def _refuse(self, reason: Failure) -> None:
        if not self.made.called:
            self.made.errback(unavailable(reason, self._carrier))

    def connectionLost(self, reason: Failure = Failure(CONNECTION_LOST)) -> None:  # noqa: B008  # Twisted's signature
        """The connection is gone. With TLS 1.3 CouchDB refuses the gate's certificate only now, by an alert."""
        self._refuse(reason)
        if self.stands and reason.check(SSL.Error):
            self._connection.refused(unavailable(reason))
        super().connectionLost(reason)
