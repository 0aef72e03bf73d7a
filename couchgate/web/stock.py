"""Requests that any Resource of `twisted.web` can render on.

The gate's own Resources render on the lean `ClientRequest` (`renders_lean`). When the walk meets any other, that one
and everything below it get a stock `twisted.web.server.Request`, as under a `twisted.web.server.Site`: the body is in
`content` and `args`, sessions work, producers are obeyed, and `notifyFinish` tells of a client that leaves.

- By then `Host` was checked; CORS preflights are answered by the gate, and its CORS lines are on every answer. Whether
  a token is asked for is the Resource's business.
- A body is held in memory: `HELD` bytes at most, else 413, and `HELD_TOGETHER` on one listener, else 503.
- The gate frames the answer for the listener's mode. What a Resource says about framing and CORS is dropped, except
  `Content-Length`; an answer that breaks its own `Content-Length` is cut, so that it does not look whole.
- An exception in `render`, a producer or `processingFailed` is logged and answered 500 in JSON; a GateError is answered
  as the gate's own. Nothing of a traceback is shown to clients.
- A client that closes its sending side has left, as under Twisted's own server.
"""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import IAddress, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.http_headers import Headers
from twisted.web.resource import Resource, getChildForRequest
from twisted.web.server import Request, Site

from couchgate.core.errors import BadRequest, BodyTooLarge, GateError, Unavailable
from couchgate.core.message import CHUNKED, NO_BODY, Framing
from couchgate.web.producing import Producing
from couchgate.web.request import ClientRequest

HELD = 1 << 20  # bytes of one body
HELD_TOGETHER = 64 << 20  # bytes of all bodies of one listener: nobody was asked for a token yet

# What the gate says itself, or what belongs to one connection (RFC 9110 7.6.1).
_DROPPED = frozenset(
    (b"server", b"transfer-encoding", b"keep-alive", b"proxy-connection", b"te", b"trailer", b"upgrade")
)
_BODILESS = frozenset((204, 304))


class StockSite(Site):
    """What stock requests of one listener share: sessions, and the memory that their bodies may take."""

    def __init__(self, clock: IReactorTime) -> None:
        super().__init__(Resource(), reactor=clock)
        self.clock: Any = clock
        self.held = 0

    def getResourceFor(self, request: Any) -> Resource:
        """Walk on from where the lean walk ended."""
        channel: StockChannel = request.gate_channel
        request.site = self
        left = channel.depth
        while left:
            segment = request.postpath.pop(0)
            if segment:  # CouchDB drops empty segments, so the lean walk did
                request.prepath.append(segment)
                left -= 1
        request.sitepath = list(request.prepath)
        found: Resource = getChildForRequest(channel.resource, request)
        if getattr(found, "renders_lean", False):
            raise TypeError(f"{found!r} renders lean, so every Resource above it must")
        return found


class StockRequest(Request):
    """The request of `twisted.web.server`; only a failure is answered otherwise."""

    def __init__(self, channel: StockChannel) -> None:
        self.gate_channel = channel
        super().__init__(channel)

    def processingFailed(self, reason: Failure) -> Failure:
        """Answer 500, or what a GateError says."""
        self.gate_channel.failed(reason)
        return reason


