"""Keys of an issuer that says itself where they are: OpenID Connect Discovery 1.0.

- The configuration is at `ISSUER/.well-known/openid-configuration` (4); a slash at the issuer's end is removed first.
- Its `issuer` must be the configured one, letter by letter (4.3): else anybody's configuration would do.
- Its `jwks_uri` must be a URL that keys may come from, and https if the configuration came by https.
- What it said is remembered for an hour to a day, as `Cache-Control` says. It is asked again at once when the keys are
  not there any more, so that an issuer may move them.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.web.iweb import IAgent

from couchgate.core.strict import json_object
from couchgate.facts.fetch import Document, FetchFailed, fetch
from couchgate.facts.jwks import MAX_BYTES, SECONDS, JwksUrl, checked_address

_WELL_KNOWN = "/.well-known/openid-configuration"
_MIN_KNOWN = 3600.0
_MAX_KNOWN = 86400.0
_SHOWN = 200


class DiscoveredJwks:
    """The JWK set of `issuer`, found and asked for through `agent`; each GET within `max_bytes` and `seconds`.

    Raises ValueError with one sentence if the issuer has no URL that keys may come from.
    """

    kind = "oidc"

    def __init__(
        self, issuer: str, agent: IAgent, clock: IReactorTime, *, max_bytes: int = MAX_BYTES, seconds: float = SECONDS
    ) -> None:
        if "?" in issuer or "#" in issuer:
            raise ValueError("the issuer must be a URL without query and fragment")
        self._url = issuer.removesuffix("/") + _WELL_KNOWN
        self.description = checked_address(self._url, "the issuer")
        self._issuer = issuer
        self._agent = agent
        self._clock = clock
        self._max_bytes = max_bytes
        self._seconds = seconds
        self._known: JwksUrl | None = None
        self._known_at = 0.0
        self._known_for = 0.0

    def load(self, *, anew: bool = False) -> Deferred[Document]:
        """Two GETs, or one while the place of the keys is known; three if they are there no more."""
        return Deferred.fromCoroutine(self._load(anew))

    async def _load(self, anew: bool) -> Document:  # noqa: FBT001 - private
        known = self._known
        # A clock that was set back does not make it known for longer.
        if known is not None and not anew and 0 <= self._clock.seconds() - self._known_at < self._known_for:
            try:
                return await known.load()
            except FetchFailed:
                pass  # they may have moved, and only the configuration can tell
        found = self._known = await self._discover()
        try:
            return await found.load()
        except FetchFailed as error:
            raise FetchFailed(f"at its jwks_uri {found.description}: {error}") from error

    async def _discover(self) -> JwksUrl:
        document = await fetch(self._agent, self._url, self._clock, max_bytes=self._max_bytes, seconds=self._seconds)
        try:
            configuration = json_object(document.body)
        except ValueError as error:
            raise FetchFailed(f"the server's answer is no OpenID configuration: {error}") from error
        issuer, uri = configuration.get("issuer"), configuration.get("jwks_uri")
        if issuer != self._issuer:
            said = f"{issuer[:_SHOWN]!a}" if type(issuer) is str else "not there"
            raise FetchFailed(
                f"the issuer in the server's OpenID configuration is {said}, not {self._issuer!a}; "
                "the two must be equal letter by letter"
            )
        if type(uri) is not str:
            raise FetchFailed("the server's OpenID configuration has no jwks_uri")
        try:
            found = JwksUrl(uri, self._agent, self._clock, max_bytes=self._max_bytes, seconds=self._seconds)
        except ValueError as error:
            raise FetchFailed(f"the jwks_uri in the server's OpenID configuration is refused: {error}") from error
        if self.description.startswith("https:") and not found.description.startswith("https:"):
            raise FetchFailed("the jwks_uri in the server's OpenID configuration is not https, as the configuration is")
        fresh = _MAX_KNOWN if document.fresh is None else document.fresh
        self._known_at, self._known_for = self._clock.seconds(), min(max(fresh, _MIN_KNOWN), _MAX_KNOWN)
        return found
