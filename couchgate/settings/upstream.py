"""`[upstream]`: where CouchDB is, and how it is told who asks.

Each way of telling needs its own keys. One that the chosen way does not use is a warning, so that a flag may change
the way without a change to the file.
"""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

from couchgate.settings.files import read_password, read_secret, refusal
from couchgate.settings.model import OwnSettings, UpstreamSettings
from couchgate.settings.network import Address, is_loopback, upstream_address
from couchgate.settings.reader import Table
from couchgate.settings.tls import TLS_KEYS, read_tls

UPSTREAM_KEYS = (
    "url",
    "socket",
    *TLS_KEYS,
    "auth",
    "secret_file",
    "hmac",
    "username",
    "password_file",
    "own",
    "connect_seconds",
    "first_byte_seconds",
    "idle_seconds",
    "connections",
)
OWN_KEYS = ("username", "password_file")
_NEEDS = {
    "proxy": ("secret_file",),
    "jwt": ("secret_file",),
    "basic": ("username", "password_file"),
    "none": (),
}
_USES = {**_NEEDS, "proxy": ("secret_file", "hmac")}
_LEAST_JWT_SECRET = 32  # bytes: RFC 7518 3.2 asks for a key as long as the hash of HS256
_GOOD_PROXY_SECRET = 16
_LONGEST_SOCKET = 103  # bytes of a path: sockaddr_un has room for 107 on Linux, for 103 on macOS and BSD


def read_upstream(table: Table) -> UpstreamSettings:
    """The whole table."""
    if not table.has("url"):
        raise table.error("url", 'is missing; it must say where CouchDB is, as in "http://127.0.0.1:5984"')
    try:
        address = upstream_address(table.text("url"))
    except ValueError as error:
        raise table.error("url", str(error)) from error
    auth = table.word("auth", tuple(_NEEDS), "proxy")
    for key in _NEEDS[auth]:
        if not table.has(key):
            raise table.error(key, f'is missing; auth = "{auth}" needs {" and ".join(_NEEDS[auth])}')
    for key in ("secret_file", "hmac", "username", "password_file"):
        if table.has(key) and key not in _USES[auth]:
            table.warn(key, f'is not used by auth = "{auth}"')
    basic = auth == "basic"
    path = _socket(table, address) if table.has("socket") else None
    if basic and not address.secure and path is None and not is_loopback(address.host):
        table.warn("url", "begins with http://, so the password crosses the network in clear; write https://")
    return UpstreamSettings(
        *address,
        auth=auth,
        secret=_secret(table, auth) if "secret_file" in _NEEDS[auth] else None,
        username=_username(table) if basic else None,
        password=read_password(table, "password_file") if basic else None,
        hmac=table.word("hmac", ("sha256", "sha1"), "sha256"),
        own=_own(table.table("own", OWN_KEYS)) if table.has("own") else None,
        connect_seconds=table.seconds("connect_seconds", 0.1, 600, 5),
        first_byte_seconds=table.seconds("first_byte_seconds", 0.1, 86400, 300),
        idle_seconds=table.seconds("idle_seconds", 0.1, 86400, 300),
        connections=table.whole("connections", 0, 100_000, 100),
        tls=read_tls(table, address),
        socket=path,
    )


def _socket(table: Table, address: Address) -> str:
    """The path of a Unix socket. Nobody need listen there yet, as with a host and a port."""
    if not hasattr(socket, "AF_UNIX"):
        raise table.error("socket", "cannot be used, because Python has no Unix sockets on this system; leave it out")
    if address.secure:
        raise table.error("socket", "cannot be used with https://; a Unix socket does not leave the machine")
    path = str(table.document.resolve(table.text("socket")))
    if len(os.fsencode(path)) > _LONGEST_SOCKET:
        raise table.error("socket", f"names a path of more than {_LONGEST_SOCKET} bytes, which no socket can have")
    try:
        mode = Path(path).stat().st_mode
    except FileNotFoundError:
        return path
    except OSError as error:
        raise table.error("socket", f"names {path}, {refusal(error)}; it must name a Unix socket") from error
    if not stat.S_ISSOCK(mode):
        raise table.error("socket", f"names {path}, which is no Unix socket")
    return path


def _secret(table: Table, auth: str) -> bytes:
    secret = read_secret(table, "secret_file")
    if auth == "jwt" and len(secret) < _LEAST_JWT_SECRET:
        raise table.error("secret_file", f"names a secret of {len(secret)} bytes; HS256 needs at least 32")
    if auth == "proxy" and len(secret) < _GOOD_PROXY_SECRET:
        table.warn("secret_file", f"names a secret of {len(secret)} bytes, which can be guessed; use 32 random ones")
    return secret


def _own(table: Table) -> OwnSettings:
    return OwnSettings(_username(table), read_password(table, "password_file"))


def _username(table: Table) -> str:
    username = table.text("username")
    if ":" in username:
        raise table.error("username", "must not hold a colon: basic authentication ends the name there (RFC 7617)")
    return username
