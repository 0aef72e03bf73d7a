"""Who waits for a load of keys, and which key ids loads were asked about.

A load was asked about a key id if a token that names it waited when the load began: whatever the server had by then is
in the answer. What came later may be newer than the answer, so it stays for the next load.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from hashlib import blake2b
from typing import NamedTuple

from twisted.internet.defer import Deferred, succeed

MOST = 1024
"""How many tokens wait for one source at a time. Each is a request that is held, with its head."""


class _Asker(NamedTuple):
    kid: str | None
    asks: bool  # for `kid`; False waits for the load alone


class Askers:
    """Those who wait for the loads of one source; `most` of them for a key."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._waiting: dict[Deferred[None], _Asker] = {}
        self._asked: set[bytes | None] = set()

    def __bool__(self) -> bool:
        """Whether anybody waits."""
        return bool(self._waiting)

    def asked(self, kid: str | None) -> bool:
        """Whether a load since the last one that `begin` was told to be the first of a series was asked about `kid`."""
        return _mark(kid) in self._asked

    def join(self, kid: str | None, *, asks: bool = True) -> Deferred[None]:
        """Wait until `settle` lets go; at once if too many do. Cancelling it gives the place free."""
        if asks and len(self._waiting) >= self._most:
            return succeed(None)
        wait: Deferred[None] = Deferred(self._leave)
        self._waiting[wait] = _Asker(kid, asks)
        return wait

    def _leave(self, wait: Deferred[None]) -> None:
        self._waiting.pop(wait, None)

    def begin(self, known: Iterable[str | None], *, first: bool) -> None:
        """A load begins, for all who wait now; `first` forgets what the loads before were asked about.

        `known` are the key ids of the present set: if one is not in the next, that is the server's answer to it.
        """
        if first:
            self._asked.clear()
        self._asked.update(map(_mark, known))
        self._asked.update(_mark(each.kid) for each in self._waiting.values() if each.asks)

    def settle(self, lacks: Callable[[str | None], bool]) -> list[Deferred[None]]:
        """A load has ended: who need not wait any more, to be let go by `let_go`.

        Those stay whose key id no load was asked about and, as `lacks` says, is not there yet.
        """
        staying = {
            wait: each
            for wait, each in self._waiting.items()
            if each.asks and _mark(each.kid) not in self._asked and lacks(each.kid)
        }
        going = [wait for wait in self._waiting if wait not in staying]
        self._waiting = staying
        return going


def let_go(waits: list[Deferred[None]]) -> None:
    """End the waits; who hears of it may cancel others among them."""
    for wait in waits:
        if not wait.called:
            wait.callback(None)


def _mark(kid: str | None) -> bytes | None:
    """Stands for `kid`, which may be as long as a head."""
    return None if kid is None else blake2b(kid.encode("utf-8", "surrogatepass"), digest_size=16).digest()
