"""Plain requests by the ten thousand: ahead of each other on kept connections, and one by one on those that close."""

import asyncio

from tests.endurance import reading
from tests.endurance.clients import connect
from tests.endurance.upstream import PLAIN

CONNECTIONS = 12
AHEAD = 20
_LEFT = 50  # connections that close are used for one request in so many


async def plain(requests, gate, tokens):
    """Ask so often; every answer must be that request's own. How many were answered."""
    head = f" HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {tokens.good('plain')}\r\n\r\n"
    numbers = iter(range(PLAIN, PLAIN + requests))
    answered = 0

    async def asked(reader, writer, batch):
        nonlocal answered
        writer.write("".join(f"GET /db/doc?soak={number}{head}" for number in batch).encode())
        for number in batch:
            top = await reading.head(reader)
            body = bytearray()
            await reading.body(reader, top, body.extend)
            assert top.all(b"x-soak") == [b"%d" % number], top
            assert body == b"%d" % number, body
            answered += 1

    async def once(number):
        reader, writer = await connect(gate, "close")
        await asked(reader, writer, [number])
        assert await reader.read(1) == b""
        writer.close()

    async def keep(listener):
        reader, writer = await connect(gate, listener)
        while batch := [number for _, number in zip(range(AHEAD), numbers, strict=False)]:
            closing = [number for number in batch if number % _LEFT == 0]
            await asked(reader, writer, [number for number in batch if number not in closing])
            for number in closing:
                await once(number)
        writer.close()

    async with asyncio.timeout(600):
        await asyncio.gather(*(keep(("keepalive", "keepalive", "tls", "unix")[at % 4]) for at in range(CONNECTIONS)))
    assert answered == requests
    return answered
