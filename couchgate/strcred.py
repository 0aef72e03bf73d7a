"""`--auth jwt:PATH` for every Twisted application that takes `--auth` (twisted.cred.strcred).

`twistd` loads this for any command that it runs, so everything that costs time is imported when a checker is made.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from twisted.cred.strcred import ICheckerFactory, InvalidAuthArgumentString
from twisted.plugin import IPlugin
from zope.interface import implementer

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred
    from zope.interface.interface import InterfaceClass

    from couchgate.checkers import TokenChecker
    from couchgate.core.keys import KeySet
    from couchgate.facts.keyring import KeyRing
    from couchgate.settings import IssuerSettings

_HELP = """\
Lets in whoever shows a valid JSON Web Token, as the person that it names.

PATH is a TOML file with one [[issuers]] table, as in couchgate's settings:

    [[issuers]]
    issuer     = "https://id.example.com/"
    audiences  = ["my-service"]
    algorithms = ["RS256"]
    keys       = "https://id.example.com/.well-known/jwks.json"

"issuer" must be the token's "iss", one of "audiences" must be in its "aud",
and its signature must be by one of "algorithms" (RS, PS, ES 256 to 512 and
EdDSA, or HS256 to HS512) with a key of that issuer. "keys" is the URL of a
JWKS, "oidc" to ask the issuer for it (OpenID Connect Discovery), or a file: a
JWKS, public keys in PEM, or for HS256 to HS512 the secret.
A relative path starts at the folder of PATH. A changed file is read again, a
URL is asked again for a key that is not known yet.

Optional are authorized_parties, leeway, name_prefix, stale_seconds and
[issuers.claims].
The avatar is named by the claim "sub", or by the claim that name = "..." in
[issuers.claims] says. The application must hand in the token as a credential
that provides couchgate.checkers.IToken. couchgate itself adds the issuer to
those of its settings file, which then may have none.

Example:  --auth jwt:/etc/my-service/issuer.toml
"""


@implementer(ICheckerFactory, IPlugin)
class JWTCheckerFactory:
    """Makes a `TokenChecker` from the path of a TOML file with one `[[issuers]]` table."""

    authType = "jwt"
    authHelp = _HELP
    argStringFormat = "PATH: a TOML file with one [[issuers]] table"

    @property
    def credentialInterfaces(self) -> tuple[InterfaceClass, ...]:
        """`IToken` alone."""
        from couchgate.checkers import IToken  # noqa: PLC0415 - see the module

        return (IToken,)

    def generateChecker(self, argstring: str) -> TokenChecker:
        """The checker for the file at `argstring`. Raises InvalidAuthArgumentString with one sentence."""
        from couchgate.checkers import TokenChecker  # noqa: PLC0415 - see the module
        from couchgate.settings import SettingsError, load_issuer  # noqa: PLC0415 - see the module
        from couchgate.wiring import check_key_source  # noqa: PLC0415 - see the module

        if not argstring:
            raise InvalidAuthArgumentString("--auth jwt needs a path, as in --auth jwt:issuer.toml")
        try:
            issuer = load_issuer(Path(argstring))
            check_key_source(issuer)
        except SettingsError as error:
            raise InvalidAuthArgumentString(str(error)) from error
        keys = _LateKeys(issuer)
        return TokenChecker([issuer.rules], keys.keysets, time.time, keys.refresh)


class _LateKeys:
    """The issuer's keys, loaded at the first login.

    strcred hands over no reactor, and options are read before one may be chosen (`twistd --reactor`). When somebody
    logs in, it runs.
    """

    def __init__(self, issuer: IssuerSettings) -> None:
        self._issuer = issuer

    def keysets(self) -> Mapping[str, KeySet]:
        return self._ring.keysets

    def refresh(self, rules_id: str, kid: str | None) -> Deferred[None]:
        return self._ring.refresh(rules_id, kid)

    @cached_property
    def _ring(self) -> KeyRing:
        from twisted.internet import reactor  # noqa: PLC0415, TID251 - see the class; this is no part of the gate

        from couchgate.facts.keyring import KeyRing  # noqa: PLC0415 - see the module
        from couchgate.wiring import key_source_of  # noqa: PLC0415 - see the module

        ring = KeyRing({self._issuer.rules.id: key_source_of(self._issuer, reactor)}, reactor)
        ring.startService()
        reactor.addSystemEventTrigger("before", "shutdown", ring.stopService)
        return ring
