"""Clients that cut, stall and crumble what they send, and believe no answer that is not theirs, whole and exact."""

import asyncio
import json
from collections import Counter
from random import Random

from couchgate.http1.manners import HELD
from tests.endurance import reading
from tests.endurance.plans import BEFORE, WITHIN, plan
from tests.endurance.upstream import feed_pieces

LISTENERS = ("keepalive", "close", "tls", "unix")
PATIENCE = 240.0  # seconds until a session that nobody ends is a failure, on a busy machine too
GONE = (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError)


class Left(Exception):
    """The client has cut the connection itself."""


class Wrong(AssertionError):
    """An answer that must not have been given."""


async def connect(gate, listener):
    """A connection to that listener: reader and writer."""
    if listener == "unix":
        return await asyncio.open_unix_connection(gate.unix)
    if listener == "tls":
        return await asyncio.open_connection("127.0.0.1", gate.ports[2], ssl=gate.tls)
    return await asyncio.open_connection("127.0.0.1", gate.ports[listener == "close"])


class Tokens:
    """The tokens of the soak: a person's good one lives long, so that it returns."""

    def __init__(self, minter, stranger):
        self._minter, self._stranger = minter, stranger
        self._good = {}

    def lines(self, one):
        """The authorization lines of a request."""
        if one.token == "none":
            return []
        if one.token == "garbage":
            token = f"a.{one.number}.c"
        elif one.token == "forged":
            token = self._stranger.token(one.user)
        elif one.token == "expired":
            token = self._minter.token(one.user, expires_in=-10)
        elif one.lives < 600:
            token = self._minter.token(one.user, expires_in=one.lives)
        else:
            token = self.good(one.user)
        return [f"Authorization: Bearer {token}"] * (2 if one.token == "twice" else 1)

    def good(self, user):
        """A token that outlives the soak."""
        if user not in self._good:
            self._good[user] = self._minter.token(user, expires_in=36_000)
        return self._good[user]


