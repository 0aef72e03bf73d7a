"""Settings files that are valid and, together, hold every key: what `schema` watches the readers read.

Which keys there are, their types, defaults and bounds is not written here; a key that no probe leads to is an error.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

Data = dict[str, Any]

_CALLER = {"client_certificate": "certificate.pem", "client_key": "key.pem", "secret_file": "secret"}
_ACCOUNT = {"username": "couchgate", "password_file": "secret"}
_UPSTREAM = {"url": "http://127.0.0.1:5984", "secret_file": "secret"}
_ISSUER = {"issuer": "https://a.example/", "audiences": ["a"], "algorithms": ["HS256"], "keys": "secret"}
_RULE = {"databases": ["a"], "allow": ["read"]}
_CHANGES: tuple[Data, ...] = (
    {},
    {"gate": {"mode": "close", "listeners": [{"endpoint": "tcp:1"}]}},
    {"gate": {"listeners": [{"endpoint": "tcp:1"}]}, "admin": {}},
    {"upstream": {"url": "http://127.0.0.1:5984", "auth": "basic", **_ACCOUNT, "own": _ACCOUNT}},
    {"upstream": {"url": "https://a.example", "ca_file": "certificate.pem", **_CALLER}},
    {"upstream": {"url": "https://b.example", "secret_file": "secret"}},
    {"upstream": {"socket": "couchdb.sock", **_UPSTREAM}},
    {"rules": [{"issuers": ["https://a.example/"], "roles": ["editor"], **_RULE}, {"allow": ["server"]}]},
    {"auth": {"checkers": [{"checker": "file:secret"}]}, "rules": [{"issuers": ["auth:file"], **_RULE}]},
    {"admin": {"role": "ops", "issuers": ["https://a.example/"]}},
)


def probes() -> Iterator[Data]:
    """Each as `tomllib` would give it. The files that they name are those of `write_files`."""
    for change in _CHANGES:
        yield {"upstream": dict(_UPSTREAM), "issuers": [dict(_ISSUER)], "rules": [dict(_RULE)], **change}


def write_files(folder: Path) -> None:
    """A secret, and a certificate with its key, made for this once."""
    key = ed25519.Ed25519PrivateKey.generate()
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "couchgate")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    certificate = builder.not_valid_before(now - timedelta(1)).not_valid_after(now + timedelta(99)).sign(key, None)
    files = {
        "secret": b"s" * 64,
        "certificate.pem": certificate.public_bytes(Encoding.PEM),
        "key.pem": key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
    }
    for each, content in files.items():
        (folder / each).write_bytes(content)
