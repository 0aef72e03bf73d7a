"""`[auth]`: people who come with a name and a password, by HTTP Basic. Nobody does unless it is written here.

- A checker is a string of twisted.cred.strcred, "kind:argument". Its people have the issuer "auth:kind", so there is
  one checker of a kind. Whether the kind is installed is Twisted's to say (`couchgate.portal`).
- No two people are ever one CouchDB user: prefixes keep people with passwords apart from those of tokens, and from
  each other, by the rule of `[[issuers]]`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path

from couchgate.core.principal import PASSWORD_ISSUERS
from couchgate.settings.files import read_file
from couchgate.settings.issuers import apart, read_prefix
from couchgate.settings.model import AuthSettings, CheckerSettings, IssuerSettings, SettingsError
from couchgate.settings.reader import Document, Table, shown

AUTH_KEYS = ("checkers", "token_as_password", "feed_seconds")
CHECKER_KEYS = ("checker", "name_prefix")
_FLAG = "--auth"
_RIGHT = 'a kind and its argument, such as "file:passwd"'


def flag_documents(descriptions: Sequence[str]) -> tuple[Document, ...]:
    """A document for each `--auth kind:argument`; its relative paths start at the working directory."""
    return tuple(Document(Path(_FLAG), {"checker": description}) for description in descriptions)


def read_auth(table: Table, flags: Sequence[Document]) -> AuthSettings:
    """The whole table and the checkers of `flags`, each valid by itself and no two of one kind."""
    tables = (*table.tables("checkers", CHECKER_KEYS), *(Table(flag, "", {}, CHECKER_KEYS) for flag in flags))
    checkers: list[CheckerSettings] = []
    for each in tables:
        checker = _read_checker(each)
        if checker.issuer in {other.issuer for other in checkers}:
            right = f'is a second one of the kind "{checker.kind}", whose people would be taken for those of the first'
            raise each.error("checker", f"{right}; write one of each kind")
        checkers.append(checker)
    for first, second in combinations(checkers, 2):
        if not apart(first.name_prefix, second.name_prefix):
            raise _not_apart(table, second, first.issuer, first.name_prefix)
    return AuthSettings(tuple(checkers), table.flag("token_as_password"), table.seconds("feed_seconds", 1, 86400, 3600))


def keep_apart(table: Table, auth: AuthSettings, issuers: tuple[IssuerSettings, ...]) -> AuthSettings:
    """The same, with the prefixes that none of these people's names may begin with."""
    for checker in auth.checkers:
        for issuer in issuers:
            if not apart(checker.name_prefix, issuer.rules.name_prefix):
                raise _not_apart(table, checker, issuer.rules.issuer, issuer.rules.name_prefix)
    prefixes = {each.name_prefix for each in auth.checkers} | {each.rules.name_prefix for each in issuers}
    reserved = tuple(sorted(prefixes - {""}))
    return replace(
        auth,
        checkers=tuple(
            each if each.name_prefix else replace(each, reserved_prefixes=reserved) for each in auth.checkers
        ),
    )


def _not_apart(table: Table, checker: CheckerSettings, other: str, prefix: str) -> SettingsError:
    return table.error(
        "checkers",
        f"give {checker.issuer} the name_prefix {shown(checker.name_prefix)}, and {shown(other)} has {shown(prefix)}: "
        'they must not begin with each other, nor both be "", so that no two people are one CouchDB user; '
        'write two such as "staff:" and "id:"',
    )


def _read_checker(table: Table) -> CheckerSettings:
    kind, _, argument = table.text("checker", secret=True).partition(":")
    if not kind.isascii() or not kind.isidentifier() or (kind in {"file", "memory"} and not argument):
        raise table.error("checker", f"must be {_RIGHT}")  # what was written may be a password
    if kind == "jwt":
        raise table.error("checker", 'may not be "jwt": write the issuer as [[issuers]], or give it by --auth jwt:FILE')
    if kind == "file":
        path = table.document.resolve(argument)
        read_file(table, "checker", path, secret=True)
        argument = str(path)
    elif kind == "memory":
        table.warn("checker", "keeps passwords where others may see them; it is for a try, use file:PATH in earnest")
    issuer = PASSWORD_ISSUERS + kind
    return CheckerSettings(kind, argument, issuer, read_prefix(table, f"{issuer}:"))