class StockChannel:
    """One stock request, between the gate's request `client` and the Resource.

    It is the client's `BodySink`, and to the stock request what `twisted.web.http.HTTPChannel` is. `resource` is where
    the lean walk ended, `depth` segments below the root.
    """

    log = Logger()
    _left: int | None = None  # bytes that the answer's Content-Length still promises

    def __init__(self, client: ClientRequest, site: StockSite, resource: Resource, depth: int) -> None:
        self.client = client
        self.site = site
        self.resource = resource
        self.depth = depth
        self.transport = self  # resources that cut the connection do it there
        self._size = 0
        self._content = BytesIO()
        self._producing = Producing(site.clock, lambda: client.channel.wire.blocked, self.failed)
        self._request: Any = None  # a StockRequest, whose methods are not typed

    def start(self) -> None:
        """Take the body, then render. Raises BodyTooLarge when it is announced too long."""
        client = self.client
        if client.head.framing.length > HELD:
            raise self._too_large()
        client.code = "own"
        client.endpoint = "resource"
        client.sink = self
        client.channel.read_body(self)

    @staticmethod
    def _too_large() -> BodyTooLarge:
        return BodyTooLarge(f"The body is longer than {HELD} bytes.")

    # -- the client's side (BodySink)

    def body_data(self, data: bytes) -> None:
        """More of the body."""
        size = len(data)
        if self._size + size > HELD:
            self.body_failed(self._too_large())
        elif self.site.held + size > HELD_TOGETHER:
            self.body_failed(Unavailable("The gate holds too many bodies at the moment.", code="bodies"))
        else:
            self._size += size
            self.site.held += size
            self._content.write(data)

    def body_done(self) -> None:
        """The body is complete: render."""
        client = self.client
        head = client.head
        request: Any = StockRequest(self)
        self._request = request
        for name, value in head.fields.pairs:
            request.requestHeaders.addRawHeader(name, value)
        if head.bearer:
            request.requestHeaders.addRawHeader(b"Authorization", b"Bearer " + head.bearer)
        request.parseCookies()
        request.content = self._content
        try:
            # Parses, then renders; whatever rendering raises ends in `processingFailed`.
            request.requestReceived(head.method, head.target, b"HTTP/1.1" if head.version == 11 else b"HTTP/1.0")
        except Exception:  # noqa: BLE001  # Twisted's parsers of query and form say no in many ways
            self._respondToBadRequestAndDisconnect()

    def body_failed(self, error: GateError) -> None:
        """The body is malformed, too long or too slow."""
        self.client_gone()
        self.client.refuse(error)

    def client_drained(self) -> None:
        """The client takes data again."""
        self._producing.resume()

    def time_out(self, error: GateError) -> None:
        """A Resource answers when it will, as under Twisted's own server."""

    def client_gone(self) -> None:
        """The client has left, or has its answer from somebody else: tell the Resource."""
        request = self._request
        self._over()
        if request is not None:
            request.connectionLost(Failure(ConnectionLost()))

    def _over(self) -> None:
        """Let go of everything."""
        self.site.held -= self._size
        self._size = 0
        self._request = None
        self._producing.stop()

    def failed(self, reason: Failure) -> None:
        """The Resource failed."""
        client = self.client
        error = reason.value
        if not client.waits or not isinstance(error, GateError):
            client.fault(reason)  # logs, tells `client_gone`, and answers 500 if the client still waits
            return
        client.sink = None
        self.client_gone()
        client.refuse(error)

    # -- the stock request's side (HTTPChannel)

    def getPeer(self) -> IAddress:
        """The client's address. Its port is not kept."""
        address = self.client.address
        if not address:
            return UNIXAddress(None)
        return _address(address, 0)

    def getHost(self) -> IAddress:
        """The authority that the client asked for, which the gate has checked: URLs that are made of it fit."""
        host = (self.client.head.fields.first(b"host") or b"localhost").decode("ascii")
        name, colon, port = host.rpartition(":")
        if not colon or host.endswith("]"):
            name, port = host, ""
        return _address(name.strip("[]"), int(port[:5] or (443 if self.isSecure() else 80)))

    def isSecure(self) -> bool:
        """Whether the client came by TLS."""
        return self.client.channel.peer.secure

    def writeHeaders(self, version: bytes, code: bytes, reason: bytes, headers: Headers) -> None:  # noqa: ARG002
        """Begin the answer; the version is the listener's, not the stock request's."""
        client = self.client
        status = int(code)
        if not 200 <= status <= 599:
            self.log.error("A Resource answered with status {status}, which ends no exchange", status=status)
            status, reason = 500, b"Internal Server Error"
        if self._request is not None:
            self._request.chunked = 0  # it had decided to frame the answer itself
        lines = b""
        lengths: Sequence[bytes] = ()
        for name, values in headers.getAllRawHeaders():
            lower = name.lower()
            if lower == b"content-length":
                lengths = values
            elif lower == b"connection":
                if any(b"close" in value.lower() for value in values):
                    client.keep = False
            elif lower not in _DROPPED and not lower.startswith(b"access-control-"):
                lines += b"".join(b"\r\n%b: %b" % (name, value) for value in values)
        framing, length_line = self._frame(status, lengths)
        going = client.begin(status, b" ".join(reason.split()), lines + length_line, framing, b"", done=False)
        if not going:
            self._producing.pause()

    def _frame(self, status: int, lengths: Sequence[bytes]) -> tuple[Framing, bytes]:
        """How the answer is framed, and the length that a bodiless answer tells all the same."""
        told = len(lengths) == 1 and lengths[0].isdigit()
        if status in _BODILESS:
            return NO_BODY, b""  # the length that Twisted writes there is that of nothing
        if self.client.head.method == b"HEAD":
            return NO_BODY, b"\r\nContent-Length: %b" % lengths[0] if told else b""
        if not told:
            return CHUNKED, b""
        self._left = int(lengths[0])
        return Framing("length", self._left), b""

    def write(self, data: bytes) -> None:
        """Send part of the body."""
        if self._left is not None:
            self._left -= len(data)
            if self._left < 0:
                self._cut()
                return
        if not self.client.send(data, done=False):
            self._producing.pause()

    def writeSequence(self, pieces: list[bytes]) -> None:
        """Send part of the body."""
        self.write(b"".join(pieces))

    def requestDone(self, request: StockRequest) -> None:  # noqa: ARG002  # Twisted's signature
        """The Resource has finished."""
        if self._left:
            self._cut()
            return
        self._over()
        self.client.send(b"", done=True)

    def _cut(self) -> None:
        self.log.error("A Resource's answer is not as long as its Content-Length says; it is cut")
        self.loseConnection()

    def loseConnection(self) -> None:
        """Cut the client's connection: the Resource gives up."""
        self.client.channel.abort()

    abortConnection = loseConnection  # the transport's name for it

    def _respondToBadRequestAndDisconnect(self) -> None:
        """The form or query cannot be parsed (called by the stock request, too)."""
        self.failed(Failure(BadRequest("The query or the form in the body cannot be read.", code="form")))

    # -- producers

    def registerProducer(self, producer: Any, streaming: bool) -> None:  # noqa: FBT001  # Twisted's signature
        """`producer` writes as long as the client takes data."""
        self._producing.register(producer, streaming=streaming)

    def unregisterProducer(self) -> None:
        """The producer is done."""
        self._producing.unregister()


def _address(host: str, port: int) -> IAddress:
    kind = IPv6Address if ":" in host else IPv4Address
    return kind("TCP", host, port)
