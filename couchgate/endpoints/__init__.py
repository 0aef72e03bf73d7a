"""What the gate answers itself: coroutines from a question to an answer, the same for every face."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from couchgate.core.principal import Principal


class Question(NamedTuple):
    """A request to the gate itself. `principal` is None where no token was asked for."""

    method: bytes
    principal: Principal | None


class Answer(NamedTuple):
    """A JSON answer."""

    status: int
    value: Any

    @property
    def body(self) -> bytes:
        """The value as JSON."""
        return json.dumps(self.value).encode() + b"\n"


Endpoint = Callable[[Question], Awaitable[Answer]]
