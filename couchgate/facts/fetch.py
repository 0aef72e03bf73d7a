"""One GET of a small document from a server that is not trusted.

- The whole exchange has one time limit, and its body one size limit, counted as the bytes come: what
  `Content-Length` promises is not believed. (An endless head is `couchgate.facts.bounded`'s to end.)
- No redirect is followed: it would let the first server choose the second. No content coding is accepted: a few
  bytes of gzip can be gigabytes. No cookie lives longer than the exchange, and no connection either.
- Whatever goes wrong is one `FetchFailed` with one sentence.
"""

from __future__ import annotations

import re
from typing import NamedTuple, NoReturn

from treq.client import HTTPClient
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone
from twisted.web.http import PotentialDataLoss
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IBodyProducer, IResponse
from zope.interface import implementer

_MAX_AGE = re.compile(r'(?:^|[,\s])max-age\s*=\s*"?(\d{1,10})(?!\d)', re.IGNORECASE)
_SECONDS = re.compile(r"\d{1,10}")
_UNCACHED = re.compile(r"(?:^|[,\s])no-(?:store|cache)\b", re.IGNORECASE)


class FetchFailed(Exception):
    """Why there is no document: one sentence for a person, without anything secret."""


class Document(NamedTuple):
    """What the server sent: the body, and for how many seconds it calls it fresh (None: it did not say).

    `date` is its `Date` field as it came, empty if there was none.
    """

    body: bytes
    fresh: int | None
    date: str = ""


def fetch(agent: IAgent, url: str, clock: IReactorTime, *, max_bytes: int, seconds: float) -> Deferred[Document]:
    """GET `url` through `agent`, taking `max_bytes` of body and `seconds` at most.

    Fails with FetchFailed, or with CancelledError if it was cancelled, which ends the connection at once.
    """

    def too_late(result: Document | Failure, _seconds: float) -> Document | Failure:
        if isinstance(result, Failure):
            return Failure(FetchFailed(f"the server gave no whole answer within {seconds:g} seconds"))
        return result

    exchange = Deferred.fromCoroutine(_exchange(agent, url, max_bytes))
    return exchange.addTimeout(seconds, clock, onTimeoutCancel=too_late)


async def _exchange(agent: IAgent, url: str, max_bytes: int) -> Document:
    try:
        # A client of its own for each exchange: treq keeps cookies in the client.
        response = await HTTPClient(_PlainAgent(agent)).request(
            "GET", url, headers=Headers({"Accept": ["application/json"]}), allow_redirects=False, unbuffered=True
        )
        if 300 <= response.code < 400:
            _dismiss(response, f"the server answered with a redirect ({response.code}), which is not followed")
        if response.code != 200:
            _dismiss(response, f"the server answered with status {response.code}")
        body = await _body(response, max_bytes)
    except (CancelledError, FetchFailed):
        raise
    except Exception as error:
        # Name resolution, TLS, HTTP and the URL library each raise their own kinds.
        raise FetchFailed(f"the server gave no answer that can be read: {_sentence(error)}") from error
    return Document(body, _fresh(response.headers), response.headers.getRawHeaders("date", ("",))[0])


def _dismiss(response: IResponse, sentence: str) -> NoReturn:
    """Drop the connection of a response whose body nobody wants, and say why."""
    # A response whose body is never delivered would hold its connection, paused, for ever.
    response.deliverBody(_Dismissal())
    raise FetchFailed(sentence)


def _body(response: IResponse, max_bytes: int) -> Deferred[bytes]:
    """The body, if it is whole and not too long. Cancelling the Deferred drops the connection."""
    done: Deferred[bytes] = Deferred(lambda _: collector.drop())
    collector = _Body(done, max_bytes)
    response.deliverBody(collector)
    return done


class _Dismissal(Protocol):
    """Wants no body at all."""

    def connectionMade(self) -> None:
        if self.transport is not None:
            self.transport.loseConnection()


class _Body(Protocol):
    """Collects a body of `limit` bytes at most."""

    def __init__(self, done: Deferred[bytes], limit: int) -> None:
        self._done: Deferred[bytes] | None = done
        self._limit = limit
        self._parts: list[bytes] = []
        self._size = 0

    def dataReceived(self, data: bytes) -> None:
        self._size += len(data)
        if self._size <= self._limit:
            self._parts.append(data)
        elif self._done is not None:
            done = self._done
            self.drop()
            done.errback(FetchFailed(f"the server's answer is longer than {self._limit} bytes"))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._done is None:
            return
        done, self._done = self._done, None
        # PotentialDataLoss: the body ended with the connection. Half a JSON document does not parse.
        if reason.check(ResponseDone, PotentialDataLoss):
            done.callback(b"".join(self._parts))
        else:
            done.errback(reason)

    def drop(self) -> None:
        """Close the connection; nobody hears of this body any more."""
        self._done = None
        if self.transport is not None:
            self.transport.loseConnection()


def _fresh(headers: Headers) -> int | None:
    """For how long a cache may keep the answer, in seconds (RFC 9111 4.2.1), or None. The server's word, unbounded."""
    control = ",".join(headers.getRawHeaders("cache-control", ()))
    if _UNCACHED.search(control):
        return 0
    ages = [int(age) for age in _MAX_AGE.findall(control)]
    if not ages:
        return None
    # What a cache on the way has used up already.
    spent = headers.getRawHeaders("age", ("0",))[0]
    return max(0, min(ages) - (int(spent) if _SECONDS.fullmatch(spent) else 0))


def _sentence(error: BaseException) -> str:
    """What went wrong, in a line of print; the server may have had a hand in the words."""
    reasons = getattr(error, "reasons", None)
    if reasons:
        # Twisted's HTTP client wraps the reason; the last one is nearest to the wire.
        return _sentence(reasons[-1].value)
    words = "".join(c for c in str(error) if c.isprintable())[:200].rstrip(". ")
    return f"{words} ({type(error).__name__})" if words else type(error).__name__


@implementer(IAgent)
class _PlainAgent:
    """Asks for an answer without content coding, and takes no other.

    treq's client decodes gzip a whole chunk at a time, so a limit on the decoded bytes would come too late.
    """

    def __init__(self, agent: IAgent) -> None:
        self._agent = agent

    def request(
        self, method: bytes, uri: bytes, headers: Headers | None = None, bodyProducer: IBodyProducer | None = None
    ) -> Deferred[IResponse]:
        plain = Headers() if headers is None else headers.copy()
        plain.setRawHeaders(b"Accept-Encoding", [b"identity"])
        return self._agent.request(method, uri, plain, bodyProducer).addCallback(self._answered)

    @staticmethod
    def _answered(response: IResponse) -> IResponse:
        coding = b",".join(response.headers.getRawHeaders(b"content-encoding", ())).strip().lower()
        if coding not in (b"", b"identity"):
            _dismiss(response, "the server's answer has a content coding, which it was asked not to use")
        return response
