"""Names and addresses in the settings: host names, URLs, and the form of endpoint strings.

Only the form is judged. Nothing is resolved, and Twisted is not asked: it would want a reactor.
Each function raises `ValueError` whose text is the rest of a sentence that began with the key.
"""

from __future__ import annotations

import re
from ipaddress import AddressValueError, IPv4Address, IPv6Address, ip_address
from typing import NamedTuple
from urllib.parse import urlsplit

_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*\.?")
_PORT = re.compile(r"[0-9]{1,5}")
_ENDPOINT = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):(.+)")
_TCP = frozenset({"tcp", "tcp6", "ssl", "tls"})


class Address(NamedTuple):
    """The parts of a URL that the gate connects by. `authority` is as a `Host` field has it (RFC 9110 7.2)."""

    secure: bool
    host: str
    port: int
    authority: str


def host_name(text: str) -> str:
    """A host name or IP address in lower case, IPv6 in brackets (RFC 3986 3.2.2)."""
    name = text.lower()
    if not name.isascii():
        raise ValueError("must be written in ASCII; write an international name in its xn-- form")
    if name.startswith("[") and name.endswith("]"):
        try:
            IPv6Address(name[1:-1])
        except AddressValueError as error:
            raise ValueError("has brackets around something that is no IPv6 address") from error
        return name
    if not _NAME.fullmatch(name) or len(name) > 253:
        raise ValueError(
            "must be a host name such as gate.example.com, with or without :port, without scheme, path or *"
        )
    if name.rstrip(".").rpartition(".")[2].isdecimal():
        try:
            IPv4Address(name)
        except AddressValueError as error:
            raise ValueError("ends in a number but is no IPv4 address") from error
    return name


def certified_name(text: str) -> str:
    """A DNS name or IP address (without brackets) that a certificate can be for."""
    name = host_name(f"[{text}]" if ":" in text and not text.startswith("[") else text)
    if "_" in name:
        raise ValueError(
            "has a host name with an underscore, for which there are no certificates; give the right one in server_name"
        )
    return name.strip("[]").rstrip(".")


def host_entry(text: str) -> str:
    """One entry of `gate.hosts`: a host name or address, perhaps with `:port`, in lower case."""
    name, colon, port = text.rpartition(":")
    if not colon or text.endswith("]"):
        return host_name(text)
    if ":" in name and not name.startswith("["):
        raise ValueError("must have brackets around an IPv6 address, as in [::1] or [::1]:5985")
    return f"{host_name(name)}:{_port(port)}"


def is_loopback(host: str) -> bool:
    """Whether a host (without brackets) is this machine by name or address."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def upstream_address(text: str) -> Address:
    """The address of CouchDB: http or https, a host, perhaps a port, and nothing else."""
    address, rest = _split(text)
    if rest not in {"", "/"}:
        raise ValueError("must be scheme, host and port only, as in http://127.0.0.1:5984, without path or query")
    return address


def keys_address(text: str) -> None:
    """Judge the address of a JWKS: https, or http on this machine only, because whoever changes it makes tokens."""
    address, _ = _split(text)
    if not address.secure and not is_loopback(address.host):
        raise ValueError("must begin with https://; http:// is for this machine (localhost) only")


def issuer_address(text: str) -> None:
    """Judge an issuer that is asked for its keys (OpenID Connect Discovery 1.0, 3): as `keys_address`, no query."""
    keys_address(text)
    if "?" in text:
        raise ValueError("must be a URL without a query")


def endpoint(text: str) -> str:
    """A Twisted endpoint string of good form; the port of tcp and ssl, and what systemd needs, are judged too."""
    match = _ENDPOINT.fullmatch(text)
    if match is None:
        raise ValueError("must be an endpoint string such as tcp:5985:interface=127.0.0.1")
    trailing = len(text) - len(text.rstrip("\\"))
    if trailing % 2:
        raise ValueError("ends in a backslash with nothing after it")
    kind, parts, named = _parts(text)
    if kind in _TCP:
        try:
            _port(named.get("port", parts[0]), least=0)
        except ValueError as error:
            raise ValueError(f"needs a port number after {kind}:, as in {kind}:5985") from error
    if kind == "systemd" and ("domain" not in named or ("index" in named) == ("name" in named)):
        raise ValueError("must be written as systemd:domain=INET:index=0")
    return text


def _parts(text: str) -> tuple[str, list[str], dict[str, str]]:
    """Kind, arguments and named arguments of an endpoint string; what is escaped in a value stays so."""
    kind, _, rest = text.partition(":")
    parts = re.split(r"(?<!\\):", rest)
    return kind, parts, dict(part.split("=", 1) for part in parts if "=" in part)


def stays_here(text: str) -> bool:
    """Whether only this machine can reach an endpoint string (that `endpoint` accepted), as far as it tells."""
    kind, _, named = _parts(text)
    if kind in _TCP:
        return is_loopback(named.get("interface", "").replace("\\", ""))
    return kind == "unix" or (kind == "systemd" and named["domain"] == "UNIX")


def relative_path(text: str) -> bool:
    """Whether an endpoint string (that `endpoint` accepted) names a file by a path that is not absolute."""
    kind, parts, named = _parts(text)
    paths = [path for name, path in named.items() if re.fullmatch(r"address|privateKey|certKey|\w*[cC]hain\w*", name)]
    if kind == "unix" and "=" not in parts[0]:
        paths.append(parts[0])
    return any(not path.startswith("/") and not re.match(r"[A-Za-z]\\:", path) for path in paths)


def _split(text: str) -> tuple[Address, str]:
    # The address is never repeated in an error: a password may stand in it.
    if not text.isascii() or " " in text or "\\" in text:
        raise ValueError("must be a URL in ASCII without spaces or backslashes")
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise ValueError("is no URL that can be read") from error
    scheme, authority = parts.scheme, parts.netloc
    if scheme not in {"http", "https"}:
        raise ValueError("must begin with http:// or https://")
    if "@" in authority:
        raise ValueError("must not hold a user name or password; there are settings for these")
    if "#" in text:
        raise ValueError("must not hold a fragment (#)")
    if authority.endswith(":") or port == 0:
        raise ValueError("has no port number after the colon of its host")
    bracketed = host_name(authority.rpartition(":")[0] if port is not None else authority)
    host = bracketed.strip("[]")
    usual = 443 if scheme == "https" else 80
    shown = bracketed if port in {None, usual} else f"{bracketed}:{port}"
    rest = text[text.index("//") + 2 + len(authority) :]
    return Address(scheme == "https", host, usual if port is None else port, shown), rest


def _port(text: str, least: int = 1) -> int:
    if not _PORT.fullmatch(text) or not least <= int(text) <= 65535:
        raise ValueError(f"must have a port number from {least} to 65535 after its colon")
    return int(text)
