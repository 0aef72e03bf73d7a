"""A decision, told step by step: for people who ask why.

The verdict is what the gate says: `Gate.screen`, `classify` and `Gate.decide` themselves are asked, as a face asks
them. The steps then tell how it came to that, by the functions that the gate goes through, in its order; the last step
is where it said no. Nothing here decides.

What is told may be shown to a person or kept in a ticket: no token, no secret, no key material. Claims are told as the
token has them, so whoever prints them must expect hostile text.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple, NoReturn

from couchgate.core import credential
from couchgate.core.errors import GateError, InternalError
from couchgate.core.gate import Gate
from couchgate.core.keys import KeySet
from couchgate.core.kinds import Kind
from couchgate.core.message import Pair, Peer, RequestHead
from couchgate.core.policy import ALLOWABLE, Rule
from couchgate.core.principal import Principal, claim_at, principal_of, role_problem
from couchgate.core.target import Target, classify, destination
from couchgate.core.token import Header, TokenRules, select, unverified, verify
from couchgate.core.verdict import Admission, Facts, Forward

MASK = b"***"
_CLAIMS = ("iss", "aud", "azp", "exp", "nbf", "iat", "jti")
_KEY_CODES = frozenset(("keys_missing", "key_unknown", "token_algorithm", "token_signature"))
_MASKED = re.compile(rb"authorization|.*(?:token|secret|cookie|password|api-?key).*")
_JWT = re.compile(rb"[\w-]{10,}\.[\w-]{10,}\.[\w-]+")
_KEY_TYPES = {"RS": "RSA", "PS": "RSA", "ES": "elliptic curve", "Ed": "Edwards curve", "HS": "shared secret"}

Own = Callable[[RequestHead, Target, Principal | None], int]
"""What the gate's own page answers: the status, 0 if that cannot be known beforehand. Raises GateError."""


class Step(NamedTuple):
    """One step of a decision: its name, what was found, by label, and the refusal that it ended with, or None."""

    name: str
    found: dict[str, Any]
    refusal: GateError | None = None


class Sent(NamedTuple):
    """What CouchDB would be sent, less the framing of the body: secrets and tokens are masked."""

    start: bytes
    fields: tuple[Pair, ...]


class Explanation(NamedTuple):
    """A decision and how it came about.

    `outcome` is "forwarded", "answered" (by the gate itself) or "refused", with `refusal`. `status` is the answer's,
    0 where CouchDB or a page of the gate gives it. `rule` is the index of the rule that decided, None if none did.
    """

    outcome: str
    status: int
    refusal: GateError | None
    steps: tuple[Step, ...]
    rule: int | None = None
    sent: Sent | None = None


class _Verdict(NamedTuple):
    outcome: str
    status: int = 0
    refusal: GateError | None = None
    forward: Forward | None = None


def explain(gate: Gate, head: RequestHead, peer: Peer, facts: Facts, now: float, own: Own) -> Explanation:
    """How `gate` decides about `head`, knowing `facts`, at the time `now` (unix seconds). Raises nothing.

    `facts` are taken to be fresh: a key that they lack is not asked for again. Whose a password is nobody can say here,
    so a head with one is a fault: callers look before.
    """
    verdict = _judge(gate, head, peer, facts, now, own)
    story = _Story(gate, head, facts, now, verdict.refusal)
    with suppress(GateError):  # the last step holds it
        story.tell()
    sent = None if verdict.forward is None else _sent(verdict.forward.head, story.token)
    return Explanation(verdict.outcome, verdict.status, verdict.refusal, tuple(story.steps), story.rule, sent)


