"""The chunked coding: its grammar, its limits, and that it does not matter how it is cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from couchgate.core.errors import BadRequest
from couchgate.http1.chunked import LAST_CHUNK, MAX_LINE, MAX_TRAILERS, ChunkedReader, encode_chunk


def read(*pieces):
    """Body, whether it is complete, and what follows."""
    reader = ChunkedReader()
    body = rest = b""
    for piece in pieces:
        if reader.done:
            rest += piece
        else:
            body += reader.feed(piece)
            rest += reader.rest
    return body, reader.done, rest


def bytewise(data):
    return read(*(data[i : i + 1] for i in range(len(data))))


def refused(data):
    """The code with which `data` is refused, whole and byte by byte."""
    codes = set()
    for how in (read, bytewise):
        with pytest.raises(BadRequest) as caught:
            how(data)
        codes.add(caught.value.code)
    (code,) = codes
    return code


GOOD = [
    (b"0\r\n\r\n", b""),
    (b"000000000000000\r\n\r\n", b""),
    (b"3\r\nabc\r\n0\r\n\r\n", b"abc"),
    (b"0003\r\nabc\r\nA\r\n\r\n\r\n\r\n0123\r\n0\r\n\r\n", b"abc\r\n\r\n\r\n0123"),
    (b"a;x=y\r\n0123456789\r\n0;z\r\n\r\n", b"0123456789"),
    (b'1 \t;x="\xff"\r\na\r\n0\t\r\n\r\n', b"a"),
    (b"1\r\na\r\n0\r\nDigest: x\r\nY:\r\n\r\n", b"a"),
]


@pytest.mark.parametrize(("wire", "body"), GOOD)
def test_a_body_is_the_same_however_it_is_cut(wire, body):
    """Every cut into two, and into single bytes, gives the same body and the same rest."""
    data = wire + b"GET"
    assert read(data) == (body, True, b"GET")
    assert bytewise(data) == (body, True, b"GET")
    for cut in range(len(data) + 1):
        assert read(data[:cut], data[cut:]) == (body, True, b"GET")
        if cut < len(wire):
            assert read(data[:cut])[1:] == (False, b"")


@pytest.mark.parametrize(
    "wire",
    [
        b"\r\n",
        b"x\r\n",
        b"-1\r\n",
        b"+1\r\na\r\n",
        b"0x1\r\na\r\n",
        b" 1\r\na\r\n",
        b"1_0\r\n",
        b"1 1\r\na\r\n",
        b"1\na\r\n",
        b"1\ra\r\n",
        b"1\r\nab\r\n",
        b"1\r\na\n",
        b"1\r\na\rb",
        b"1\r\na0\r\n\r\n",
        b"1000000000000000\r\n",
        b"1;\x00\r\n",
        b"1;\x7f\r\n",
        b"0\r\n\n",
        b"0\r\nX\r\n\r\n",
        b"0\r\nX : y\r\n\r\n",
        b"0\r\n folded\r\n\r\n",
        b"0\r\nX: \x00\r\n\r\n",
    ],
)
def test_what_is_malformed_is_refused(wire):
    """A size, a chunk's end, a line's end or a trailer field that could be read otherwise is 400."""
    assert refused(wire) in {"chunk_malformed", "field_malformed"}


def test_the_limit_of_a_size_line_is_exact():
    """A size line of just the limit is read, however it is cut; a byte more is refused."""
    line = b"1;" + b"x" * (MAX_LINE - 2)
    wire = line + b"\r\na\r\n" + LAST_CHUNK
    assert read(wire) == bytewise(wire) == (b"a", True, b"")
    assert refused(b"1;" + b"x" * (MAX_LINE - 1) + b"\r\n") == "chunk_malformed"


def test_the_limit_of_a_trailer_line_is_exact():
    """A trailer line of just the limit is read, however it is cut; a byte more is refused."""
    wire = b"0\r\nX:" + b"x" * (MAX_LINE - 2) + b"\r\n\r\n"
    assert read(wire) == bytewise(wire) == (b"", True, b"")
    assert refused(b"0\r\nX:" + b"x" * (MAX_LINE - 1) + b"\r\n\r\n") == "chunk_malformed"


def test_the_limit_of_all_trailers_is_exact():
    """Trailer lines of just the limit together are read; a byte more is refused."""
    size = MAX_LINE // 2
    lines = (b"X:" + b"x" * (size - 2) + b"\r\n") * (MAX_TRAILERS // size)
    assert read(b"0\r\n" + lines + b"\r\n") == (b"", True, b"")
    with pytest.raises(BadRequest) as caught:
        read(b"0\r\nX" + lines + b"\r\n")
    assert caught.value.code == "trailers_too_long"


def test_a_line_without_an_end_is_refused_early():
    """Nobody collects a line that is longer than the limit."""
    with pytest.raises(BadRequest):
        read(b"0\r\nX:" + b"x" * MAX_LINE)


def test_the_largest_size_is_waited_for():
    """Fifteen digits are a size; its bytes are passed on as they come."""
    assert read(b"f" * 15 + b"\r\n", b"abc", b"def") == (b"abcdef", False, b"")


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=6), st.data())
def test_what_the_gate_encodes_is_read_back(chunks, data):
    """Chunks as the gate writes them are read as what they were made of, cut anywhere."""
    wire = b"".join(map(encode_chunk, chunks)) + LAST_CHUNK
    cuts = sorted(data.draw(st.lists(st.integers(0, len(wire)), max_size=8)))
    pieces = [wire[i:j] for i, j in zip([0, *cuts], [*cuts, len(wire)], strict=True)]
    assert read(*pieces) == (b"".join(chunks), True, b"")
