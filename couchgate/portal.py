"""Checkers of names and passwords, as `twisted.cred.strcred` finds them, each behind a portal of its own.

Any installed checker that takes `IUsernamePassword` will do. An avatar id is the bare user name; `PersonRealm` makes
the principal of it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.cred.checkers import ICredentialsChecker, InMemoryUsernamePasswordDatabaseDontUse
from twisted.cred.credentials import IUsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.cred.portal import IRealm, Portal
from twisted.cred.strcred import InvalidAuthType, makeChecker
from zope.interface import Interface, implementer

from couchgate.core.principal import person_of
from couchgate.interfaces import IPrincipal


def portal_of(
    kind: str, argument: str, *, issuer: str, name_prefix: str, reserved_prefixes: tuple[str, ...] = ()
) -> Portal:
    """The portal of the checker `kind:argument`, whose people have `issuer` and these prefixes (`TokenRules`).

    Raises ValueError with the end of a sentence, which does not hold `argument`.
    """
    try:
        checker: Any = makeChecker(f"{kind}:{argument}")
    except InvalidAuthType:
        raise ValueError(f'has the kind "{kind}", which is not installed; write "file"') from None
    except Exception as error:  # noqa: BLE001  # checkers raise what they like
        # Not its text: that may be the argument, and passwords with it.
        raise ValueError(f'has an argument that "{kind}" cannot use ({type(error).__name__})') from None
    if IUsernamePassword not in checker.credentialInterfaces:
        raise ValueError(f'has the kind "{kind}", which takes no name and password; write "file"')
    if isinstance(checker, InMemoryUsernamePasswordDatabaseDontUse):
        # strcred fills in texts where the checker and its credentials speak of bytes: nobody would be let in.
        users: Any = checker.users
        checker.users = {name.encode(): password.encode() for name, password in users.items()}
    if kind == "file":
        checker = _Readable(checker, Path(argument))
    portal = Portal(PersonRealm(issuer, name_prefix, reserved_prefixes))
    portal.registerChecker(checker, IUsernamePassword)
    return portal


@implementer(ICredentialsChecker)
class _Readable:
    """A checker whose file is there: Twisted's takes one that is not for a wrong password, which is final."""

    credentialInterfaces = (IUsernamePassword,)

    def __init__(self, checker: Any, path: Path) -> None:
        self._checker = checker
        self._path = path

    def requestAvatarId(self, credentials: Any) -> Any:
        """What the checker answers. Raises OSError while the file cannot be read."""
        self._path.open("rb").close()
        return self._checker.requestAvatarId(credentials)


@implementer(IRealm)
class PersonRealm:
    """Gives the `Principal` (IPrincipal) for a user name that a checker of passwords answered."""

    def __init__(self, issuer: str, name_prefix: str, reserved_prefixes: tuple[str, ...] = ()) -> None:
        self._issuer = issuer
        self._name_prefix = name_prefix
        self._reserved_prefixes = reserved_prefixes

    def requestAvatar(
        self,
        avatarId: bytes | tuple[()] | str,
        mind: object,  # noqa: ARG002 - IRealm's; a principal has no use for one
        *interfaces: type[Interface],
    ) -> tuple[type[Interface], Any, Callable[[], None]]:
        """The principal and a logout that does nothing.

        Raises NotImplementedError when IPrincipal is not asked for, UnauthorizedLogin for somebody without a name,
        Unauthorized (`password_name`) for a name that CouchDB could not be told.
        """
        if IPrincipal not in interfaces:
            raise NotImplementedError("this realm gives IPrincipal only")
        if isinstance(avatarId, tuple):  # ANONYMOUS
            raise UnauthorizedLogin("nobody is let in without a name")
        try:
            name = avatarId if isinstance(avatarId, str) else avatarId.decode()
        except UnicodeDecodeError:
            raise UnauthorizedLogin("the user name is not UTF-8") from None
        person = person_of(name, self._issuer, self._name_prefix, self._reserved_prefixes)
        return IPrincipal, person, _log_out


def _log_out() -> None:
    """Nothing is held for a principal."""
