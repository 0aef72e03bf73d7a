"""What a principal may do: the first rule that applies decides alone.

A rule applies when the principal's issuer, the database and one of the principal's roles fit. What its `allow` lacks is
403, even if a later rule would grant it; no rule, no entry. A rule without `databases` speaks of the server only (kind
`server`) and a rule with them never does. `welcome`, `session` and `gate` need no rule; `never` has none.

Patterns name databases. They are expanded with the principal's own values and compared with the decoded name:

- `{name}` and `{tenant}` apply only if the value is `[a-z0-9_-]+`; `{name:hex}` and `{tenant:hex}` are the lower-case
  hex of its UTF-8. An absent or empty value fits nothing.
- Two different values must never lead to one database. Between two raw placeholders stands one of `/ + $ ( )`, which
  no value holds; next to a hex placeholder stands something that is no hex digit. Other patterns are refused.
- `*` is any run of legal characters, an empty one too. Where it can swallow a part of a value (`{name}-*` lets `a`
  reach `a-b-x`, which is also `a-b`'s), the pattern stays legal, and `ambiguous` says so.
- A name that begins with `_` is reached only by a pattern that is that name: `_users`, `_replicator` or
  `_global_changes`. Neither `*` nor a value reaches one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, NamedTuple

from couchgate.core.errors import Forbidden
from couchgate.core.principal import Principal
from couchgate.core.target import SYSTEM_DATABASES, Kind, Target

ALLOWABLE: Final = frozenset((Kind.READ, Kind.WRITE, Kind.DESIGN, Kind.SECURITY, Kind.ADMIN, Kind.SERVER))

_FREE = frozenset((Kind.WELCOME, Kind.SESSION, Kind.GATE))
_ITEM = re.compile(r"(?P<star>\*)|\{(?P<value>name|tenant)(?P<hex>:hex)?\}|(?P<text>[a-z0-9_$()+/-]+)")
_LEGAL = re.compile(r"[a-z][a-z0-9_$()+/-]*")
_RAW = re.compile(r"[a-z0-9_-]+")
_SEPARATORS = frozenset("/+$()")
_HEX = frozenset("0123456789abcdef")
_SHORT = 240  # characters: CouchDB allows no longer names, and it bounds what can be remembered
_SHOWN = 64  # characters of a database's name in a reason


class _Hole(NamedTuple):
    """A placeholder: "name" or "tenant", as it is or in hex."""

    value: str
    hexed: bool

    def fill(self, principal: Principal) -> str | None:
        value = principal.name if self.value == "name" else principal.tenant
        if not value:
            return None
        if not self.hexed:
            return value if _RAW.fullmatch(value) else None
        try:
            return value.encode().hex()
        except UnicodeEncodeError:
            return None


@lru_cache(maxsize=1024)
def _short_legal(database: str) -> bool:
    return _LEGAL.fullmatch(database) is not None


def _legal(database: str) -> bool:
    return _short_legal(database) if len(database) <= _SHORT else _LEGAL.fullmatch(database) is not None


_Chunk = tuple[str | _Hole, ...]


@dataclass(frozen=True, slots=True)
class Pattern:
    """A database pattern. `text` is how it was written; `chunks` are what stands between its stars."""

    text: str
    chunks: tuple[_Chunk, ...]

    @classmethod
    def parse(cls, text: str) -> Pattern:
        """Read a pattern. Raises ValueError with one sentence."""
        if text.startswith("_"):
            if text in SYSTEM_DATABASES:
                return cls(text, ((text,),))
            raise ValueError(f"The database pattern {text!r} begins with '_' and is none of CouchDB's databases.")
        items: list[str | _Hole | None] = []
        at = 0
        while at < len(text):
            match = _ITEM.match(text, at)
            if match is None:
                raise ValueError(f"The database pattern {text!r} cannot be read from {text[at : at + 20]!r} on.")
            at = match.end()
            if match["star"]:
                items.append(None)
            else:
                items.append(match["text"] or _Hole(match["value"], match["hex"] is not None))
        if not items or (isinstance(items[0], str) and not "a" <= items[0][0] <= "z"):
            raise ValueError(f"The database pattern {text!r} must begin with a letter, a placeholder or '*'.")
        chunks = _split(items)
        for chunk in chunks:
            if _adjacent(chunk):
                raise ValueError(f"The database pattern {text!r} needs another character beside its hex placeholder.")
        if _unseparated(items):
            raise ValueError(f"The database pattern {text!r} needs one of / + $ ( ) between its placeholders.")
        return cls(text, chunks)

    @property
    def plain(self) -> bool:
        """Whether it names one database, without placeholder or star."""
        return self.chunks == ((self.text,),)

    @property
    def ambiguous(self) -> str | None:
        """A sentence for a warning if two principals can reach one database by this pattern, else None."""
        first, *middle = self.chunks
        if not middle:
            return None
        last = middle.pop()
        inner = any(isinstance(item, _Hole) for chunk in middle for item in chunk)
        if inner or _open(reversed(first)) or _open(last):
            return (
                f"In the database pattern {self.text!r} the '*' can swallow a part of a placeholder's value, "
                "so two users can reach one database; '/' between them keeps them apart."
            )
        return None

    def matches(self, database: str, principal: Principal) -> bool:
        """Whether the pattern, expanded for `principal`, names `database` (decoded)."""
        if self.plain or database.startswith("_"):
            return database == self.text
        if not _legal(database):
            return False
        if self.text == "*":
            return True
        texts = []
        for chunk in self.chunks:
            filled = [item if isinstance(item, str) else item.fill(principal) for item in chunk]
            texts.append("".join(text for text in filled if text is not None))
            if None in filled:
                return False
        first, *middle = texts
        if not middle:
            return database == first
        last = middle.pop()
        at, end = len(first), len(database) - len(last)
        if at > end or not database.startswith(first) or not database.endswith(last):
            return False
        for text in middle:
            found = database.find(text, at, end)
            if found < 0:
                return False
            at = found + len(text)
        return True


def _split(items: Sequence[str | _Hole | None]) -> tuple[_Chunk, ...]:
    chunks: list[list[str | _Hole]] = [[]]
    for item in items:
        if item is None:
            chunks.append([])
        else:
            chunks[-1].append(item)
    return tuple(map(tuple, chunks))


def _adjacent(chunk: _Chunk) -> bool:
    """Whether nothing but hex digits stands between a hex placeholder and another placeholder."""
    before: _Hole | None = None
    between = ""
    for item in chunk:
        if isinstance(item, str):
            between += item
            continue
        if before is not None and (before.hexed or item.hexed) and _HEX.issuperset(between):
            return True
        before, between = item, ""
    return False


def _unseparated(items: Iterable[str | _Hole | None]) -> bool:
    """Whether no separator stands between two raw placeholders."""
    between: str | None = None
    for item in items:
        if isinstance(item, str):
            between = None if between is None else between + item
        elif item is not None and not item.hexed:
            if between is not None and _SEPARATORS.isdisjoint(between):
                return True
            between = ""
    return False


def _open(outward: Iterable[str | _Hole]) -> bool:
    """Whether a star can swallow a part of a value: `outward` are the items from the star on."""
    between = ""
    for item in outward:
        if isinstance(item, str):
            between += item
        elif not item.hexed:
            return _SEPARATORS.isdisjoint(between)
        elif _HEX.issuperset(between):
            return True
    return False


@dataclass(frozen=True, slots=True)
class Rule:
    """One `[[rules]]` table. `databases` None: the server; `roles` None: every valid token, else any of them.

    Raises ValueError with one sentence for a word in `allow` that is no kind.
    """

    issuers: frozenset[str]
    databases: tuple[Pattern, ...] | None
    roles: frozenset[str] | None
    allow: frozenset[str]

    def __post_init__(self) -> None:
        unknown = self.allow - ALLOWABLE
        if unknown:
            raise ValueError(f"{min(unknown)!r} is no kind that a rule can allow: {', '.join(sorted(ALLOWABLE))}.")

    def misfit(self, principal: Principal, database: str | None) -> str | None:
        """Why this rule says nothing of `principal` and `database` (None: the server): the key; None if it decides."""
        if principal.issuer not in self.issuers:
            return "issuers"
        if self.roles is not None and self.roles.isdisjoint(principal.roles):
            return "roles"
        if database is None or self.databases is None:
            return None if database is None and self.databases is None else "databases"
        for pattern in self.databases:
            if pattern.matches(database, principal):
                return None
        return "databases"


_NO_RULE = Rule(frozenset(), None, None, frozenset())


class Policy:
    """All rules, in order."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._rules = tuple(rules)

    @property
    def rules(self) -> tuple[Rule, ...]:
        """All rules, in order."""
        return self._rules

    def deciding(self, principal: Principal, target: Target) -> Rule | None:
        """The rule that decides about `target`, for or against; None if none applies, or none is asked."""
        if target.kind not in ALLOWABLE:
            return None
        rule = self._deciding(principal, target.database)
        return None if rule is _NO_RULE else rule

    def check(self, principal: Principal, target: Target) -> Rule | None:
        """The rule that lets `principal` reach `target`; None if it needs none. Raises Forbidden (`policy`)."""
        kind, database = target.kind, target.database
        if kind in _FREE:
            return None
        if kind not in ALLOWABLE or (database is None) is not (kind == Kind.SERVER):
            raise Forbidden("The gate never forwards such a request.", code="policy")
        rule = self._deciding(principal, database)
        if kind in rule.allow:
            return rule
        where = "" if database is None else f" on the database '{database[:_SHOWN]}'"
        raise Forbidden(f"You are not granted '{kind}'{where}.", code="policy")

    def _deciding(self, principal: Principal, database: str | None) -> Rule:
        for rule in self._rules:
            if rule.misfit(principal, database) is None:
                return rule
        return _NO_RULE
