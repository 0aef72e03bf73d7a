"""HTTP/1 messages off an asyncio stream, in the one reading that RFC 9112 gives them, and pieces onto one."""

import asyncio
import re
import socket
import struct
from typing import NamedTuple

_FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*(.*?)[ \t]*")
_CHUNK = re.compile(rb"[0-9a-fA-F]{1,8}\r\n")


class Head(NamedTuple):
    """A start line and fields, whose names are in lower case."""

    start: bytes
    fields: tuple

    def all(self, name):
        return [value for key, value in self.fields if key == name]

    def one(self, name):
        """The field's value, or None; a field that comes twice is an error."""
        values = self.all(name)
        assert len(values) <= 1, f"{name} came twice"
        return values[0] if values else None


async def head(stream):
    """The next head. Raises asyncio.IncompleteReadError where the connection ends."""
    start, *lines = (await stream.readuntil(b"\r\n\r\n"))[:-4].split(b"\r\n")
    matches = [_FIELD.fullmatch(line) for line in lines]
    assert all(matches), f"malformed: {lines}"
    return Head(start, tuple((match[1].lower(), match[2]) for match in matches))


async def body(stream, top, take, *, bodiless=False, until_close=False):
    """Give each piece of the body behind the head `top` to `take`. Raises asyncio.IncompleteReadError for a part."""
    length, coding = top.one(b"content-length"), top.one(b"transfer-encoding")
    assert length is None or coding is None, "framed in two ways"
    if bodiless:
        return
    if coding is not None:
        assert coding.lower() == b"chunked", coding
        while size := await _chunk_size(stream):
            await _exactly(stream, size, take)
            assert await stream.readexactly(2) == b"\r\n", "a chunk does not end where it says"
        assert await stream.readexactly(2) == b"\r\n", "trailers"
    elif length is not None:
        await _exactly(stream, int(length), take)
    elif until_close:
        while piece := await stream.read(1 << 16):
            take(piece)


async def _chunk_size(stream):
    line = await stream.readuntil(b"\r\n")
    assert _CHUNK.fullmatch(line), line
    return int(line, 16)


async def _exactly(stream, size, take):
    while size:
        piece = await stream.read(min(size, 1 << 16))
        if not piece:
            raise asyncio.IncompleteReadError(b"", size)
        take(piece)
        size -= len(piece)


async def send(writer, data, pieces, *, stall=0.0, stall_at=0.5):
    """Send `data` in pieces of so many bytes, 400 of them at most; 0 for whole. Rest once for `stall` seconds."""
    size = max(pieces, len(data) // 400 + 1) if pieces else max(len(data), 1)
    rest_at = int(len(data) * stall_at)
    for at in range(0, len(data), size):
        if stall and at <= rest_at < at + size:
            await asyncio.sleep(stall)
        writer.write(data[at : at + size])
        await writer.drain()
        if pieces:
            await asyncio.sleep(0)


def reset(writer):
    """End the connection with RST."""
    sock = writer.get_extra_info("socket")
    if sock is not None and sock.family != socket.AF_UNIX and sock.fileno() >= 0:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
