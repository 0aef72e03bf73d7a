"""One forwarded request on two blocking sockets: the client's body up, CouchDB's answer down, with back-pressure.

As `couchgate.web.relay`, which says why: nothing is written to CouchDB before the decision, and of a judged body never
the last piece before the judgement. The thread waits for the two sockets of this request together, so that each end
hears of the other's at once; nothing is read from one side while the other has not taken what came before.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from couchgate.core.body import BodyJudge, check_encoding
from couchgate.core.errors import BodyTooLarge, RequestTimeout, TooManyRequests
from couchgate.core.message import CHUNKED, NO_BODY, ResponseHead
from couchgate.core.rewrite import SANDBOX, toward_client
from couchgate.core.turns import Place
from couchgate.core.verdict import Forward
from couchgate.http1.chunked import LAST_CHUNK, encode_chunk
from couchgate.http1.manners import END_SECONDS, HALF_CLOSED_SECONDS, HELD, JSON, WITHOUT_BODY, overdue
from couchgate.http1.requests import BodyReader
from couchgate.threaded.client import Client, ClientGone
from couchgate.threaded.parts import Present, Sock, Upstream
from couchgate.threaded.request import ThreadedRequest
from couchgate.threaded.waiting import TICK, wait

if TYPE_CHECKING:
    from couchgate.threaded.face import ThreadedFace


class Relay:
    """A request that was decided, on its way. `body` reads what the client sends of it, None: nothing."""

    def __init__(
        self,
        client: Client,
        request: ThreadedRequest,
        forward: Forward,
        body: BodyReader | None,
        present: Present,
        face: ThreadedFace,
    ) -> None:
        self._client = client
        self.request = request
        self._forward = forward
        self._body = body
        self._present = present
        self._face = face
        self._upstream: Upstream | None = None
        self._follower = forward.follower
        self._chunked = request.head.framing is CHUNKED
        self._complete = body is None  # whether the client's body is known to its end
        self._judge: BodyJudge | None = None
        self._held: list[bytes] = []
        self._size = 0  # bytes held
        self._since = self._asked_at = time.monotonic()
        self._end_by = 0.0
        self._place: Place | None = None  # a feed's
        self._over = False
        self.principal = forward.principal
        self.expires = forward.expires  # when the admission ends, in seconds since the epoch
        self.ending = False  # whether another thread wants this feed to end

    def run(self) -> None:
        """To the end of the answer; what of it the client has not taken is left in it. Raises GateError, ClientGone."""
        if self._follower is not None:
            self._place = self._face.add_feed(self, self._follower)
            if self._place is None:
                raise TooManyRequests("This person has too many feeds open.", code="feeds")
        try:
            if self._forward.judge and not self._complete:
                check_encoding(self.request.head.fields)
                self._judge = BodyJudge()
            else:
                self._connect()
            while not self._over:
                self._step()
        finally:
            self._unfollow()
            if self._upstream is not None:
                self._upstream.close()

    def _step(self) -> None:
        """Wait for what can be done next, and do it."""
        client, upstream = self._client, self._upstream
        reads_body = not self._complete and (upstream is None or (upstream.connected and not upstream.unsent))
        if reads_body and client.buffer:
            data, client.buffer = client.buffer, b""
            self._feed(data)
            return
        reading: list[Sock] = []
        writing: list[Sock] = []
        watches = not client.half_closed and self._complete and len(client.buffer) <= self._present.limits.head_bytes
        if reads_body or watches:
            reading.append(client.sock)
        if client.unsent:
            writing.append(client.sock)
        if upstream is not None:
            if not upstream.connected:
                awaited = upstream.awaited()
                reading += awaited[0]
                writing += awaited[1]
            else:
                if upstream.unsent:
                    writing.append(upstream.sock)
                if not client.unsent:
                    reading.append(upstream.sock)
        readable, writable = wait(reading, writing, TICK)
        if self._face.cutting:
            raise ClientGone
        if client.sock in writable and client.unsent:
            self._progress()
            client.flush()
        if upstream is not None:
            self._serve_upstream(upstream, readable, writable)
        if client.sock in readable and not self._over:
            self._read_up(reads_body=reads_body)
        if not self._over:
            self._look()

    def _serve_upstream(self, upstream: Upstream, readable: set[Sock], writable: set[Sock]) -> None:
        if not upstream.connected:
            upstream.go_on(readable | writable)
            if upstream.connected:
                self._progress()
                if self._face.recorder is not None:
                    self._face.recorder.upstream(self.request.record)
            return
        if upstream.sock in writable:
            before = len(upstream.unsent)
            upstream.flush()
            if len(upstream.unsent) != before:
                self._progress()
        if upstream.sock in readable and not self._client.unsent:
            self._read_down(upstream)

    def _progress(self) -> None:
        self._since = time.monotonic()

    # -- toward CouchDB

    def _connect(self) -> None:
        request = self.request
        upstream = self._upstream = self._present.connect(request.head.method)
        framing = request.head.framing
        lines = b""
        if framing is NO_BODY:
            if request.head.method not in WITHOUT_BODY:
                lines = b"Content-Length: 0\r\n"
        elif framing is CHUNKED:
            lines = b"Transfer-Encoding: chunked\r\n"
        else:
            lines = b"Content-Length: %d\r\n" % framing.length
        upstream.send(b"%b%bConnection: close\r\n\r\n%b" % (self._forward.head, lines, self._take_held()))

    def _take_held(self) -> bytes:
        """What of the held body may go up now: all of it once it is complete, else all but its last piece."""
        held = self._held
        last = [] if self._complete or self._judge is None else held[-1:]
        data = b"".join(held[: len(held) - len(last)])
        self._held = last
        self._size = 0
        if not self._chunked:
            return data
        return (encode_chunk(data) if data else b"") + (LAST_CHUNK if self._complete else b"")

    def _read_up(self, *, reads_body: bool) -> None:
        """The client sends, or has closed its side."""
        client = self._client
        data = client.receive()
        if data is None:
            return
        if not data:
            if not self._complete or self._follower is not None or client.secure:
                raise ClientGone  # a cut body is never whole, a feed has no end to wait for, TLS has no half of an end
        elif reads_body:
            self._feed(data)
        else:
            client.buffer += data

    def _feed(self, data: bytes) -> None:
        """Body bytes from the client. Raises GateError."""
        body, most = self._body, self._present.limits.body_bytes
        assert body is not None  # noqa: S101  # for the type checker: it is not complete
        self._progress()
        piece = body.feed(data)
        self._client.buffer = body.rest
        if body.size > most:
            raise BodyTooLarge(f"The body is longer than {most} bytes.")
        self.request.received = body.size
        if piece:
            if self._judge is not None:
                self._judge.feed(piece)
            self._held.append(piece)
            self._size += len(piece)
        if body.done:
            if self._judge is not None:
                self._judge.finish()
            self._complete = True
        if self._upstream is not None:
            self._upstream.send(self._take_held())
        elif self._complete or self._size > HELD:
            self._connect()

    # -- toward the client

    def _read_down(self, upstream: Upstream) -> None:
        began = upstream.head is None
        data = upstream.receive()
        if data is None:
            return
        self._progress()
        head, done = upstream.head, upstream.done
        if head is None:
            return
        out = self._begin(head, done=done) if began else b""
        if self._follower is not None:
            self._follower.feed(data)
        self.request.sent += len(data)
        if out or data:
            self._client.send(out + data)
        self._over = done

    def _begin(self, head: ResponseHead, *, done: bool) -> bytes:
        request = self.request
        request.upstream_seconds = time.monotonic() - self._asked_at
        lines = toward_client(head)
        if head.framing is NO_BODY:
            length = head.special_value(b"content-length") if request.head.method == b"HEAD" else None
            if length is not None:
                lines += b"\r\nContent-Length: %b" % length
        if self._forward.target.attachment is not None:
            lines += SANDBOX
        if head.status != 200 or head.framing.kind == "length" or head.special_value(b"content-encoding") or done:
            self._unfollow()
        return request.begin(head.status, head.reason, lines, head.framing)

    # -- time

    def _look(self) -> None:
        """Time has passed. Raises GateError, ClientGone."""
        client, limits, request, upstream = self._client, self._present.limits, self.request, self._upstream
        if self._follower is not None and (self._end_by or self.ending or self._face.wall() >= self.expires):
            self._end_feed()
            return
        if self._makes_room() and self._end_well():
            return
        waited = time.monotonic() - self._since
        if upstream is not None and not upstream.connected:
            return  # it has a time of its own for that
        if client.unsent or (client.half_closed and waited > HALF_CLOSED_SECONDS):
            if waited > limits.idle_seconds:
                raise ClientGone
        elif not self._complete and (upstream is None or not upstream.unsent):
            if waited > limits.idle_seconds:
                raise RequestTimeout("The body of the request did not come in time.")
        elif self._follower is None or not self._complete:
            present = self._present
            error = overdue(
                waited,
                present.first_byte_seconds,
                present.upstream_idle_seconds,
                begun=request.status != 0,
                asked=self._complete,
                stuck=True,
            )
            if error is not None:
                raise error

    # -- feeds

    def _makes_room(self) -> bool:
        """Whether its turn is over and it still waits."""
        follower, place = self._follower, self._place
        over = place is not None and time.monotonic() - self._asked_at >= place.seconds
        return over and follower is not None and follower.waits

    def _unfollow(self) -> None:
        if self._place is not None:
            self._face.remove_feed(self, self._place)
        self._follower = self._place = None

    def _end_feed(self) -> None:
        """The admission has expired, or the gate shuts down. Raises ClientGone where the feed cannot end well."""
        follower, request, client = self._follower, self.request, self._client
        assert follower is not None  # noqa: S101  # for the type checker: it is a feed
        now = time.monotonic()
        if not self._end_by:
            self._end_by = now + END_SECONDS
        begun = request.status != 0
        body = None if begun else follower.empty_answer()
        if body is not None:
            request.code = "feed_ended"
            client.send(request.whole(200, JSON, body))
            self._over = True
        elif self._end_well():
            return
        elif not begun or follower.hopeless or now >= self._end_by:
            request.code = "feed_cut"
            raise ClientGone

    def _end_well(self) -> bool:
        """End the feed here, if its answer has begun and can end well."""
        request, follower = self.request, self._follower
        ending = follower.ending() if follower is not None and request.status else None
        if ending is None:
            return False
        request.code = "feed_ended"
        request.sent += len(ending)
        self._client.send(ending)
        self._over = True
        return True
