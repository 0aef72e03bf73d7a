"""`[[rules]]`: the policy, judged as text. What a rule means is `core.policy`'s to say.

- A rule that grants `server` names no databases and grants nothing else; every other rule must name some, because one
  that forgot them should not reach them all.
- With several issuers a rule says whose people it is for. People with a password are those of a rule only if it names
  them: what was written for tokens never opens to them.
"""

from __future__ import annotations

from couchgate.core.kinds import Kind
from couchgate.core.policy import Pattern, Rule
from couchgate.settings.model import AuthSettings, IssuerSettings
from couchgate.settings.reader import Table, clause, nearest, shown

RULE_KEYS = ("issuers", "databases", "roles", "allow")
KINDS = (Kind.READ, Kind.WRITE, Kind.DESIGN, Kind.SECURITY, Kind.ADMIN, Kind.SERVER)


def read_rules(tables: tuple[Table, ...], issuers: tuple[IssuerSettings, ...], auth: AuthSettings) -> tuple[Rule, ...]:
    """Every rule, in order."""
    with_password = tuple(checker.issuer for checker in auth.checkers)
    return tuple(_read_rule(table, issuers, with_password) for table in tables)


def _read_rule(table: Table, issuers: tuple[IssuerSettings, ...], with_password: tuple[str, ...]) -> Rule:
    allow = table.texts("allow", words=KINDS)
    return Rule(
        issuers=issuers_of(table, issuers, "a rule", with_password),
        databases=_databases(table, allow),
        roles=_roles(table),
        allow=frozenset(allow),
    )


def issuers_of(
    table: Table, issuers: tuple[IssuerSettings, ...], what: str, with_password: tuple[str, ...] = ()
) -> frozenset[str]:
    """Whose people the table is about: its `issuers`, which may be left out while there is one. `what` it gives.

    `with_password` are the issuers of `[auth]`, who are meant only if they are written.
    """
    names = tuple(dict.fromkeys(issuer.rules.issuer for issuer in issuers))
    if not table.has("issuers"):
        if len(names) > 1:
            raise table.error("issuers", f"is missing; with several issuers {what} must say whose people it is for")
        if not names and with_password:
            raise table.error("issuers", f'is missing; without [[issuers]] {what} must name "{with_password[0]}"')
        return frozenset(names)
    written = table.texts("issuers")
    known = (*names, *with_password)
    for index, name in enumerate(written):
        if name not in known:
            where = "[[issuers]] or [[auth.checkers]]" if with_password else "[[issuers]]"
            right = f"must be the issuer of one of the {where}"
            raise table.error(f"issuers[{index}]", f"{right}, not {shown(name)}" + nearest(name, known))
    if not written:
        raise table.error("issuers", f"must not be empty: {what} would be for nobody")
    return frozenset(written)


def _databases(table: Table, allow: tuple[str, ...]) -> tuple[Pattern, ...] | None:
    if Kind.SERVER in allow:
        if table.has("databases"):
            raise table.error("databases", 'must be left out where allow has "server", which is about no database')
        if len(allow) > 1:
            raise table.error("allow", 'must hold nothing beside "server"; write a second rule for the rest')
        return None
    if not table.has("databases"):
        raise table.error("databases", 'is missing; it must be a list of patterns such as ["notes-{name}"]')
    written = table.texts("databases")
    if not written:
        raise table.error("databases", 'must not be empty; ["*"] is every database without a _ at its beginning')
    patterns = []
    for index, text in enumerate(written):
        try:
            pattern = Pattern.parse(text)
        except ValueError as error:
            raise table.error(f"databases[{index}]", f"is no pattern that can be used: {clause(error)}") from error
        if pattern.ambiguous:
            table.warn(f"databases[{index}]", f"is doubtful: {clause(pattern.ambiguous)}")
        patterns.append(pattern)
    return tuple(patterns)


def _roles(table: Table) -> frozenset[str] | None:
    if not table.has("roles"):
        return None
    roles = table.texts("roles")
    if not roles:
        raise table.error("roles", "must not be empty; leave it out to mean every valid token")
    for index, role in enumerate(roles):
        check_role(table, f"roles[{index}]", role)
    return frozenset(roles)


def check_role(table: Table, key: str, role: str) -> None:
    """Refuse a role that nobody can have."""
    if role.startswith("_") or "," in role or role != role.strip():
        right = "must have no comma, no _ at its beginning and no white space at its ends: nobody is let have such"
        raise table.error(key, f"{right} a role, {shown(role)}")
