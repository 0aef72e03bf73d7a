"""Tokens for `twisted.cred`: a credential, the checker that verifies it, and the realm that gives the Principal.

Any application with a `Portal` can use the checker alone: the avatar id is the principal's CouchDB name. It judges
by the same `TokenRules` and keys as the gate. Every refusal is an `UnauthorizedLogin` whose `__cause__` is the
`GateError`; its text is the reason, which never holds the token.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import ICredentials
from twisted.cred.error import UnauthorizedLogin
from twisted.cred.portal import IRealm
from twisted.internet.defer import Deferred
from zope.interface import Attribute, Interface, implementer

from couchgate.core.errors import GateError, KeysMissing, UnknownKey
from couchgate.core.keys import KeySet
from couchgate.core.principal import Principal, principal_of
from couchgate.core.token import TokenRules, verify
from couchgate.interfaces import IPrincipal


class IToken(ICredentials):
    """A credential that is one compact JSON Web Token (RFC 7519), as it stood in `Authorization: Bearer`."""

    token: bytes = Attribute("""The token, as received and not yet verified. It must never be shown.""")


@implementer(IToken)
class Token:
    """A token that somebody showed. Its repr hides it."""

    __slots__ = ("token",)

    def __init__(self, token: bytes) -> None:
        self.token = token

    def __repr__(self) -> str:
        return "<Token>"


class PrincipalName(str):
    """The avatar id: the principal's name for everybody, and `principal` for the realm.

    As a `str` it is the plain CouchDB name, so any realm can use it. The principal that the token stood for goes
    along, because a name alone no longer says issuer, roles or tenant.
    """

    __slots__ = ("principal",)
    principal: Principal

    def __new__(cls, principal: Principal) -> Self:
        """The name of `principal`."""
        name = super().__new__(cls, principal.name)
        name.principal = principal
        return name


@implementer(ICredentialsChecker)
class TokenChecker:
    """Accepts `IToken` credentials that are valid under one of `rules`.

    `keysets` answers the key sets of the moment by `TokenRules.id`, `clock` the time in unix seconds. `refresh`, if
    given, is called with a rules id and a key id when keys are missing; when its Deferred fires, the token is tried
    once more (`KeyRing.keysets` and `KeyRing.refresh` are such a pair).
    """

    credentialInterfaces = (IToken,)

    def __init__(
        self,
        rules: Sequence[TokenRules],
        keysets: Callable[[], Mapping[str, KeySet]],
        clock: Callable[[], float],
        refresh: Callable[[str, str | None], Deferred[None]] | None = None,
    ) -> None:
        self._rules = tuple(rules)
        self._keysets = keysets
        self._clock = clock
        self._refresh = refresh

    def requestAvatarId(self, credentials: IToken) -> Deferred[Any]:
        """The `PrincipalName` of the person whose token this is, or UnauthorizedLogin. Cancelling gives up the wait."""
        return Deferred.fromCoroutine(self._identify(credentials.token))

    async def _identify(self, token: bytes) -> PrincipalName:
        try:
            try:
                return self._name(token)
            except (UnknownKey, KeysMissing) as error:
                if self._refresh is not None:
                    await self._refresh(error.rules_id, error.kid)
            return self._name(token)
        except GateError as refusal:
            raise UnauthorizedLogin(refusal.reason) from refusal

    def _name(self, token: bytes) -> PrincipalName:
        verified = verify(token, self._rules, self._keysets(), self._clock())
        return PrincipalName(principal_of(verified.claims, verified.rules))


@implementer(IRealm)
class GateRealm:
    """Gives the `Principal` (IPrincipal) for an avatar id that `TokenChecker` answered."""

    def requestAvatar(
        self,
        avatarId: bytes | tuple[()] | str,
        mind: object,  # noqa: ARG002 - IRealm's; a principal has no use for one
        *interfaces: type[Interface],
    ) -> tuple[type[Interface], Any, Callable[[], None]]:
        """The principal and a logout that does nothing: a token cannot be logged out of.

        Raises NotImplementedError when IPrincipal is not asked for, UnauthorizedLogin for an avatar id that no token
        stands behind.
        """
        if IPrincipal not in interfaces:
            raise NotImplementedError("this realm gives IPrincipal only")
        if not isinstance(avatarId, PrincipalName):
            raise UnauthorizedLogin("this avatar id does not come from a token")
        return IPrincipal, avatarId.principal, _log_out


def _log_out() -> None:
    """Nothing is held for a principal."""
