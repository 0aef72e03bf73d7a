"""The values of requests and decisions, compared and changed in tests."""

from typing import NamedTuple

from couchgate.core.message import RequestHead


class Told(NamedTuple):
    """What a `Forward` says; `follower`: whether there is one."""

    head: bytes
    principal: object
    target: object
    expires: float
    judge: bool
    follower: bool


def told(forward):
    """`forward` as a value that can be compared."""
    return Told(
        forward.head, forward.principal, forward.target, forward.expires, forward.judge, forward.follower is not None
    )


PARTS = ("method", "target", "version", "fields", "framing", "bearer")  # a compiled class has no `__slots__`


def changed(head, **parts):
    """The request head `head` with other `parts`."""
    return RequestHead(**{name: getattr(head, name) for name in PARTS} | parts)
