"""`[upstream]` by https: whom the gate trusts, which name it expects, and the certificate that it shows.

The files are read and judged once, here, so that `couchgate check` finds what is wrong with them. What cannot work (a
key of another certificate, one that has expired) is an error; what will soon not work is a warning.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from couchgate.settings.files import read_file
from couchgate.settings.model import TlsSettings
from couchgate.settings.network import Address, certified_name
from couchgate.settings.reader import Table

TLS_KEYS = ("ca_file", "client_certificate", "client_key", "server_name")
_SOON = timedelta(days=14)


def read_tls(table: Table, address: Address) -> TlsSettings | None:
    """What TLS toward `address` needs; None for plain http, where each of these keys is a warning."""
    if not address.secure:
        for key in TLS_KEYS:
            if table.has(key):
                table.warn(key, "is not used, because upstream.url begins with http://")
        return None
    named = "server_name" if table.has("server_name") else "url"
    try:
        name = certified_name(table.text("server_name", address.host))
    except ValueError as error:
        raise table.error(named, str(error)) from error
    if table.has("client_key") and not table.has("client_certificate"):
        raise table.error("client_certificate", "is missing; client_key is the key of a certificate")
    authorities = _certificates(table, "ca_file") if table.has("ca_file") else ()
    if not table.has("client_certificate"):
        return TlsSettings(name, _pem(authorities))
    chain = _certificates(table, "client_certificate")
    _judge_times(table, chain[0])
    private = _key(table, "client_key" if table.has("client_key") else "client_certificate", chain[0])
    return TlsSettings(name, _pem(authorities), _pem(chain), private)


def _path(table: Table, key: str) -> Path:
    return table.document.resolve(table.text(key))


def _certificates(table: Table, key: str) -> tuple[x509.Certificate, ...]:
    path = _path(table, key)
    data = read_file(table, key, path, secret=False)
    try:
        return tuple(x509.load_pem_x509_certificates(data))
    except ValueError as error:
        raise table.error(key, f"names {path}, which holds no certificate in PEM that can be read") from error


def _judge_times(table: Table, certificate: x509.Certificate) -> None:
    path, now = _path(table, "client_certificate"), datetime.now(UTC)
    begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if ends <= now:
        reason = f"names {path}, whose certificate expired at {ends:%Y-%m-%d %H:%M} UTC; have it renewed"
        raise table.error("client_certificate", reason)
    if begins > now:
        reason = f"names {path}, whose certificate is not valid before {begins:%Y-%m-%d %H:%M} UTC"
        raise table.error("client_certificate", reason)
    if ends <= now + _SOON:
        table.warn("client_certificate", f"names {path}, whose certificate expires at {ends:%Y-%m-%d %H:%M} UTC")


def _key(table: Table, key: str, certificate: x509.Certificate) -> bytes:
    """The private key in the file that `key` names, in PEM."""
    path = _path(table, key)
    data = read_file(table, key, path, secret=True)
    # Without the cause: what a parser says of a private key is nobody's business.
    try:
        private = load_pem_private_key(data, None)
    except TypeError:
        raise table.error(key, f"names {path}, whose private key needs a passphrase; store it without one") from None
    except (ValueError, UnsupportedAlgorithm):
        raise table.error(key, f"names {path}, which holds no private key in PEM that can be read") from None
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if private.public_key().public_bytes(*form) != certificate.public_key().public_bytes(*form):
        raise table.error(key, f"names {path}, whose private key is not the one of the client certificate")
    return private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _pem(certificates: tuple[x509.Certificate, ...]) -> tuple[bytes, ...]:
    return tuple(certificate.public_bytes(Encoding.PEM) for certificate in certificates)