def _judge(gate: Gate, head: RequestHead, peer: Peer, facts: Facts, now: float, own: Own) -> _Verdict:
    """What a face would do with this request, from the gate's own mouth."""
    try:
        if gate.screen(head).preflight:
            status, _ = gate.preflight(head)
            return _Verdict("answered" if status < 400 else "refused", status)
        target = classify(head.method, head.target)
        if target.kind == Kind.GATE:
            return _Verdict("answered", own(head, target, None))
        if target.kind == Kind.SESSION:
            admission = gate.admit(head, facts, now, asked=True)
            assert isinstance(admission, Admission)  # noqa: S101  # not after it was asked
            return _Verdict("answered", own(head, target, admission.principal))
        trace = gate.trace(head.fields)  # without one the face takes an id of its own
        forward = gate.decide(head, target, peer, facts, now, asked=True, request_id=trace)
        assert isinstance(forward, Forward)  # noqa: S101  # as above
    except GateError as error:
        return _Verdict("refused", error.status, error)
    except Exception:  # noqa: BLE001  # a fault fails closed, here as in a face
        return _Verdict("refused", 500, InternalError("The gate failed."))
    return _Verdict("forwarded", forward=forward)


class _Story:
    """The steps so far. Whatever a step raises was put into it before."""

    def __init__(self, gate: Gate, head: RequestHead, facts: Facts, now: float, refusal: GateError | None) -> None:
        self._gate = gate
        self._head = head
        self._facts = facts
        self._now = now
        self._refusal = refusal
        self.steps: list[Step] = []
        self.token = b""
        self.rule: int | None = None

    def tell(self) -> None:
        """All steps. Raises the GateError that the last one holds, if it says no."""
        if self._screen():
            return
        target = self._target()
        if target.kind != Kind.GATE:
            principal = self._principal()
            if target.kind != Kind.SESSION:
                self._policy(principal, target)
        if self._refusal is not None:  # what only the whole decision says
            self._refuse("request", self._refusal)

    def _add(self, step: str, found: dict[str, Any]) -> None:
        self.steps.append(Step(step, found))

    def _refuse(self, step: str, error: GateError, found: dict[str, Any] | None = None) -> NoReturn:
        self.steps.append(Step(step, found or {}, error))
        raise error

    def _screen(self) -> bool:
        fields = self._head.fields
        host = {"host": _text(fields.first(b"host"))}
        try:
            screen = self._gate.screen(self._head)
        except GateError as error:
            self._refuse("host", error, host)
        self._add("host", host)
        origin = fields.first(b"origin")
        if origin is not None:
            self._add("origin", {"origin": _text(origin), "allowed": b"Access-Control-Allow-Origin" in screen.lines})
        if screen.preflight:
            self._add("preflight", {"status": self._gate.preflight(self._head)[0]})
        return screen.preflight

    def _target(self) -> Target:
        try:
            target = classify(self._head.method, self._head.target)
        except GateError as error:
            self._refuse("target", error)
        told = ("database", "document", "attachment", "endpoint", "kind")
        self._add("target", _known({name: getattr(target, name) for name in told}))
        return target

    def _principal(self) -> Principal:
        try:
            shown = credential.read(self._head, self._gate.basic)
            self.token = shown if isinstance(shown, bytes) else b""
            if not self.token:
                self._gate.admit(self._head, self._facts, self._now, asked=True)
            header, claims = unverified(self.token)
        except GateError as error:
            self._refuse("token", error, _known({"bytes": len(self.token) or None}))
        self._add("token", {"bytes": len(self.token)})
        found = {name: claims[name] for name in _CLAIMS if name in claims}
        try:
            rules = select(claims, self._gate.rules)
        except GateError as error:
            self._refuse("issuer", error, found)
        self._add("issuer", {"issuer": rules.issuer, "table": rules.id})
        found |= _named(claims, rules)
        key = _key(header, rules, self._facts.keysets.get(rules.id))
        try:
            verified = verify(self.token, self._gate.rules, self._facts.keysets, self._now)
        except GateError as error:
            if error.code in _KEY_CODES:
                self._refuse("key", error, key)
            self._add("key", key)
            self._refuse("claims", error, found)
        self._add("key", key)
        self._add("claims", found)
        try:
            principal = principal_of(verified.claims, rules)
        except GateError as error:
            self._refuse("principal", error)
        roles = {"roles": list(principal.roles), "dropped": _dropped(verified.claims, rules)}
        self._add("principal", _known({"name": principal.name, **roles, "tenant": principal.tenant}))
        return principal

    def _policy(self, principal: Principal, target: Target) -> None:
        self._rule(principal, target)
        if self._refusal is not None and self._refusal.code == "upgrade":
            return
        values = self._head.fields.all(b"destination")
        if target.copies and len(values) == 1 and target.database is not None:
            try:
                there = destination(target.database, values[0])
            except GateError as error:
                self._refuse("destination", error)
            self._add("destination", _known({"document": there.document, "kind": there.kind}))
            self._rule(principal, there)

    def _rule(self, principal: Principal, target: Target) -> None:
        """Which rule decides; those before it, or all, with the key by which they do not apply."""
        policy = self._gate.policy
        deciding = policy.deciding(principal, target)
        found: dict[str, Any] = {"kind": target.kind}
        passed: list[dict[str, Any]] = []
        if target.kind in ALLOWABLE:
            for index, rule in enumerate(policy.rules):
                if rule is deciding:
                    self.rule = index
                    found |= {"rule": index + 1, **_shape(rule)}
                    break
                passed.append({"rule": index + 1, "because_of": rule.misfit(principal, target.database)})
            else:
                self.rule = None
                found["rule"] = None
            if passed:
                found["not_applying"] = passed
        try:
            policy.check(principal, target)
        except GateError as error:
            self._refuse("rule", error, found)
        self._add("rule", found)


