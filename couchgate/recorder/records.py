"""The layout of a ring's file, and the kinds of records. Little-endian; nothing here reads or writes.

```
0        the head: magic, sizes, CRC
32       three numbers of the last batch, in the machine's byte order
56       how it ended, one byte
64       JSON that says which process this is
16128    the last BEAT and the last LINKS, each in two copies that are written in turn: none is overtaken
16384    the words: 512 entries of 32 bytes, a length and UTF-8; a record names a word by its index
32768    the ring: records of 64 bytes, the one with the number N in the slot N modulo the slots
```
A record carries its number at its front, and at its end a byte that says how often the ring had begun anew by then.
All but that byte is stored first, in no order that is promised, and then the byte. A process may be ended between any
two instructions; what it has stored by then is in the page cache and stays. So a record whose front fits its slot and
its end is whole, and any other is skipped. Only where the front is still the old one may what stands between be new
already: therefore the OLDEST of a ring that is full, which are overwritten next, do not count. A checksum would cost
as much again as the record. After a power cut the disk has some sectors of now and some of before: a record never
straddles two, so each is still whole, and the gaps show.

A batch of records is copied into the ring, which stores in no order. So its first number is stored as FIRST, its last
one as INTENDED, and after the copy as COMMITTED, by one instruction each; its records have their numbers negative. As
long as the two differ, nothing counts in the batch's slots but what a thread has written there alone.

The head is written last of all: a file without one is a ring in the making, and tells nothing yet.

Every record has the same members, and its kind says what they mean:

| kind | ref | a | b | x | small | word | place | status |
| --- | --- | --- | --- | --- | --- | --- | --- | --- |
| ACCEPTED | | | | | 1: keepalive | | | |
| CLOSED | connection | | | | | | | |
| HEAD | connection | | | | method | | target | |
| DECIDED | connection | | | | method | | target | |
| UPSTREAM | request | | | | | | | |
| STILL | request | body bytes sent | age in ms | | method | | target | status |
| ENDED | request, its HEAD, or 0 | body bytes sent | received | upstream seconds | method | code | target | status |
| BEAT | requests ended | resident bytes | accepted | wall clock | threads | feeds | under way | |
| LINKS | clients connected | upstream opened | upstream reused | upstream connected | | reach | its low bits | |
| OVER | request | | | | | | | |
| KEYS | keys usable | attempts | failures | | | issuer | | |
| RELOADING, STOPPING, STARTED, STOPPED | | | | | | | | |
| RELOADED | | | | | 1: obeyed | | | |
| EXCEPTION | | | | | | type | | |
| EXITED | | | | | | type | | |

A method has FEED added where the request is for a feed. `ref` of a connection is the number of its ACCEPTED, of a
request that of its DECIDED: ACCEPTED and DECIDED are thus ids, too. `upstream seconds` is -1 where CouchDB did not
answer. A word is an index; 0 is a word for which there was no room. The reach of a beat, of 32 bits, is how many
records before the BEAT the oldest of those may be that say what was under way then. OVER: a STILL may have come after
its request had ended, in a thread. Times are of the monotonic clock, in seconds; head and BEAT say what the wall clock
was.
"""

from __future__ import annotations

import struct
from typing import Final

MAGIC: Final = b"CGRING2\n"
HEAD: Final = struct.Struct("<8sHHIIII")  # magic, record's size, zero, slots, JSON's length, JSON's CRC, CRC before it
JSON_AT: Final = 64
END_AT: Final = 56  # one byte: one of the ENDs
BATCHES_AT: Final = 32  # three numbers of eight bytes, in the machine's order
INTENDED: Final = 0  # of the last record of the batch that is being copied into the ring, or was
COMMITTED: Final = 1  # of the last record of the last batch that is there as a whole
FIRST: Final = 2  # of the first record of the batch that is being copied, or was
KEPT_AT: Final = 16128
WORDS_AT: Final = 16384
WORD_BYTES: Final = 32
WORDS: Final = 512
RING_AT: Final = WORDS_AT + WORDS * WORD_BYTES
BATCHES: Final = struct.Struct("=qqq")
RECORD: Final = struct.Struct("<qdQQQdBBHHHB7x")
SMALL: Final = 8  # kind, small, word, place and status are one number: how many bits to the left of the kind each is
WORD: Final = 16
PLACE: Final = 32
STATUS: Final = 48
RECORD_BYTES: Final = 64
END: Final = 56  # where in a record the byte is that makes it whole
ENDS: Final = 127  # one less than the values that it has: 1 to 128, and then 1 again
MOST_HELD: Final = 32  # how far the records that are kept back may reach
OLDEST: Final = 128  # beyond these, more than there are threads at once between a number and the end of its record
LEAST_BYTES: Final = 65536
MOST_BYTES: Final = 1 << 26

STARTED: Final = 1
ACCEPTED: Final = 2
HEAD_SEEN: Final = 3  # written only if the decision is not made at once: DECIDED says the same
DECIDED: Final = 4
UPSTREAM: Final = 5
STILL: Final = 6
ENDED: Final = 7
CLOSED: Final = 8
BEAT: Final = 9
LINKS: Final = 10
KEYS: Final = 11
RELOADING: Final = 12
RELOADED: Final = 13
EXCEPTION: Final = 14
STOPPING: Final = 15
STOPPED: Final = 16
EXITED: Final = 17
OVER: Final = 18
KINDS: Final = range(STARTED, OVER + 1)

FEED: Final = 0x80  # added to a method
METHODS: Final[dict[bytes, int]] = {
    name: index for index, name in enumerate((b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"COPY", b"OPTIONS"), 1)
}

KEPT: Final = (BEAT, LINKS)
KEPT_COPIES: Final = 2
REACH: Final = 16  # how many of a reach's bits are the low ones

END_OPEN: Final = 0  # it runs, or was ended from outside
END_ORDERLY: Final = 1
END_EXITED: Final = 2  # the interpreter ended, and the gate had not been stopped


def slots_of(size: int) -> int:
    """How many records a file of `size` bytes holds."""
    return (size - RING_AT) // RECORD_BYTES
