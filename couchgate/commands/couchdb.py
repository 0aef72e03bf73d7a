"""Small questions to CouchDB: over the gate's own pool, so what is asked goes the way that requests go."""

from __future__ import annotations

import json
from contextlib import suppress
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple

from twisted.internet import defer

from couchgate.core.errors import GateError, GatewayTimeout
from couchgate.core.message import ResponseHead
from couchgate.settings import UpstreamSettings
from couchgate.upstream.connection import UpstreamConnection
from couchgate.upstream.pool import UpstreamPool
from couchgate.wiring import connector_of

SECONDS = 10.0
_MOST_BODY = 1 << 20


class Reply(NamedTuple):
    """CouchDB's answer: its status, its fields by name in lower case, and the JSON value of its body, else None."""

    status: int
    fields: dict[bytes, bytes]
    value: Any

    @property
    def date(self) -> float | None:
        """The `Date` field in unix seconds."""
        return unix_time(self.fields.get(b"date", b"").decode("latin-1"))


class Session(NamedTuple):
    """What `GET /_session` says: who is asking to CouchDB (None: nobody), and which handlers it has (None: unknown)."""

    status: int
    name: str | None
    roles: tuple[str, ...]
    handlers: tuple[str, ...] | None


def unix_time(date: str) -> float | None:
    """An HTTP date in unix seconds, or None if it cannot be read."""
    try:
        return parsedate_to_datetime(date).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None


class CouchDB:
    """Asks the CouchDB of `upstream`. Every question is a GET on a connection of its own; nothing is changed there."""

    def __init__(self, upstream: UpstreamSettings, reactor: Any) -> None:
        self._clock = reactor
        self._authority = upstream.authority.encode("ascii")
        self._pool = UpstreamPool(
            connector_of(reactor, None, upstream),
            reactor.seconds,
            connect_seconds=upstream.connect_seconds,
            idle_most=0,
        )

    async def get(self, path: bytes, lines: bytes = b"") -> Reply:
        """The answer to GET `path` with these header lines, each with its CRLF. Raises GateError."""
        head = b"GET %b HTTP/1.1\r\nHost: %b\r\nAccept: application/json\r\n%bConnection: close\r\n\r\n"
        asked = _Exchange(self._pool, head % (path, self._authority, lines)).answer
        asked.addTimeout(SECONDS, self._clock)
        try:
            return await asked
        except defer.TimeoutError:
            raise GatewayTimeout(f"CouchDB did not answer within {SECONDS:g} seconds.") from None

    async def session(self, lines: bytes = b"") -> Session:
        """Who one is to CouchDB with these header lines. Raises GateError."""
        reply = await self.get(b"/_session", lines)
        value = reply.value if reply.status == 200 and isinstance(reply.value, dict) else {}
        context, info = _table(value, "userCtx"), _table(value, "info")
        name, handlers = context.get("name"), info.get("authentication_handlers")
        return Session(
            reply.status,
            name if isinstance(name, str) else None,
            _texts(context.get("roles")),
            _texts(handlers) if isinstance(handlers, list) else None,
        )

    def stop(self) -> None:
        """Close what is open."""
        self._pool.stop()


def _table(value: dict[str, Any], key: str) -> dict[str, Any]:
    table = value.get(key)
    return table if isinstance(table, dict) else {}


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(each for each in value if isinstance(each, str)) if isinstance(value, list) else ()


class _Exchange:
    """One GET, whose answer is collected."""

    def __init__(self, pool: UpstreamPool, head: bytes) -> None:
        self._head = head
        self._connection: UpstreamConnection | None = None
        self._connecting: defer.Deferred[None] | None = None
        self._response: ResponseHead | None = None
        self._body = b""
        self.answer: defer.Deferred[Reply] = defer.Deferred(self._cancelled)
        self._connecting = pool.acquire(self, fresh=True)

    def _cancelled(self, _: object) -> None:
        if self._connection is not None:
            self._connection.abandon()
        elif self._connecting is not None:
            self._connecting.cancel()

    def upstream_connected(self, connection: UpstreamConnection) -> None:
        """Ask."""
        self._connection = connection
        connection.begin(self, b"GET", self._head, complete=True, keep=False)

    def response_begun(self, head: ResponseHead, data: bytes, *, done: bool) -> None:
        """The head of the answer."""
        self._response = head
        self.response_data(data, done=done)

    def response_data(self, data: bytes, *, done: bool) -> None:
        """More of the body; more than anybody would answer here is thrown away."""
        if len(self._body) < _MOST_BODY:
            self._body += data
        head = self._response
        if not done or head is None or self.answer.called:
            return
        self._connection = None
        fields = dict(head.special)
        for line in head.lines.split(b"\r\n"):
            name, _, text = line.partition(b":")
            fields[name.lower()] = text.strip(b" \t")
        value: Any = None
        with suppress(ValueError, RecursionError):
            value = json.loads(self._body)
        self.answer.callback(Reply(head.status, fields, value))

    def upstream_failed(self, error: GateError, *, stale: bool) -> None:  # noqa: ARG002  # never stale: it is fresh
        """CouchDB does not answer."""
        self._connection = None
        if not self.answer.called:
            self.answer.errback(error)

    def upstream_drained(self) -> None:
        """Nothing more is sent."""
