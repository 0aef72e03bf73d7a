"""Are there keys for every issuer, and do they fit? Every key source is asked once, by the gate's own code."""

from __future__ import annotations

import json
from typing import Any

from couchgate.commands.asking import Loaded, load_keys
from couchgate.commands.couchdb import unix_time
from couchgate.commands.findings import Finding, error, ok, toml, warning
from couchgate.core.keys import KeySet
from couchgate.settings import IssuerSettings, Settings

_SKEW = 10.0  # seconds that an issuer's clock may differ beyond the leeway's half before it is worth a word


async def examine_issuers(settings: Settings, reactor: Any, now: float) -> list[Finding]:
    """Everything about the issuers. Never fails."""
    found: list[Finding] = []
    loaded = await load_keys(settings.issuers, reactor)
    for issuer in settings.issuers:
        found += _keys(issuer, loaded[issuer.rules.id])
        found += _clock(issuer, loaded[issuer.rules.id], now)
    return found


def _keys(issuer: IssuerSettings, loaded: Loaded) -> list[Finding]:
    name = f"{issuer.rules.id} ({issuer.rules.issuer!a})"
    table = "[[issuers]]"
    if loaded.keys is None:
        problem = (loaded.problem or f"there are none at {loaded.source}").rstrip(".")
        return [error("keys", f"{name} has no keys: {problem}.", toml(table, "keys = …  # the issuer's jwks_uri"))]
    found = [ok("keys", f"{name} has {_told(loaded.keys)}, from {loaded.source}.")]
    if loaded.problem is not None:
        found.append(warning("keys", f"{name}: {loaded.problem.rstrip('.')}."))
    for reason in dict.fromkeys(loaded.keys.left_out):
        count = loaded.keys.left_out.count(reason)
        found.append(warning("keys", f"{name}: {count} of its keys cannot be used here: {reason}."))
    served = {algorithm for key in loaded.keys.keys for algorithm in key.algorithms}
    unserved = issuer.rules.algorithms - served
    if unserved:
        fix = toml(table, f"algorithms = {json.dumps(sorted(served))}")
        found.append(warning("algorithms", f"{name} has no key for {', '.join(sorted(unserved))}.", fix))
    return found


def _told(keys: KeySet) -> str:
    each = [f"{key.kid!a}" if key.kid is not None else "one without kid" for key in keys.keys]
    algorithms = sorted({algorithm for key in keys.keys for algorithm in key.algorithms})
    shown = ", ".join(each[:5]) + (f" and {len(each) - 5} more" if len(each) > 5 else "")
    return f"{len(each)} key{'s' if len(each) > 1 else ''} ({shown}) for {', '.join(algorithms)}"


def _clock(issuer: IssuerSettings, loaded: Loaded, now: float) -> list[Finding]:
    """The clock of the server that has the keys, which is most often the one that signs tokens."""
    date = unix_time(loaded.date)
    leeway = issuer.rules.leeway
    if date is None or abs(date - now) <= max(leeway / 2, _SKEW):
        return []
    fix = toml("[[issuers]]", f"leeway = {min(300, int(abs(date - now)) + 30)}")
    sentence = f"{issuer.rules.id}: its server's clock differs by {abs(date - now):.0f} s; the leeway is {leeway:g} s."
    return [warning("clock", sentence, fix)]
