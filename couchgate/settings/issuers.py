"""`[[issuers]]`: whose tokens count, how they are judged, and where the keys are.

- Algorithms are of one family, all HS or none, so that a public key is never tried as an HMAC secret.
- A file of keys is read and parsed here, so that `check` says what the gate would stumble over.
- No two people are ever one CouchDB user: of two issuers no prefix begins the other's. With "a" and "ab" the user "bx"
  of the one would be the user "x" of the other. One issuer may have "", which begins every prefix: its people must
  then have no name that begins with another's prefix (`TokenRules.reserved_prefixes`).
- Tables that share an `issuer` must be told apart by audience. They may share a prefix if they take the name from the
  same claim: then they have the same people.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from itertools import combinations

from couchgate.core.keys import KeySet, UnusableKeys
from couchgate.core.principal import PASSWORD_ISSUERS
from couchgate.core.token import ClaimNames, TokenRules
from couchgate.core.verifier import HMAC_ALGORITHMS, PUBLIC_ALGORITHMS
from couchgate.settings.files import read_file
from couchgate.settings.model import IssuerSettings
from couchgate.settings.network import issuer_address, keys_address
from couchgate.settings.reader import Table, clause, shown

ISSUER_KEYS = (
    "issuer",
    "audiences",
    "authorized_parties",
    "algorithms",
    "keys",
    "stale_seconds",
    "leeway",
    "name_prefix",
    "claims",
)
CLAIM_KEYS = ("name", "roles", "tenant")
_ALGORITHMS = (*sorted(HMAC_ALGORITHMS), *sorted(PUBLIC_ALGORITHMS))
_KIND = re.compile(r"(?!https?:)([a-z][a-z0-9_]+):(.*)")  # one letter is a drive of Windows: C:\keys.pem
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_MOST_LEEWAY = 300
_STALE_SECONDS = 86400
_LEAST_STALE = 300
_MOST_STALE = 7 * 86400
_LONGEST_PREFIX = 64


def read_issuers(tables: tuple[Table, ...], others: Iterable[str] = ()) -> tuple[IssuerSettings, ...]:
    """Every table, each valid by itself and all of them together. They may come from several files.

    `others` are the prefixes of people who come without a token.
    """
    issuers = tuple(_read_issuer(table, _place(table, tables[0])) for table in tables)
    for (first_table, first), (table, second) in combinations(zip(tables, issuers, strict=True), 2):
        _check_together(table, first_table, first.rules, second.rules)
    reserved = tuple(sorted({*others, *(issuer.rules.name_prefix for issuer in issuers)} - {""}))
    return tuple(
        each if each.rules.name_prefix else replace(each, rules=replace(each.rules, reserved_prefixes=reserved))
        for each in issuers
    )


def _place(table: Table, beside: Table) -> str:
    """How `table` is called next to `beside`: by its file, too, if that is another."""
    here = table.document is beside.document
    return table.name if here else f"{table.document.path}: {table.name}"


def _read_issuer(table: Table, name: str) -> IssuerSettings:
    issuer = table.text("issuer")
    if issuer.startswith(PASSWORD_ISSUERS):
        raise table.error("issuer", f'must not begin with "{PASSWORD_ISSUERS}", as the people of [auth] do')
    audiences = frozenset(table.texts("audiences"))
    if not audiences:
        table.warn("audiences", "is empty, so a token that this issuer made for any other service opens the gate, too")
    algorithms = _algorithms(table)
    claims = table.table("claims", CLAIM_KEYS)
    rules = TokenRules(
        id=name,
        issuer=issuer,
        audiences=audiences,
        algorithms=algorithms,
        authorized_parties=frozenset(table.texts("authorized_parties", ())),
        leeway=table.seconds("leeway", 0, _MOST_LEEWAY, 30),
        claims=ClaimNames(
            name=_claim(claims, "name", "sub"),
            roles=_claim(claims, "roles", "_couchdb.roles"),
            tenant=_claim(claims, "tenant", "tenant"),
        ),
        name_prefix=read_prefix(table, ""),
    )
    keys, source = _keys(table, issuer, algorithms)
    stale_seconds = table.seconds("stale_seconds", _LEAST_STALE, _MOST_STALE, _STALE_SECONDS)
    if table.has("stale_seconds") and source not in {"url", "oidc"}:
        table.warn("stale_seconds", 'has no effect: it is for keys that are a URL or "oidc"')
    document = table.document
    return IssuerSettings(
        rules, keys, source, stale_seconds, f"{document.path}: {table.name}", document.path.absolute().parent
    )


def _algorithms(table: Table) -> frozenset[str]:
    written = table.texts("algorithms", words=_ALGORITHMS)
    if not written:
        raise table.error("algorithms", 'must not be empty; write those that the issuer signs with, such as ["RS256"]')
    secrets = HMAC_ALGORITHMS.intersection(written)
    if secrets and len(secrets) != len(written):
        raise table.error(
            "algorithms", "must be of one family: all of HS256, HS384, HS512, or none of them; write two [[issuers]]"
        )
    return frozenset(written)


def _claim(table: Table, key: str, default: str) -> str:
    path = table.text(key, default)
    if not all(path.split(".")):
        raise table.error(key, f'must be a claim\'s name or a dotted path such as "realm.roles", not {shown(path)}')
    return path


def read_prefix(table: Table, default: str) -> str:
    """The `name_prefix` of `table`."""
    prefix = table.text("name_prefix", default, empty=True)
    if prefix != prefix.strip() or len(prefix.encode()) > _LONGEST_PREFIX:
        right = f"must be at most {_LONGEST_PREFIX} bytes without white space at either end"
        raise table.error("name_prefix", f"{right}, not {shown(prefix)}")
    return prefix


def _keys(table: Table, issuer: str, algorithms: frozenset[str]) -> tuple[str, str]:
    """What `keys` names, and its source. A file must parse now; a server is asked when the gate runs."""
    keys = table.text("keys")
    secret = algorithms <= HMAC_ALGORITHMS
    if (keys == "oidc" or _URL.match(keys)) and secret:
        raise table.error("keys", "must name a file: the secret of HS algorithms is never fetched from a URL")
    if keys == "oidc":
        try:
            issuer_address(issuer)
        except ValueError as error:
            raise table.error("issuer", f'{error}, because keys = "oidc" asks there') from error
        return issuer, "oidc"
    if _URL.match(keys):
        try:
            keys_address(keys)
        except ValueError as error:
            raise table.error("keys", str(error)) from error
        return keys, "url"
    if kind := _KIND.fullmatch(keys):
        return kind[2], kind[1]
    path = table.document.resolve(keys)
    data = read_file(table, "keys", path, secret=secret)
    if not data.strip():
        right = "the secret" if secret else "a JWKS, or public keys or certificates in PEM"
        raise table.error("keys", f"names {path}, which is empty; it must hold {right}")
    try:
        KeySet.parse_file(data, algorithms)
    except UnusableKeys as error:
        raise table.error("keys", f"names {path}, which holds no keys to use: {clause(error)}") from error
    return str(path), "file"


def apart(first: str, second: str) -> bool:
    """Whether no name behind one prefix is a name behind the other, reserved ones aside."""
    short, long = sorted((first, second), key=len)
    return not long.startswith(short) or (not short and bool(long))  # one "" is what `reserved_prefixes` are for


def _check_together(table: Table, other: Table, first: TokenRules, second: TokenRules) -> None:
    """`second`, which `table` holds, beside `first` of `other`."""
    if first.issuer == second.issuer:
        if not first.audiences or not second.audiences or first.audiences & second.audiences:
            raise table.error(
                "audiences",
                f"must not be empty and must differ from {_place(other, table)}.audiences: both have the same issuer",
            )
        if (first.name_prefix, first.claims.name) == (second.name_prefix, second.claims.name):
            return  # the same people under the same names
    if not apart(first.name_prefix, second.name_prefix):
        raise table.error(
            "name_prefix",
            f"and {_place(other, table)}.name_prefix ({shown(second.name_prefix)} and {shown(first.name_prefix)}) must "
            'not begin with each other, nor both be "", so that no two people are one CouchDB user; '
            'write two such as "a:" and "b:"',
        )
