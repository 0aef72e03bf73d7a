"""A CouchDB that misbehaves as it was planned, and holds the gate to its first promise: nothing comes undecided."""

import asyncio
import hmac
import re

from tests.endurance import reading
from tests.endurance.gate import SECRET
from tests.endurance.plans import BEFORE

_NUMBER = re.compile(rb"[?&]soak=(\d+)")
PLAIN = 10**9  # numbers from here on are plain requests, which have no plan
HEARTBEAT = 0.05  # seconds between the newlines of a feed that stays open
HEARTBEATS = 400


def row(plan, seq):
    """A row of the feed that `plan` asks for."""
    return b'{"seq":%d,"id":"doc-%d-%d","changes":[{"rev":"1-x"}]}' % (seq, plan.number, seq)


def feed_pieces(plan):
    """The pieces of a feed's body as CouchDB sends them; without its ending if it stays."""
    seqs = range(8, 8 + plan.rows)
    if plan.feed == "longpoll":
        pieces = [b'{"results":[\n', *(b",\r\n" * (seq > 8) + row(plan, seq) for seq in seqs)]
        ending = b'\n],\n"last_seq":%d,"pending":0}\n' % (7 + plan.rows)
    elif plan.feed == "continuous":
        pieces = [row(plan, seq) + b"\n" for seq in seqs]
        ending = b'{"last_seq":%d,"pending":0}\n' % (7 + plan.rows)
    else:
        pieces = [b"data: %b\nid: %d\n\n" % (row(plan, seq), seq) for seq in seqs]
        ending = b"event: heartbeat\ndata: \n\n"
    return pieces if plan.stays else [*pieces, ending]


