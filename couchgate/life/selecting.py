"""How many clients one `select` can wait for, on Windows.

There Twisted's default reactor waits for all its sockets by one `select`, which takes 512 and fails beyond, for
everybody. So fewer clients are let in than that: each has a socket, and its request another one to CouchDB. Listeners
in mode threaded are not bound by it: each of their threads waits for its own two.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from twisted.internet.selectreactor import SelectReactor

from couchgate.core.limits import Limits
from couchgate.settings import Settings
from couchgate.system import MOST_SELECTED

_OTHERS = 112  # idle connections to CouchDB, listeners, key servers


def limits_of(settings: Settings, reactor: Any, most: int | None = MOST_SELECTED) -> Limits:
    """The limits of each listener that the reactor serves; `most` sockets fit into a `select`, None: any number."""
    if most is None or not isinstance(reactor, SelectReactor):
        return settings.limits
    listeners = sum(listener.mode != "threaded" for listener in settings.gate.listeners)
    clients = (most - _OTHERS) // 2 // max(1, listeners)
    return replace(settings.limits, connections=min(settings.limits.connections, clients))


def too_many(settings: Settings, reactor: Any, most: int | None = MOST_SELECTED) -> str | None:
    """A sentence for the operator where fewer clients are let in than the settings say."""
    clients = limits_of(settings, reactor, most).connections
    if clients == settings.limits.connections or all(each.mode == "threaded" for each in settings.gate.listeners):
        return None
    return (
        f"limits.connections is {settings.limits.connections}, but each listener lets in {clients} clients: this "
        f'reactor waits for {most} sockets at most. Mode "threaded" has no such bound; or write {clients}.'
    )
