"""Whom a verified token, or a name with a password, stands for.

CouchDB reads the name and the roles from header fields, and header parsing trims, splits and truncates. So what would
arrive as something else than it was signed as is refused or dropped here, once, before anything uses it:

- The user name is a string (a number is not), not empty, at most 256 bytes of UTF-8 with its prefix, without control
  characters (C0, DEL, C1) and without white space at either end, Unicode's included. Otherwise 401: a trimmed name is
  another user. A name may begin with `_`: CouchDB gives powers to roles, never to names, and its `_users` database
  refuses such names, so none of its own users can be meant. (`*` and `{name}` never reach a database that begins with
  `_`; that is the policy's rule.)
- The roles are a list of strings; absent or null is none. One string is refused, because a list written as "a,b" or
  "a b" is not told from a role of that name. A role is DROPPED, not mended, that is empty, holds a comma or a control
  character, is not UTF-8, has white space at either end (CouchDB trims `" _admin"` to `_admin`), or begins with `_`.
- The tenant is a string without control characters, or absent; `jti` likewise. Null is neither.

Somebody with a name and a password (`person_of`) has no more than a name, which is held to the same rules, and the
issuer `auth:` with the kind of the checker that knew them. No token's issuer begins so.

`issuer` is part of every equality: the same name of two issuers is two people.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, NamedTuple

from couchgate.core.errors import Unauthorized
from couchgate.core.token import TokenRules

PASSWORD_ISSUERS = "auth:"  # how the issuers of people with a password begin

_MAX_NAME_BYTES = 256
_ABSENT = object()

# C0, DEL and C1, and surrogates, which JSON escapes can spell and UTF-8 cannot.
_UNFIT = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_UNFIT_ROLE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff,]")


class Principal(NamedTuple):
    """A person as one issuer names them; hashable.

    `name` is the CouchDB user (with the rules' prefix), `roles` are in the token's order without repeats, `tenant` and
    `token_id` (`jti`) are None where the token has none.
    """

    issuer: str
    name: str
    roles: tuple[str, ...]
    tenant: str | None
    token_id: str | None


def _refused(reason: str, code: str = "token_claims") -> Unauthorized:
    return Unauthorized(reason, code=code)


def claim_at(claims: dict[str, Any], path: str, absent: object = None) -> Any:
    """What is at `path`, first as one literal name, then as a dotted path into objects; `absent` when nothing is."""
    if path in claims or "." not in path:
        return claims.get(path, absent)
    value: Any = claims
    for step in path.split("."):
        if type(value) is not dict or step not in value:
            return absent
        value = value[step]
    return value


def _name(claims: dict[str, Any], rules: TokenRules) -> str:
    claim = claim_at(claims, rules.claims.name)
    if type(claim) is not str or not claim:
        raise _refused("The token names no user.")
    return _fit(claim, rules.name_prefix, rules.reserved_prefixes, "The token's user name", code="token_claims")


def _unfit(text: str) -> bool:
    """Whether it holds what header fields or CouchDB would not take as it is; most texts are plain, told at once."""
    return not (text.isascii() and text.isprintable()) and _UNFIT.search(text) is not None


def _fit(bare: str, prefix: str, reserved: tuple[str, ...], what: str, code: str) -> str:
    if _unfit(bare) or bare != bare.strip():
        raise _refused(f"{what} holds characters that it may not.", code)
    name = prefix + bare
    if name.startswith(reserved):
        raise _refused(f"{what} begins like those of another issuer.", code)
    if len(name.encode()) > _MAX_NAME_BYTES:
        raise _refused(f"{what} is longer than {_MAX_NAME_BYTES} bytes.", code)
    return name


@lru_cache(maxsize=1024)  # the people of one issuer share their roles
def role_problem(role: str) -> str | None:
    """Why a role is dropped, as the end of a sentence; None for one that is kept."""
    if not role:
        return "it is empty"
    if role.startswith("_"):
        return "it begins with _"
    if _UNFIT_ROLE.search(role):
        return "it holds a comma or a control character"
    if role != role.strip():
        return "it has white space at an end"
    return None


def _roles(claims: dict[str, Any], rules: TokenRules) -> tuple[str, ...]:
    roles = claim_at(claims, rules.claims.roles)
    if roles is None:
        return ()
    if type(roles) is not list:
        raise _not_roles()
    kept: dict[str, None] = {}
    for role in roles:
        if type(role) is not str:
            raise _not_roles()
        if role_problem(role) is None:
            kept[role] = None
    return tuple(kept)


def _not_roles() -> Unauthorized:
    return _refused("The token's roles are not a list of strings.")


def _optional(claims: dict[str, Any], path: str, what: str) -> str | None:
    value = claim_at(claims, path, _ABSENT)
    if value is _ABSENT:
        return None
    if type(value) is not str or _unfit(value):
        raise _refused(f"The token's {what} is not a plain string.")
    return value


def principal_of(claims: dict[str, Any], rules: TokenRules) -> Principal:
    """The principal of verified `claims`, read as `rules.claims` says.

    Raises `Unauthorized` (`token_claims`) when they name nobody whom CouchDB could be told about unambiguously.
    """
    return Principal(
        rules.issuer,
        _name(claims, rules),
        _roles(claims, rules),
        _optional(claims, rules.claims.tenant, "tenant"),
        _optional(claims, "jti", "id"),
    )


def person_of(name: str, issuer: str, name_prefix: str = "", reserved_prefixes: tuple[str, ...] = ()) -> Principal:
    """The principal `name` of a checker of passwords: no roles, no tenant, no token.

    `issuer` begins with `PASSWORD_ISSUERS`; the prefixes are as in `TokenRules`. Raises `Unauthorized`
    (`password_name`) when CouchDB could not be told about such a name unambiguously.
    """
    if not name:
        raise _refused("The user name is empty.", code="password_name")
    fitting = _fit(name, name_prefix, reserved_prefixes, "The user name", code="password_name")
    return Principal(issuer, fitting, (), None, None)
