"""Whether a TLS peer has shown a certificate for the name that it was called by.

Twisted checks chain and name during the handshake. The name is checked once more when the handshake is complete:
Twisted 26.10 logs a certificate without any name, or with a bad wildcard, and accepts it.
"""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_address
from typing import Any

from service_identity.pyopenssl import verify_hostname, verify_ip_address

Verify = Callable[[Any], None]


def name_check(name: str) -> Verify:
    """A check that the peer of an `SSL.Connection` has shown a certificate for `name`, a DNS name or an IP address.

    It raises `service_identity.VerificationError` or `CertificateError`.
    """
    try:
        ip_address(name)
    except ValueError:
        return lambda handle: verify_hostname(handle, name)
    return lambda handle: verify_ip_address(handle, name)
