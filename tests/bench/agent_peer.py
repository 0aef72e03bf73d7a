"""A gate of Twisted's own parts: a Resource, PyJWT, and Agent with a connection pool, with back-pressure downstream.

Configured by the environment as `fastapi_peer.py` is. Uploads are spooled by `twisted.web` before `render` runs.
"""

import os
from pathlib import Path

import jwt
from twisted.internet import reactor
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.protocol import Protocol
from twisted.python.failure import Failure
from twisted.web.client import Agent, FileBodyProducer, HTTPConnectionPool, PotentialDataLoss, ResponseDone
from twisted.web.http_headers import Headers
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request, Site

KEY = jwt.algorithms.RSAAlgorithm(jwt.algorithms.RSAAlgorithm.SHA256).prepare_key(Path(os.environ["BENCH_PEM"]).read_bytes())
HOP_BY_HOP = {
    b"connection", b"keep-alive", b"te", b"trailer", b"transfer-encoding", b"upgrade", b"host", b"authorization", b"content-length"
}  # fmt: skip


class Down(Protocol):
    """Copies an answer's body to the client, at the client's speed."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.done: Deferred[None] = Deferred()

    def connectionMade(self) -> None:
        self.request.registerProducer(self.transport, True)

    def dataReceived(self, data: bytes) -> None:
        self.request.write(data)

    def connectionLost(self, reason: Failure) -> None:
        self.request.unregisterProducer()
        if reason.check(ResponseDone, PotentialDataLoss):
            self.done.callback(None)
        else:
            self.done.errback(reason)


class Relay(Resource):
    isLeaf = True

    def __init__(self, agent: Agent) -> None:
        super().__init__()
        self.agent = agent

    def render(self, request: Request) -> object:
        scheme, _, token = (request.getHeader(b"authorization") or b"").partition(b" ")
        try:
            if scheme.lower() != b"bearer":
                raise jwt.InvalidTokenError
            jwt.decode(
                token,
                KEY,
                algorithms=["RS256"],
                issuer=os.environ["BENCH_ISSUER"],
                audience=os.environ["BENCH_AUDIENCE"],
                options={"require": ["exp"]},
            )
        except jwt.InvalidTokenError:
            request.setResponseCode(401)
            request.setHeader(b"www-authenticate", b"Bearer")
            request.setHeader(b"content-type", b"application/json")
            return b'{"error":"unauthorized","reason":"no valid token"}\n'
        ensureDeferred(self.relay(request)).addErrback(lambda _: request.transport and request.transport.abortConnection())
        return NOT_DONE_YET

    async def relay(self, request: Request) -> None:
        headers = Headers({name: values for name, values in request.requestHeaders.getAllRawHeaders() if name.lower() not in HOP_BY_HOP})
        body = FileBodyProducer(request.content) if request.method in (b"PUT", b"POST") else None
        answer = await self.agent.request(request.method, os.environ["BENCH_UPSTREAM"].encode() + request.uri, headers, body)
        request.setResponseCode(answer.code)
        for name, values in answer.headers.getAllRawHeaders():
            if name.lower() not in HOP_BY_HOP:
                request.responseHeaders.setRawHeaders(name, values)
        if isinstance(answer.length, int):
            request.setHeader(b"content-length", b"%d" % answer.length)
        down = Down(request)
        answer.deliverBody(down)
        await down.done
        request.finish()


if __name__ == "__main__":
    pool = HTTPConnectionPool(reactor)
    pool.maxPersistentPerHost = 256
    reactor.listenTCP(int(os.environ["BENCH_PORT"]), Site(Relay(Agent(reactor, pool=pool))), interface="127.0.0.1")
    reactor.run()
