"""What the blocking face is handed: values that a reload replaces at once, and whom it asks."""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from typing import Any, Protocol

from couchgate.core.credential import BasicCredential
from couchgate.core.gate import Gate
from couchgate.core.limits import Limits
from couchgate.core.message import ResponseHead
from couchgate.core.pages import Admins
from couchgate.core.principal import Principal
from couchgate.core.verdict import Facts


class Answer(Protocol):
    """What a page gives back."""

    @property
    def status(self) -> int: ...
    @property
    def content_type(self) -> bytes: ...
    @property
    def body(self) -> bytes: ...


class Page(Protocol):
    """A page of the gate's own: its name in logs, who may see it (`core.pages`), and what is called for the answer.

    `ask(method, raw query, principal)` belongs to the reactor's thread.
    """

    @property
    def name(self) -> str: ...
    @property
    def access(self) -> str: ...
    @property
    def ask(self) -> Callable[[bytes, bytes, Principal | None], Awaitable[Answer]]: ...


class Sock(Protocol):
    """What of a socket is used: a plain one, or one by TLS, for which to block means BlockingIOError, too."""

    def fileno(self) -> int: ...
    def getpeername(self) -> Any: ...
    def recv(self, size: int, /) -> bytes: ...
    def send(self, data: bytes | memoryview, /) -> int: ...
    def shutdown(self, how: int, /) -> None: ...
    def setsockopt(self, level: int, option: int, value: bytes, /) -> None: ...
    def close(self) -> None: ...


class Secure(Sock, Protocol):
    """A socket by TLS, as `couchgate.wire.secured` has it."""

    @property
    def writing(self) -> bool: ...
    def shake_hands(self) -> bool: ...
    def goodbye(self) -> bool: ...


Secured = Callable[[socket.socket], Secure]


class Upstream(Protocol):
    """One exchange with CouchDB, as `couchgate.upstream.blocking` has it."""

    connected: bool
    unsent: bytes | memoryview

    @property
    def sock(self) -> Sock: ...
    @property
    def head(self) -> ResponseHead | None: ...
    @property
    def done(self) -> bool: ...
    def awaited(self) -> tuple[list[Sock], list[Sock]]: ...
    def go_on(self, ready: Collection[Sock]) -> None: ...
    def send(self, data: bytes) -> None: ...
    def flush(self) -> None: ...
    def receive(self) -> bytes | None: ...
    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Present:
    """By what a request is served that begins now. Times in seconds.

    `refresh(rules_id, kid)` fetches keys, `ask_people(credential, address)` gives the person whose password that is or
    fails with a GateError: both belong to the reactor's thread. `connect(method)` begins an exchange with CouchDB, or
    raises Unavailable. `admin`: pages for administrators (`admins`) need no token here.
    """

    gate: Gate
    facts: Facts
    limits: Limits
    refresh: Callable[[str, str | None], Awaitable[None]]
    ask_people: Callable[[BasicCredential, str], Awaitable[Principal]]
    connect: Callable[[bytes], Upstream]
    first_byte_seconds: float
    upstream_idle_seconds: float
    admins: Admins
    admin: bool
