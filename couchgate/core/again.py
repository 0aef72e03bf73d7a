"""Open feeds are decided again when the settings change: until when each may stay, if at all."""

from __future__ import annotations

from couchgate.core.errors import GateError
from couchgate.core.gate import Gate
from couchgate.core.message import Peer, RequestHead
from couchgate.core.principal import PASSWORD_ISSUERS, Principal
from couchgate.core.target import Target
from couchgate.core.verdict import Facts, Forward


def stays_until(
    gate: Gate,
    facts: Facts,
    now: float,
    *,
    head: RequestHead,
    target: Target,
    peer: Peer,
    lines: bytes,
    principal: Principal,
    expires: float,
    same_people: bool,
) -> float | None:
    """The new end, in seconds since the epoch, of a feed that would end at `expires`; None: it may not stay open.

    It may while `gate` would forward it for the same principal with the same CORS `lines`. `same_people`: those with a
    password are who they were.
    """
    try:
        same = gate.screen(head).lines == lines
        person = principal if same_people else None
        verdict = gate.decide(head, target, peer, facts, now, asked=True, person=person)
    except GateError:
        return None
    if not isinstance(verdict, Forward) or not same or verdict.principal != principal:
        return None
    with_password = principal.issuer.startswith(PASSWORD_ISSUERS)
    return min(expires, verdict.expires) if with_password else verdict.expires
