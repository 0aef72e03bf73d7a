"""A JWK set (RFC 7517 5) at a URL: which URLs keys may come from, and one load of such a set."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Protocol
from urllib.parse import urlsplit

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.web.iweb import IAgent

from couchgate.facts.fetch import Document, fetch

MAX_BYTES = 1 << 20
"""No JWK set is longer; a longer answer is dropped while it comes."""

SECONDS = 10.0
"""The time that one GET may take."""


class JwksLoader(Protocol):
    """Loads a JWK set, once for each call; says nothing about when."""

    @property
    def kind(self) -> str:
        """The word for this kind of source, as in `IKeySource.kind`."""

    @property
    def description(self) -> str:
        """Where the set comes from, without a secret, as in `IKeySource.description`."""

    def load(self, *, anew: bool) -> Deferred[Document]:
        """The set as it came. Fails with FetchFailed within a bounded time; may be cancelled.

        `anew`: what the last call gave was no good, so nothing that was remembered may be relied on.
        """


class JwksUrl:
    """The JWK set at `url`, asked for through `agent` (best a `bounded_agent`).

    `max_bytes` and `seconds` bound each load. Raises ValueError with one sentence if keys may not come from `url`.
    """

    kind = "url"

    def __init__(
        self, url: str, agent: IAgent, clock: IReactorTime, *, max_bytes: int = MAX_BYTES, seconds: float = SECONDS
    ) -> None:
        self.description = checked_address(url, "the URL of the keys")
        self._url = url
        self._agent = agent
        self._clock = clock
        self._max_bytes = max_bytes
        self._seconds = seconds

    def load(self, *, anew: bool = False) -> Deferred[Document]:  # noqa: ARG002 - nothing is remembered
        """One GET."""
        return fetch(self._agent, self._url, self._clock, max_bytes=self._max_bytes, seconds=self._seconds)


def checked_address(url: str, what: str) -> str:
    """What to call `url`: itself without its query, which may hold a secret.

    Only `https`, for whoever can change the answer can sign tokens; `http` on loopback hosts. Raises ValueError with
    one sentence about `what` for any other URL.
    """
    try:
        parts = urlsplit(url)
        host = parts.hostname
        sound = parts.port != 0
    except ValueError:
        host = None
    if not host or not sound or not url.isascii() or not url.isprintable() or " " in url or "@" in parts.netloc:
        raise ValueError(f"{what} must be https://HOST/PATH in ASCII, without user name and password")
    if parts.scheme != "https" and not (parts.scheme == "http" and loopback(host)):
        raise ValueError(f"{what} must begin with https://; http:// is for this machine (localhost) only")
    return f"{parts.scheme}://{parts.netloc}{parts.path}"


def loopback(host: str) -> bool:
    """Whether a host (without brackets) is this machine by name or address."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
