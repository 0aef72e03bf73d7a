"""What every face does alike with a client: the words of its own answers, and the patience that it has."""

from __future__ import annotations

import os
from http import HTTPStatus
from random import getrandbits
from typing import Final

from couchgate.core.errors import GatewayTimeout

REASONS: Final = {status.value: status.phrase.encode() for status in HTTPStatus}
JSON: Final = b"Content-Type: application/json\r\nCache-Control: no-store\r\n"

HELD: Final = 1 << 20  # bytes of a judged body before CouchDB hears of the request
END_SECONDS: Final = 0.4  # how long a feed may take to reach a place where it can end well: a second in all
DISCARD_BYTES: Final = 1 << 20  # of a request that was answered before its end: read and thrown away
DISCARD_SECONDS: Final = 2.0
HALF_CLOSED_SECONDS: Final = 30.0  # how long a client that has closed its side may wait for its answer, at least
WITHOUT_BODY: Final = frozenset((b"GET", b"HEAD", b"DELETE", b"COPY"))  # others say so if they have none

_RUN: Final = os.urandom(8).hex().encode()


def new_trace() -> bytes:
    """A trace id of the gate's own: half of it is this run's, so that runs never meet."""
    return b"%b%016x" % (_RUN, getrandbits(64))  # it must be unique, and may be guessed


def overdue(
    waited: float, first_byte: float, idle: float, *, begun: bool, asked: bool, stuck: bool
) -> GatewayTimeout | None:
    """What CouchDB has not done in time, while the client has nothing to do but to wait. All times in seconds.

    `begun`: its answer is under way; `asked`: it has the whole request; `stuck`: it takes no more of the body.
    """
    if begun:
        if waited > idle:
            return GatewayTimeout("CouchDB stopped in the middle of its answer.", code="upstream_stalled")
    elif asked:
        if waited > first_byte:
            return GatewayTimeout("CouchDB took the request and did not answer in time.")
    elif stuck and waited > idle:
        return GatewayTimeout("CouchDB does not take the body of the request.", code="upstream_stalled")
    return None