def _known(found: dict[str, Any]) -> dict[str, Any]:
    return {label: value for label, value in found.items() if value is not None}


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("ascii", "backslashreplace")


def _shape(rule: Rule) -> dict[str, Any]:
    """A rule as its settings have it."""
    return {
        "databases": None if rule.databases is None else [pattern.text for pattern in rule.databases],
        "roles": None if rule.roles is None else sorted(rule.roles),
        "allow": sorted(rule.allow),
    }


def _key(header: Header, rules: TokenRules, keyset: KeySet | None) -> dict[str, Any]:
    """What the token says of its key, and what the issuer's set has for that."""
    return {
        "kid": header.kid,
        "algorithm": header.algorithm,
        "type": _KEY_TYPES.get(header.algorithm[:2]),
        "allowed": sorted(rules.algorithms),
        "known": [] if keyset is None else sorted({key.kid or "(without kid)" for key in keyset.keys}),
        "fitting": 0 if keyset is None else len(keyset.find(header.kid, header.algorithm)),
    }


def _named(claims: Any, rules: TokenRules) -> dict[str, Any]:
    """The claims that name, role and tenant are read from, under the names that the settings give."""
    absent = object()
    paths = (rules.claims.name, rules.claims.roles, rules.claims.tenant)
    found = {path: claim_at(claims, path, absent) for path in paths}
    return {path: value for path, value in found.items() if value is not absent and path not in _CLAIMS}


def _dropped(claims: Any, rules: TokenRules) -> dict[str, str] | None:
    roles = claim_at(claims, rules.claims.roles) or ()
    problems = {role: role_problem(role) for role in roles}
    return {role: problem for role, problem in problems.items() if problem is not None} or None


def _sent(head: bytes, token: bytes) -> Sent:
    head = _JWT.sub(MASK, head.replace(token, MASK) if token else head)  # another may stand in any field
    start, *lines = head.removesuffix(b"\r\n").split(b"\r\n")
    parted = (line.partition(b":") for line in lines)
    return Sent(start, tuple((name, _masked(name, value.strip(b" \t"))) for name, _, value in parted))


def _masked(name: bytes, value: bytes) -> bytes:
    if _MASKED.fullmatch(name.lower()) is None:
        return value
    scheme, space, _ = value.partition(b" ")
    return scheme + b" " + MASK if space and scheme in (b"Basic", b"Bearer") else MASK
