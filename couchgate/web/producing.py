"""Who writes an answer piece by piece: a producer of Twisted (IPushProducer, IPullProducer), obeyed and held back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure


class Producing:
    """The place of one producer at a time.

    `blocked()` says whether the client takes nothing now; `failed(reason)` hears of a producer's own fault.
    """

    log = Logger()
    _producer: Any = None
    _streaming = False
    _paused = False
    _pulling: Any = None

    def __init__(self, clock: IReactorTime, blocked: Callable[[], bool], failed: Callable[[Failure], None]) -> None:
        self._clock: Any = clock
        self._blocked = blocked
        self._failed = failed

    def register(self, producer: Any, *, streaming: bool) -> None:
        """`producer` writes as long as the client takes data. Raises RuntimeError if there is one already."""
        if self._producer is not None:
            raise RuntimeError("there is a producer already")
        self._producer = producer
        self._streaming = streaming
        self._paused = False
        if not streaming:
            self._pull_soon()
        elif self._blocked():
            self.pause()

    def unregister(self) -> None:
        """The producer is done."""
        self._producer = None
        self._stop_pulling()

    def pause(self) -> None:
        """The client takes nothing now. A pull producer is just not asked."""
        if self._producer is not None and self._streaming:
            self._paused = True
            self._producer.pauseProducing()

    def resume(self) -> None:
        """The client takes data again."""
        if self._producer is None:
            return
        if not self._streaming:
            self._pull_soon()
            return
        if not self._paused:
            return  # some producers cannot bear to be told to go on
        self._paused = False
        try:
            self._producer.resumeProducing()
        except Exception:  # noqa: BLE001  # whatever a producer raises is its fault
            self._failed(Failure())

    def stop(self) -> None:
        """Nothing more is wanted."""
        producer = self._producer
        self.unregister()
        try:
            if producer is not None:
                producer.stopProducing()
        except Exception:  # noqa: BLE001  # as above; nobody is left to answer
            self.log.failure("A producer failed as its client left")

    def _pull_soon(self) -> None:
        """Ask a pull producer in another turn of the reactor, so that one fast client does not stop the others."""
        if self._pulling is None:
            self._pulling = self._clock.callLater(0, self._pull)

    def _stop_pulling(self) -> None:
        pulling, self._pulling = self._pulling, None
        if pulling is not None:
            pulling.cancel()

    def _pull(self) -> None:
        self._pulling = None
        try:
            self._producer.resumeProducing()
        except Exception:  # noqa: BLE001  # as above
            self._failed(Failure())
            return
        if self._producer is not None and not self._blocked():
            self._pull_soon()
