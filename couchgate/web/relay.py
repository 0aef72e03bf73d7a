"""One forwarded request: the client's body up, CouchDB's answer down, with back-pressure both ways.

Nothing is written to CouchDB before the decision. A body that must be judged (`Forward.judge`) is first held up to
`HELD` bytes; a longer one streams while it is judged, always less its last piece: CouchDB acts on the whole body
only, so the rest is sent when the judgement is complete, or never.

A feed ends when the admission expires (`end`): at a place where PouchDB takes up again, or else cut.
"""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING

from twisted.internet import defer

from couchgate.core.body import BodyJudge, check_encoding
from couchgate.core.errors import GateError, TooManyRequests
from couchgate.core.message import CHUNKED, NO_BODY, ResponseHead
from couchgate.core.rewrite import SANDBOX, toward_client
from couchgate.core.verdict import Forward
from couchgate.http1.chunked import LAST_CHUNK, encode_chunk
from couchgate.http1.manners import END_SECONDS, HELD, JSON, WITHOUT_BODY
from couchgate.web.couchdb import Pool, Upstream
from couchgate.web.request import ClientRequest

if TYPE_CHECKING:
    from couchgate.web.site import Site

_REPEATABLE = frozenset((b"GET", b"HEAD"))


class Relay:
    """A request that was decided, on its way. It is the request's `BodySink` and CouchDB's `Exchange`."""

    _held: list[bytes] = []  # noqa: RUF012  # stays empty: a relay that judges has its own
    _size = 0  # bytes held
    _answering = False
    _tried = False
    _over = False
    _end_by = 0.0

    def __init__(self, request: ClientRequest, forward: Forward, site: Site, pool: Pool) -> None:
        self._connection: Upstream | None = None
        self._connecting: defer.Deferred[None] | None = None
        self._judge: BodyJudge | None = None
        self._request = request
        self._forward = forward
        self.principal = forward.principal
        self.expires = forward.expires  # when the admission ends, in seconds since the epoch
        self._site = site
        self._pool = pool
        self._framing = framing = request.head.framing
        self._follower = forward.follower
        self._complete = framing is NO_BODY  # whether the client's body is known to its end
        self._asked_at = perf_counter()

    def start(self) -> None:
        """Begin. Raises GateError while nothing was done yet."""
        request = self._request
        if self._follower is not None and not self._site.add_feed(self, request, self._follower):
            raise TooManyRequests("This person has too many feeds open.", code="feeds")
        request.sink = self
        if self._forward.judge and not self._complete:
            check_encoding(request.head.fields)
            self._judge = BodyJudge()
            self._held = []
            request.channel.read_body(self)
        else:
            self._connect()

    # -- toward CouchDB

    def _connect(self, *, fresh: bool = False) -> None:
        self._connecting = None
        waiting = self._pool.acquire(self, fresh=fresh or not self._site.keepalive)
        if self._connection is None and not self._over:
            self._connecting = waiting

    def upstream_connected(self, connection: Upstream) -> None:
        """CouchDB can be written to."""
        self._connecting = None
        if self._over:
            connection.abandon()
            return
        self._connection = connection
        request, framing = self._request, self._framing
        if self._site.recorder is not None and not self._site.keepalive:
            self._site.recorder.upstream(request.record)
        lines = b""
        if framing is NO_BODY:
            if request.head.method not in WITHOUT_BODY:
                lines = b"Content-Length: 0\r\n"
        elif framing is CHUNKED:
            lines = b"Transfer-Encoding: chunked\r\n"
        else:
            lines = b"Content-Length: %d\r\n" % framing.length
        keep = self._site.keepalive and not (framing is not NO_BODY and self._ends_early())
        if not keep:
            lines += b"Connection: close\r\n"
        head = b"%b%b\r\n" % (self._forward.head, lines)
        if self._judge is not None:
            head += self._take_held()
        if not connection.begin(self, request.head.method, head, complete=self._complete, keep=keep):
            request.channel.pause()
        else:
            request.channel.resume()
        if not self._complete and self._judge is None:
            request.channel.read_body(self)

    def _ends_early(self) -> bool:
        """Whether CouchDB may leave a part of this body unread and take it for the next request.

        It reads a multipart body up to its last boundary only (couch_doc, mochiweb_multipart), and no body at all
        with some methods. On a kept connection the rest would be a request that nobody decided.
        """
        head = self._request.head
        # The word anywhere: CouchDB also finds it behind semicolons, and in the last of several fields.
        kinds = head.fields.all(b"content-type")
        return head.method in WITHOUT_BODY or any(b"multipart" in kind.lower() for kind in kinds)

    def _take_held(self) -> bytes:
        """What of the held body may go up now: all of it once it is complete, else all but its last piece."""
        held = self._held
        last = [] if self._complete else held[-1:]
        data = b"".join(held[: len(held) - len(last)])
        self._held = last
        self._size = 0
        if self._framing is not CHUNKED:
            return data
        return (encode_chunk(data) if data else b"") + (LAST_CHUNK if self._complete else b"")

    def body_data(self, data: bytes) -> None:
        """Body bytes from the client."""
        connection = self._connection
        if self._judge is not None:
            try:
                self._judge.feed(data)
            except GateError as error:
                self.body_failed(error)
                return
            self._held.append(data)
            self._size += len(data)
            if connection is None:
                if self._size > HELD and self._connecting is None:
                    self._request.channel.pause()
                    self._connect()
                return
            data = self._take_held()
        elif self._framing is CHUNKED:
            data = encode_chunk(data)
        if connection is not None and not connection.send(data):
            self._request.channel.pause()

    def body_done(self) -> None:
        """The client's body is complete."""
        if self._judge is not None:
            try:
                self._judge.finish()
            except GateError as error:
                self.body_failed(error)
                return
        self._complete = True
        if self._connection is not None:
            self._connection.send(self._take_held(), complete=True)
        elif self._connecting is None:
            self._connect()

    def body_failed(self, error: GateError) -> None:
        """The body is malformed, too long, too slow or not allowed: CouchDB never sees its end."""
        self._end_upstream()
        self._request.refuse(error)

    def upstream_drained(self) -> None:
        """CouchDB takes data again."""
        self._request.channel.resume()

    # -- toward the client

    def response_begun(self, head: ResponseHead, data: bytes, *, done: bool) -> None:
        """CouchDB answers."""
        request, forward = self._request, self._forward
        self._answering = True
        request.upstream_seconds = perf_counter() - self._asked_at
        lines = toward_client(head)
        framing = head.framing
        if framing is NO_BODY:
            length = head.special_value(b"content-length") if request.head.method == b"HEAD" else None
            if length is not None:
                lines += b"\r\nContent-Length: %b" % length
        if forward.target.attachment is not None:
            lines += SANDBOX
        if self._follower is not None:
            if head.status != 200 or framing.kind == "length" or head.special_value(b"content-encoding"):
                self._unfollow()
            else:
                self._follower.feed(data)
        if not self._complete:
            request.keep = False  # an answer before the end of the body: the rest is not wanted
        if done:
            self._over = True
            self._connection = None
            if self._follower is not None:
                self._unfollow()
        going = request.begin(head.status, head.reason, lines, framing, data, done=done)
        if not going and not done and self._connection is not None:
            self._connection.pause()
        elif self._end_by:
            self._try_end()

    def response_data(self, data: bytes, *, done: bool) -> None:
        """More of CouchDB's answer."""
        if self._follower is not None:
            self._follower.feed(data)
        if done:
            self._finish()
        going = self._request.send(data, done=done)
        if done:
            return
        if not going and self._connection is not None:
            self._connection.pause()
        if self._end_by:
            self._try_end()

    def client_drained(self) -> None:
        """The client takes data again."""
        if self._connection is not None:
            self._connection.resume()
        if self._end_by and self._answering:
            self._try_end()

    def upstream_failed(self, error: GateError, *, stale: bool) -> None:
        """CouchDB's part ended too early."""
        self._connection = self._connecting = None
        if self._over:
            return
        request = self._request
        if stale and not self._tried and self._framing is NO_BODY and request.head.method in _REPEATABLE:
            self._tried = True
            self._connect(fresh=True)
            return
        self._finish()
        request.refuse(error)

    def client_gone(self) -> None:
        """The client has left: CouchDB need not go on."""
        self._end_upstream()

    def time_out(self, error: GateError) -> None:
        """CouchDB stands still. A feed may, once asked for: without news CouchDB sends not even a head."""
        if self._follower is not None and self._complete:
            return
        self._end_upstream()
        self._request.refuse(error)

    # -- the end

    def _finish(self) -> None:
        """Nothing more will come from CouchDB."""
        self._over = True
        self._connection = None
        self._unfollow()

    def _unfollow(self) -> None:
        if self._follower is not None:
            self._follower = None
            self._site.remove_feed(self)

    def _end_upstream(self) -> None:
        connection, connecting = self._connection, self._connecting
        self._connecting = None
        self._finish()
        if connection is not None:
            connection.abandon()
        if connecting is not None:
            connecting.cancel()

    # -- feeds

    def end(self) -> None:
        """The admission has expired, or the gate shuts down: end the feed."""
        if self._end_by or self._follower is None:
            return
        self._end_by = self._site.tick + END_SECONDS
        self._try_end()

    def sweep(self, now: float) -> None:
        """Cut a feed that found no good place to end."""
        if self._end_by and self._follower is not None and now >= self._end_by:
            self._cut()

    def _try_end(self) -> None:
        follower, request = self._follower, self._request
        if follower is None:
            return
        if not self._answering:
            if (body := follower.empty_answer()) is None:
                self._cut()
                return
            self._end_upstream()
            request.code = "feed_ended"
            request.respond(200, JSON, body)
            return
        ending = follower.ending()
        if ending is not None:
            self._end_upstream()
            request.code = "feed_ended"
            request.send(ending, done=True)
        elif follower.hopeless:
            self._cut()

    def make_room(self) -> None:
        """Another request of its page may wait for this connection: end the feed now, if it waits and can end well."""
        if self._follower is not None and self._answering and self._follower.waits:
            self._try_end()

    def _cut(self) -> None:
        self._request.code = "feed_cut"
        self._end_upstream()
        self._request.channel.abort()
