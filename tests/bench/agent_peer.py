"""A gate of Twisted's own parts: a Resource, PyJWT, and Agent with a connection pool, with back-pressure downstream.

Configured by the environment as `fastapi_peer.py` is. Uploads are spooled by `twisted.web` before `render` runs.
"""

import os
from pathlib import Path
from typing import cast

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from twisted.internet import reactor  # noqa: TID251 - a program of its own, not part of couchgate
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import Agent, FileBodyProducer, HTTPConnectionPool, ResponseDone
from twisted.web.http import PotentialDataLoss
from twisted.web.http_headers import Headers
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request, Site

KEY = cast("RSAPublicKey", load_pem_public_key(Path(os.environ["BENCH_PEM"]).read_bytes()))
HOP_BY_HOP = {
    *(b"connection", b"keep-alive", b"te", b"trailer", b"transfer-encoding", b"upgrade"),
    *(b"host", b"authorization", b"content-length"),
}


class Down(Protocol):
    """Copies an answer's body to the client, at the client's speed."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.done: Deferred[None] = Deferred()

    def connectionMade(self) -> None:
        self.request.registerProducer(self.transport, streaming=True)

    def dataReceived(self, data: bytes) -> None:
        self.request.write(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.request.unregisterProducer()
        if reason.check(ResponseDone, PotentialDataLoss):
            self.done.callback(None)
        else:
            self.done.errback(reason)


def abort(_: Failure, request: Request) -> None:
    request.channel.forceAbortClient()


class Relay(Resource):
    isLeaf = True

    def __init__(self, agent: Agent) -> None:
        super().__init__()
        self.agent = agent

    def render(self, request: Request) -> object:
        scheme, _, token = (request.getHeader(b"authorization") or b"").partition(b" ")
        try:
            jwt.decode(
                token if scheme.lower() == b"bearer" else b"",
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
        ensureDeferred(self.relay(request)).addErrback(abort, request)
        return NOT_DONE_YET

    async def relay(self, request: Request) -> None:
        headers = Headers(
            {
                name: values
                for name, values in request.requestHeaders.getAllRawHeaders()
                if name.lower() not in HOP_BY_HOP
            }
        )
        body = FileBodyProducer(request.content) if request.method in (b"PUT", b"POST") else None
        answer = await self.agent.request(
            request.method, os.environ["BENCH_UPSTREAM"].encode() + request.uri, headers, body
        )
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