class Couch:
    """The listening side. `plans` are those of the requests that were sent; `wrong` is what must not have been."""

    def __init__(self, plans, wrong):
        self.plans = plans
        self.wrong = wrong
        self.seen = {}
        self.spoiled = 0  # connections that were left in a state which may cost the next request an answer
        self.open = 0
        self._server = None

    async def start(self):
        """Listen; the URL."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, backlog=1024)
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def close(self):
        self._server.close()

    async def _serve(self, reader, writer):
        self.open += 1
        try:
            while await self._exchange(reader, writer):
                pass
        except (OSError, asyncio.IncompleteReadError):
            pass  # the gate has let go of it
        except Exception as error:  # noqa: BLE001 - told at the end
            self.wrong.append(f"upstream: {error!r}")
        finally:
            self.open -= 1
            writer.close()

    async def _exchange(self, reader, writer):
        """One request and its answer; whether the connection goes on."""
        top = await reading.head(reader)
        match = _NUMBER.search(top.start)
        number = int(match[1]) if match else -1
        if number >= PLAIN:
            assert top.one(b"x-auth-couchdb-username") == b"plain", top
            writer.write(b"HTTP/1.1 200 OK\r\nX-Soak: %d\r\nContent-Length: 10\r\n\r\n%d" % (number, number))
            return top.one(b"connection") != b"close"
        plan = self.plans.get(number)
        problem = self._problem(plan, top)
        if problem:
            self.wrong.append(f"upstream: request {number}: {problem}: {top}")
            return False
        self.seen[number] = self.seen.get(number, 0) + 1
        if self.seen[number] > (2 if plan.method in ("GET", "HEAD") else 1):
            self.wrong.append(f"upstream: request {number} came {self.seen[number]} times")
        if plan.answer.early:
            await self._answer(plan, writer)
        whole = plan.body()
        got = bytearray()
        await reading.body(reader, top, got.extend)
        if plan.verdict or got != whole:
            self.wrong.append(
                f"upstream: request {number} has a whole body of {len(got)} bytes, sent were {len(whole)}"
            )
        if plan.answer.early:
            return False
        if plan.feed:
            return await self._feed(plan, writer)
        goes_on = await self._answer(plan, writer)
        return goes_on and top.one(b"connection") != b"close"

    @staticmethod
    def _problem(plan, top):
        """What is wrong with a request's head, or None."""
        if plan is None or (plan.verdict and not plan.designs):
            return "it was never allowed"
        if top.start != f"{plan.method} {plan.target} HTTP/1.1".encode():
            return "its first line is not what was sent"
        name = plan.user.encode()
        if top.all(b"x-auth-couchdb-username") != [name]:
            return "it bears another name"
        if top.all(b"x-auth-couchdb-token") != [hmac.digest(SECRET.encode(), name, "sha256").hex().encode()]:
            return "it was not introduced by the gate"
        if top.all(b"authorization") or len(top.all(b"host")) != 1:
            return "it has the client's own fields"
        return None

    async def _answer(self, plan, writer):
        """Answer, well or badly; whether the connection goes on."""
        answer = plan.answer
        head, body = self._bytes(plan)
        fault = answer.fault
        if fault in BEFORE:
            return await self._no_answer(fault, head, writer, answer)
        cut = len(body)
        if fault in ("cut_fin", "cut_rst", "bad_chunk") and body:
            cut = int(answer.at * (len(body) - 6))
        after = b""
        if fault == "surplus":
            self.spoiled += 1
            after = b"HTTP/1.1 200 OK\r\nX-Soak: 0\r\nContent-Length: 5\r\n\r\nwrong"
        if after and len(body) < 20_000:
            writer.write(head + body + after)  # at once: behind the next request it would be its answer
        else:
            await reading.send(writer, head + body[:cut], answer.pieces, stall=answer.stall, stall_at=answer.at)
        if cut < len(body):
            if fault == "bad_chunk":
                writer.write(b"zz\r\n" * 3)  # neither a size nor the end of one's data
            await writer.drain()
            if fault == "cut_rst":
                await asyncio.sleep(0.01)
                reading.reset(writer)
            return False
        goes_on = answer.framing != "close" and fault in ("", "surplus")
        if not goes_on:
            self.spoiled += 1
        return goes_on

    @staticmethod
    def _bytes(plan):
        answer = plan.answer
        said = plan.said()
        head = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" * answer.interims
        head += b"HTTP/1.1 %d Planned\r\nX-Soak: %d\r\nServer: CouchDB\r\n" % (answer.status, plan.number)
        if answer.framing == "chunked":
            head += b"Transfer-Encoding: chunked\r\n\r\n"
            body = b"".join(
                b"%x\r\n%b\r\n" % (len(p), p) for p in (said[i : i + 3000] for i in range(0, len(said), 3000))
            )
            body += b"0\r\n\r\n"
        else:
            head += b"Content-Length: %d\r\n\r\n" % len(said) if answer.framing == "length" else b"\r\n"
            body = said
        return head, body if plan.method != "HEAD" and answer.status not in (204, 304) else b""

    async def _no_answer(self, fault, head, writer, answer):
        if fault == "garbage":
            await reading.send(writer, b"\0\xff garbage \r\n\r\n" * 20, answer.pieces)
        elif fault == "mid_head":
            await reading.send(writer, head[: max(1, int(answer.at * (len(head) - 4)))], answer.pieces)
        elif fault == "interims":
            await reading.send(writer, b"HTTP/1.1 100 Continue\r\n\r\n" * 9, answer.pieces)
        elif fault == "switch":
            writer.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n")
        elif fault == "two_lengths":
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nwrong!")
        elif fault == "rst":
            reading.reset(writer)
        return False

    async def _feed(self, plan, writer):
        """A feed; if it stays, heartbeats until the gate lets go of it."""
        writer.write(b"HTTP/1.1 200 OK\r\nX-Soak: %d\r\nTransfer-Encoding: chunked\r\n\r\n" % plan.number)
        for piece in feed_pieces(plan):
            await reading.send(writer, b"%x\r\n%b\r\n" % (len(piece), piece), plan.answer.pieces)
        if not plan.stays:
            writer.write(b"0\r\n\r\n")
            return True
        for _ in range(HEARTBEATS):
            await asyncio.sleep(HEARTBEAT)
            writer.write(b"1\r\n\n\r\n")
            await writer.drain()
        reading.reset(writer)
        return False
