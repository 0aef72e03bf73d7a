"""The values in which a face asks the gate and the gate answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Protocol

from couchgate.core.credential import BasicCredential
from couchgate.core.feed import FeedFollower
from couchgate.core.keys import KeySet
from couchgate.core.policy import Rule
from couchgate.core.principal import Principal
from couchgate.core.target import Target


class Facts(Protocol):
    """What a face knows now. `keysets`: by `TokenRules.id`, a new mapping whenever one of them changes."""

    @property
    def keysets(self) -> Mapping[str, KeySet]:
        """The usable key sets."""


class Screen(NamedTuple):
    """What is known of a request before anybody looks at its token.

    `lines`: the header lines for every answer. `close`: the client asks to close the connection after it.
    """

    lines: bytes
    preflight: bool
    close: bool


class Admission:
    """A person whose token is valid, or whose feeds may live, until `expires` (seconds since the epoch).

    The rest is the gate's: what it worked out for this person, so that the next request need not.
    """

    __slots__ = ("expires", "introduced", "introduced_until", "principal", "ruled")

    def __init__(self, principal: Principal, expires: float) -> None:
        self.principal = principal
        self.expires = expires
        self.introduced = b""
        self.introduced_until = 0.0
        self.ruled: dict[str, Rule] | None = None  # by database, of the last few that were asked for and allowed


class NeedKeys(NamedTuple):
    """Refresh the key set of `rules_id`, which lacks `kid`, once, and ask again with `asked`."""

    rules_id: str
    kid: str | None


class NeedVerdict(NamedTuple):
    """Nothing is known of the token yet: let the gate `learn` it, with others if there are any, and ask again."""


class NeedPrincipal(NamedTuple):
    """Ask the checkers once whose name and password this is, and ask again with that `person`."""

    credential: BasicCredential


class Forward:
    """Relay the request.

    `head`: start line and fields toward CouchDB, without framing. `judge`: the body must be judged for design
    documents. `follower`: the answer is a feed that ends when the admission expires.
    """

    __slots__ = ("expires", "follower", "head", "judge", "principal", "target")

    def __init__(
        self,
        head: bytes,
        principal: Principal,
        target: Target,
        expires: float,
        judge: bool,  # noqa: FBT001  # one of six values that are given in order
        follower: FeedFollower | None,
    ) -> None:
        self.head = head
        self.principal = principal
        self.target = target
        self.expires = expires
        self.judge = judge
        self.follower = follower
