"""Every seam that a deployment can plug into.

An interface says what duty its provider takes on, who calls it, and who may fail how. Nothing here does anything.
All of it belongs to the reactor's thread.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from zope.interface import Attribute, Interface, implementer

from couchgate.core.keys import KeySet
from couchgate.core.principal import Principal

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred


class IKeySource(Interface):
    """Where the keys of one issuer come from, and who keeps them fresh.

    A source has one owner (a `KeyRing`), which sets `changed`, then calls `start`, `refresh` as often as tokens name
    keys that the set lacks, and `stop` at the end; after `stop` it may be started again. Between `start` and `stop` the
    source renews its keys by itself. Its keys only get better: a file that no longer parses or a server that lies
    leaves the last good set in place and shows in `problem`. A source may drop a set that has become too old.

    A running source can change hands, when the settings are read again and those of the source are the same: the new
    owner sets `changed` and calls `start` without a `stop` before it. So a source asks `changed` anew each time.

    Everything that a source reads is hostile: it bounds the time and the bytes that it spends, and neither a
    delivery nor its failure ever surfaces as an exception.
    """

    description: str = Attribute(
        """What a person calls this source, for logs and readiness: a path, or a URL without its query. No secret."""
    )
    problem: str | None = Attribute(
        """Why the last attempt to load the keys failed, as one sentence without secrets; None when it succeeded."""
    )
    kind: str = Attribute(
        """One word for the kind of source, `[a-z][a-z0-9_]*`: "file", "url", "oidc", or a plugin's. For metrics."""
    )
    loaded_at: float | None = Attribute(
        """When the keys of `current` were loaded, or last found to be the same: unix seconds. None: never."""
    )
    attempts: int = Attribute("""How many times it has tried to load the keys, since it was made.""")
    failures: int = Attribute("""How many of these attempts failed.""")
    changed: Callable[[], None] = Attribute(
        """Called without arguments after each change of what `current` answers. Set by the owner before `start`; it
        does nothing until then, and it must not raise."""
    )

    def current() -> KeySet | None:
        """The last good set, or None while there was none.

        Costs nothing. Answers the identical object until the keys really change, so that an owner may drop what it
        derived from them only when it must.
        """

    def start() -> Deferred[None]:
        """Load the keys for the first time, and keep them fresh from then on.

        The Deferred fires with None when the first attempt is over, well or badly; it never fails. A source that is
        running is left as it is: it loads nothing, and the Deferred fires when a load that is under way is over.
        """

    def refresh(kid: str | None) -> Deferred[None]:  # noqa: N805 - methods of a zope interface have no self
        """A token named the key `kid` (None: it named none), and no key of the set fits.

        Loads the keys anew if that may help. The source decides when: anybody can invent a `kid`, so it holds to a
        cool-down, callers share one load, and it bounds how many of them wait. The Deferred fires with None when there
        is nothing more to wait for; it never fails. Cancelling it gives up the wait, not the load, which is the
        source's own. It is also called while there are no keys at all; then only a load that is under way is worth a
        wait.
        """

    def stop() -> None:
        """End timers, connections and loads at once; those who wait for a load are let go.

        `current` answers as before. A source that is not running is left as it is.
        """


class KeyRequest(NamedTuple):
    """For which keys a source is made: what an `[[issuers]]` table with `keys = "KIND:ARGUMENT"` says of them.

    `argument` is the text after the first colon, perhaps empty. `algorithms` are those that the keys may be used with,
    of one family (all HS, or none). `issuer` is the `iss`. Relative paths in `argument` start at `folder`, which is
    absolute. More fields may follow; take them by name.
    """

    argument: str
    algorithms: frozenset[str]
    issuer: str
    folder: Path


class IKeySourceFactory(Interface):
    """Makes key sources of a kind of its own, so that `keys = "KIND:ARGUMENT"` may stand in the settings.

    It is found by `twisted.plugin`: a package puts a module into `twisted/plugins` (without an `__init__.py` in either
    folder), with an instance that provides this interface and `twisted.plugin.IPlugin`. docs/keys.md has an example.
    """

    kind: str = Attribute("""The word before the colon: `[a-z][a-z0-9_]+`, but not "http" or "https".""")

    def source(request: KeyRequest, reactor: Any) -> IKeySource:  # noqa: N805 - methods of a zope interface have no self
        """A source of the keys that `request` describes, on `reactor` (also its clock), and not started.

        `couchgate check` calls this as well, with a reactor that does nothing, and throws the source away: so it may
        look at files and the environment, and must start, connect and write nothing.

        Raises ValueError if there can be no such source: the text ends a sentence that began with the settings key,
        as in "names the variable KEYS, which is not set". It holds nothing secret.
        """


class IPrincipal(Interface):
    """The avatar that `couchgate.checkers.GateRealm` gives: the person that a valid token names.

    Attributes as in `couchgate.core.principal.Principal`, the only class that provides it. Ask a
    `twisted.cred.portal.Portal` for this interface to get one.
    """

    issuer: str = Attribute("""The `iss` of the token: two people of two issuers are never equal.""")
    name: str = Attribute("""The CouchDB user name, with the issuer's prefix.""")


# The core imports no zope.interface, so the declaration is made here.
implementer(IPrincipal)(Principal)
