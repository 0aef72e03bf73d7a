"""Blocks of header lines are taken apart by their shape, and mean what their lines mean one by one."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from couchgate.core.lines import Splitter

LINE = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):([\t\x20-\x7e\x80-\xff]*)")


def special(lower):
    return lower.startswith(b"s")


OFTEN = 3
SPLITTER = Splitter(special, OFTEN)


def parts(splitter, block):
    """What it makes of a block, as a value that can be compared."""
    split = splitter.split(block)
    return None if split is None else (split.lines, split.special)


def one_by_one(block):
    """The same parts, read line by line."""
    first, *lines = block.split(b"\r\n")
    matches = [LINE.fullmatch(line) for line in lines]
    if first or None in matches:
        return None
    return (
        b"".join(b"\r\n" + m[0] for m in matches if not special(m[1].lower())),
        [(m[1].lower(), m[2].strip(b" \t")) for m in matches if special(m[1].lower())],
    )


@pytest.mark.parametrize(
    ("block", "lines", "found"),
    [
        (b"", b"", []),
        (b"\r\nA: b", b"\r\nA: b", []),
        (b"\r\nS:  b \t", b"", [(b"s", b"b")]),
        (b"\r\nSa:1\r\nA:  x \r\nsA:2:3\r\nB:", b"\r\nA:  x \r\nB:", [(b"sa", b"1"), (b"sa", b"2:3")]),
    ],
)
def test_a_block_is_parted_in_order(block, lines, found):
    """Special fields come out with lower-case names and bare values; all other lines stay as they were, in order."""
    for _ in range(OFTEN + 2):
        assert parts(SPLITTER, block) == (lines, found)


@pytest.mark.parametrize(
    "block",
    [
        b"A: b",
        b"x\r\nA: b",
        b"\r\n",
        b"\r\nA",
        b"\r\nA\r\nB: c",
        b"\r\nA: b\r\n",
        b"\r\nA: b\r\n\r\nB: c",
        b"\r\n: b",
        b"\r\nA : b",
        b"\r\n A: b",
        b"\r\nA: b\r\n c",
        b"\r\nA: b\r\n c: d",
        b"\r\nA: b\nS: c",
        b"\r\nA: b\rS: c",
        b"\r\nA: b\x00",
        b"\r\nA: b\x7f",
        b"\r\nA\x80: b",
        b"\nA: b\r",
    ],
)
def test_what_is_no_block_is_none(block):
    """A block of which a line is no field line is None, however often it comes."""
    for _ in range(OFTEN + 2):
        assert SPLITTER.split(block) is None


PIECES = [
    b"\r\n",
    b"\r\n",
    b"S",
    b"a",
    b"A",
    b":",
    b": ",
    b"x",
    b" ",
    b"\t",
    b"\n",
    b"\r",
    b"\0",
    b"\x7f",
    b"\xff",
    b"-",
]
SOUP = st.lists(st.sampled_from(PIECES), max_size=20).map(b"".join)
FIELDS = st.lists(
    st.sampled_from([b"\r\nS: 1", b"\r\nsb:2 ", b"\r\nA: s", b"\r\nb:", b"\r\nB:\tS:", b"\r\nA : b"])
).map(b"".join)


@settings(max_examples=1000)
@given(SOUP | FIELDS | st.binary(max_size=30).map(lambda tail: b"\r\nA: b" + tail))
def test_a_block_means_what_its_lines_mean(block):
    """For any bytes the parts are those that reading line by line gives, with a memory of shapes or without."""
    expected = one_by_one(block)
    assert parts(SPLITTER, block) == expected
    splitter = Splitter(special, OFTEN)
    for _ in range(OFTEN + 2):
        assert parts(splitter, block) == expected


@given(
    FIELDS, FIELDS, st.integers(0, 7), st.sampled_from([b"\0", b"\r", b"\n", b"\x7f", b"\r\n", b"\r\nA", b"\r\n\r\n"])
)
def test_a_known_shape_is_judged_again_each_time(block, other, at, odd):
    """A pattern made for good blocks takes no bad one of the same names, nor one of other names."""
    splitter = Splitter(special, OFTEN)
    for _ in range(OFTEN + 2):
        splitter.split(block)
    bad = block[:at] + odd + block[at:]
    for each in (bad, other, block):
        assert parts(splitter, each) == one_by_one(each)


@pytest.mark.parametrize("names", [[b"S%d" % n for n in range(100)], [b"S" * 5000, b"A" * 5000]])
def test_a_shape_too_large_to_remember_is_read_all_the_same(names):
    """Many or long names are read each time, and not kept."""
    splitter = Splitter(special)
    block = b"".join(b"\r\n" + name + b": x" for name in names)
    for _ in range(2):
        assert parts(splitter, block) == one_by_one(block)
    assert not splitter._shapes