def request_bytes(one, tokens):
    """What the client sends."""
    lines = [f"{one.method} {one.target} HTTP/1.1", "Host: localhost", *tokens.lines(one)]
    lines.append(f"traceparent: 00-{trace_of(one)}-{one.number + 1:016x}-01")
    body = one.body()
    if one.framing == "length":
        lines.append(f"Content-Length: {len(body)}")
    elif one.framing == "chunked":
        lines.append("Transfer-Encoding: chunked")
        size = max(1, len(body) // 3)
        body = b"".join(b"%x\r\n%b\r\n" % (len(p), p) for p in (body[i : i + size] for i in range(0, len(body), size)))
        body += b"0\r\n\r\n"
    if one.judged:
        lines.append("Content-Type: application/json")
    if one.expects:
        lines.append("Expect: 100-continue")
    return "\r\n".join([*lines, "", ""]).encode() + body


def trace_of(one):
    """The id of its trace, by which it is found in the gate's log."""
    return f"{one.number + 1:032x}"


def check(one, top, body, *, reloaded=False):
    """Whether this whole answer may be given to that request; what kind of answer it is. Raises Wrong.

    `reloaded`: the gate's settings change meanwhile, so any feed may end.
    """
    status = int(top.start.split(b" ")[1])
    if top.one(b"x-request-id") != trace_of(one).encode() and one.verdict not in (
        400,
        431,
    ):  # those are not read so far
        raise Wrong(f"the answer to {top.one(b'x-request-id')}")
    echoed = top.all(b"x-soak")
    if not echoed:
        if one.method != "HEAD" and status >= 400 and set(json.loads(body)) != {"error", "reason"}:
            raise Wrong(f"a refusal in another form: {body!r}")
        if one.verdict:
            allowed = {one.verdict, 401} if one.lives < 600 else {one.verdict}
            if one.designs and one.size > HELD:
                allowed |= {502, 503}  # CouchDB is asked before the whole body is judged
            if status not in allowed:
                raise Wrong(f"{status} instead of {one.verdict}")
            return "refused" if status >= 400 else "own"
        if one.feed and (one.stays or reloaded) and status == 200:
            return _ended_feed(one, body, reloaded=reloaded)
        if one.lives < 600 and status == 401:
            return "expired"
        if status not in (502, 503):
            raise Wrong(f"{status} {body!r}")
        return "failed" if one.answer.fault in BEFORE + WITHIN and not one.feed else "lost"
    if echoed != [b"%d" % one.number]:
        raise Wrong(f"the answer to {echoed}")
    if one.verdict:
        raise Wrong("answered, though not allowed")
    if one.feed:
        return _ended_feed(one, body, reloaded=reloaded)
    if one.answer.fault in BEFORE:
        raise Wrong("answered, though CouchDB did not")
    if status != one.answer.status or body != one.answer_body():
        raise Wrong(f"{status} with {len(body)} bytes instead of {one.answer.status} with {len(one.answer_body())}")
    if one.answer.fault in WITHIN and body:
        raise Wrong("an answer that broke off looks whole")
    return "whole"


def _ended_feed(one, body, *, reloaded):
    """A feed that came to an end: all of it, or an ending that the gate made for one that was still open."""
    if not one.stays:
        if body == b"".join(feed_pieces(one)):
            return "whole"
        if not reloaded:
            raise Wrong(f"another feed: {body!r}")
    elif one.lives >= 600 and not reloaded:
        raise Wrong("a feed ended that should stay")
    if one.feed == "longpoll":
        answer = json.loads(body)
        seqs = [item["seq"] for item in answer["results"]]
        if seqs != list(range(8, 8 + len(seqs))) or str(answer["last_seq"]) != str(7 + len(seqs)):
            raise Wrong(f"a feed that loses changes: {body!r}")
        if b"".join(body.split(b"\n],\n")[:1]).strip() not in b"".join(feed_pieces(one)):
            raise Wrong(f"other rows: {body!r}")
    else:
        rows = [line for line in body.split(b"\n") if line]
        sent = [line for line in b"".join(feed_pieces(one)).split(b"\n") if line]
        if rows != sent[: len(rows)] or (body and not body.endswith(b"\n")):
            raise Wrong(f"other rows: {body!r}")
    return "feed ended"


class Session:
    """One connection and the requests on it, one behind the other, some of them sent ahead."""

    def __init__(self, seed, first, count, gate, tokens, couch):
        random = Random(f"{seed}/session/{first}")
        self.listener = random.choice(LISTENERS)
        keepalive = self.listener != "close"
        self.all = [plan(seed, number, keepalive=keepalive) for number in range(first, first + count)]
        self.plans = self.all if keepalive else self.all[:1]  # the others stay unsent
        self.outcomes = Counter()
        self.begun = 0  # requests of which the first byte at least was to be sent
        self._gate, self._tokens = gate, tokens
        self._ahead = random.random() < 0.4
        self._pieces = random.choice((0, 0, 1, 3, 200, 10_000))
        self._stall = random.choice((0, 0, 0, 0.01, 0.05))
        self._rest_at = random.random()
        self._cut = random.choice(("", "", "request", "answer", "answer", "half"))
        self._cut_at = random.random()
        self._how = random.choice((reading.reset, lambda writer: writer.close()))
        self._seconds = random.choice((0.1, 0.4))
        for one in self.plans:
            couch.plans[one.number] = one

    async def run(self):
        """Play it. Raises Wrong, with what was wrong and for whom."""
        try:
            reader, writer = await connect(self._gate, self.listener)
        except OSError as error:
            raise Wrong(f"no connection: {error!r}") from error
        try:
            async with asyncio.timeout(PATIENCE):
                await self._play(reader, writer)
        except Left:
            self.outcomes["left"] += 1
        except TimeoutError:
            raise Wrong(f"{self.listener}: nothing ended this session: {self._sent()}") from None
        finally:
            writer.close()

    def _sent(self):
        return f"requests {self.plans[0].number} to {self.plans[-1].number} on {self.listener}"

    async def _play(self, reader, writer):
        groups = [self.plans] if self._ahead else [[one] for one in self.plans]
        for group in groups:
            data = b"".join(request_bytes(one, self._tokens) for one in group)
            last = group is groups[-1]
            self.begun += len(group)
            sending = asyncio.ensure_future(self._send(writer, data, last=last))
            try:
                for index, one in enumerate(group):
                    if not await self._answer(one, group[index:], reader, writer, last=last):
                        return
            finally:
                sending.cancel()
                await asyncio.gather(sending, return_exceptions=True)
            if self._cut == "half" and last:
                return

    async def _send(self, writer, data, *, last):
        cut = self._cut if last else ""
        stop = int(self._cut_at * len(data)) if cut == "request" else len(data)
        try:
            await reading.send(writer, data[:stop], self._pieces, stall=self._stall, stall_at=self._rest_at)
            if cut == "half" and writer.can_write_eof():
                writer.write_eof()
        except (OSError, RuntimeError):
            return  # the gate has closed: its answer tells why
        if cut == "request":
            self._cut = "done"
            self._how(writer)

    async def _answer(self, one, ahead, reader, writer, *, last):
        """Read the answer to `one`; whether the connection goes on. `ahead`: it and those sent behind it.

        Raises Wrong, Left.
        """
        leaving = None
        if one.stays and one.lives >= 600:
            leaving = asyncio.get_running_loop().call_later(self._seconds, self._leave, writer)
        body = bytearray()
        most = int(self._cut_at * (one.answer.size + 200)) if last and self._cut == "answer" else 1 << 40

        def take(piece):
            body.extend(piece)
            if len(body) > most:
                self._leave(writer)

        try:
            return await self._whole(one, reader, take, body)
        except GONE as error:
            if self._cut == "done":
                raise Left from None
            if isinstance(error, ConnectionError) or reader.at_eof():
                self._broken(one, ahead)
                return False
            raise Wrong(f"request {one}: {error!r}") from error
        except (AssertionError, ValueError, KeyError) as error:
            raise Wrong(f"{self.listener}: request {one}: {error}") from error
        finally:
            if leaving is not None:
                leaving.cancel()

    def _leave(self, writer):
        self._cut = "done"
        self._how(writer)

    async def _whole(self, one, reader, take, body):
        top = await reading.head(reader)
        while top.start.split(b" ")[1] == b"100":
            assert one.expects, "100 for nobody"
            top = await reading.head(reader)
        status = top.start.split(b" ")[1]
        ends = top.one(b"connection") == b"close"
        bodiless = one.method == "HEAD" or status in (b"204", b"304")
        await reading.body(reader, top, take, bodiless=bodiless, until_close=ends)
        if self._cut == "done":
            raise Left
        self.outcomes[check(one, top, bytes(body), reloaded=self._gate.reloads > 0)] += 1
        if ends and not bodiless:
            rest = await reader.read(1)
            assert rest == b"", "something behind the last answer"
        return not ends

    def _broken(self, one, ahead):
        """The gate has ended the connection within or before an answer: whether it had a reason.

        A reset for one that was sent ahead also destroys what the client has not read yet.
        """
        if self._cut != "half" and not any(self._may_break(other) for other in ahead):
            raise Wrong(f"{self.listener}: no answer to {one}")
        self.outcomes["broken"] += 1

    def _may_break(self, one):
        """Whether the connection may end in place of an answer to this request."""
        fault = one.answer.fault in WITHIN or (one.answer.fault and one.answer.framing == "close")
        cut = one.stays or (one.feed and self._gate.reloads)
        return bool(fault or one.answer.early or cut or one.verdict)
