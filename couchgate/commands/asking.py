"""The network side of the commands: a reactor for a moment, and every key source asked once."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable
from contextlib import suppress
from typing import Any, NamedTuple, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.defer import TimeoutError as DeferredTimeout
from twisted.internet.task import react

from couchgate.commands import CommandError
from couchgate.core.keys import KeySet
from couchgate.facts.sources import key_source
from couchgate.settings import IssuerSettings

Result = TypeVar("Result")
PATIENCE = 20.0
"""How many seconds a key source may take."""


def in_reactor(work: Callable[[Any], Coroutine[Any, Any, Result]]) -> Result:
    """Run `work`, which is given the reactor, to its end. A process can do this once. Raises what `work` raises."""
    done: list[Result] = []
    failed: list[BaseException] = []

    async def attempt(reactor: Any) -> None:
        try:
            done.append(await work(reactor))
        except Exception as error:  # noqa: BLE001  # raised again below, where somebody can catch it
            failed.append(error)

    with suppress(SystemExit):  # the way in which `react` ends
        react(lambda reactor: Deferred.fromCoroutine(attempt(reactor)))
    if failed:
        raise failed[0]
    if not done:
        raise CommandError("interrupted")
    return done[0]


class Loaded(NamedTuple):
    """What one attempt to load an issuer's keys gave: where they come from, the keys or None, and what went wrong.

    `date` is the `Date` of the answer that they came in, if they came from a server.
    """

    source: str
    keys: KeySet | None
    problem: str | None
    date: str = ""


async def load_keys(issuers: Iterable[IssuerSettings], reactor: Any) -> dict[str, Loaded]:
    """The keys of `issuers` by `TokenRules.id`, from the gate's own sources, each asked once. Never fails."""
    return {issuer.rules.id: await _load(issuer, reactor) for issuer in issuers}


async def _load(issuer: IssuerSettings, reactor: Any) -> Loaded:
    dates = [""]
    try:
        source = key_source(issuer, reactor, heard=dates.append)
    except ValueError as error:
        return Loaded(issuer.keys, None, str(error))
    problem = None
    try:
        await source.start().addTimeout(PATIENCE, reactor)
    except DeferredTimeout:
        problem = f"there were no keys within {PATIENCE:g} seconds"
    finally:
        source.stop()
    return Loaded(source.description, source.current(), source.problem or problem, dates[-1])
