"""What the gate answers itself: coroutines from a question to an answer, the same for every face."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from couchgate.core.errors import MethodNotAllowed
from couchgate.core.principal import Principal


class Question(NamedTuple):
    """A request to the gate itself. `principal` is None where no token was asked for; `query` is raw, without `?`."""

    method: bytes
    principal: Principal | None
    query: bytes = b""


class Answer(NamedTuple):
    """A JSON answer."""

    status: int
    value: Any

    @property
    def content_type(self) -> bytes:
        """As in HTTP."""
        return b"application/json"

    @property
    def body(self) -> bytes:
        """The value as JSON."""
        return json.dumps(self.value).encode() + b"\n"


class Text(NamedTuple):
    """An answer in a form of its own."""

    status: int
    content_type: bytes
    body: bytes


def only_reading(question: Question) -> None:
    """Raises MethodNotAllowed, unless it is GET or HEAD."""
    if question.method not in (b"GET", b"HEAD"):
        raise MethodNotAllowed("This page can only be read.", headers=((b"Allow", b"GET, HEAD"),))


Endpoint = Callable[[Question], Awaitable[Answer | Text]]
