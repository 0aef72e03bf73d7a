"""The decision about one request, from its head and from what the face knows.

The order of refusals is: what cannot be read (400, from `http1` or here), a `Host` that is not served (421), the
preflight, the gate's own pages, the token (401), the policy (403). Without a valid token every target is a 401,
whether it exists or not. Only a `GateError` says no on purpose; any other exception is a fault, and the face answers
it with 500 and forwards nothing.

What depends on the header fields alone is derived once per distinct header block and kept on the `Fields` object
(`prepared`); a token's verdict, the lines that introduce its bearer to CouchDB and the rule for the database last asked
for are kept with the token until it expires or any key set changes. Neither can change an answer: the first is a pure
function of the fields and this gate, the second of the token, the keys, the settings and the time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from hashlib import sha256

from couchgate.core import credential, rewrite, trace
from couchgate.core.cors import Cors
from couchgate.core.credential import NO_BASIC, BasicCredential, BasicRules
from couchgate.core.errors import BadRequest, Forbidden, GateError, KeysMissing, Unauthorized, UnknownKey
from couchgate.core.feed import FeedFollower
from couchgate.core.host import Hosts
from couchgate.core.identity import Introduction
from couchgate.core.keys import KeySet
from couchgate.core.memo import Memo
from couchgate.core.message import Fields, Pair, Peer, RequestHead
from couchgate.core.policy import Policy, Rule
from couchgate.core.principal import Principal, principal_of
from couchgate.core.target import Kind, Target, destination
from couchgate.core.token import TokenRules, verify
from couchgate.core.verdict import Admission, Facts, Forward, NeedKeys, NeedPrincipal, NeedVerdict, Screen

VERDICTS_KEPT = 8192
_DATABASES_KEPT = 16  # whose rules are kept with a token
_SHORT = 240  # characters: CouchDB allows no longer names, and it bounds what can be kept
KEY_BYTES = 2048  # of a token that is kept as it is; of a longer one its hash, to bound what verdicts take


_NEED_VERDICT = NeedVerdict()


class _Prepared:
    """What a gate derives from header fields alone."""

    __slots__ = ("copy_to", "gate", "host", "lines", "named", "screen", "trace", "upgrade")

    def __init__(self) -> None:
        self.gate: Gate | None = None
        self.host: GateError | None = None
        self.screen = Screen(b"", preflight=False, close=False)
        self.named = False  # whether there is an `Authorization` among them
        self.lines = b""
        self.copy_to: tuple[bytes, ...] = ()
        self.trace = b""
        self.upgrade = False


class Gate:
    """Decides. One per settings; safe to share between faces and threads, since what it keeps are pure results."""

    def __init__(
        self,
        *,
        rules: Sequence[TokenRules],
        policy: Policy,
        cors: Cors,
        hosts: frozenset[str],
        introduction: Introduction,
        authority: str,
        traces: bool = True,
        basic: BasicRules = NO_BASIC,
    ) -> None:
        self.traces = traces
        self._rules = tuple(rules)
        self._policy = policy
        self._cors = cors
        self._hosts = Hosts(hosts)
        self._cors_lines = {origin: rewrite.lines_of(cors.answer(origin)) for origin in (None, *cors.origins)}
        self._introduction = introduction
        self.basic = basic
        self._host_line = b"\r\nHost: %b" % authority.encode("ascii")
        self.verified = 0  # tokens that were looked at because no verdict was remembered
        self._verdicts: tuple[Mapping[str, KeySet] | None, Memo[bytes, Admission]] = (None, Memo(VERDICTS_KEPT))

    @property
    def verdicts(self) -> int:
        """How many verdicts are remembered now."""
        return self._verdicts[1].kept

    def trace(self, fields: Fields) -> bytes:
        """The trace id that the client sent, 32 hex digits, or empty (`core.trace`)."""
        prepared: _Prepared | None = fields.prepared
        if prepared is None or prepared.gate is not self:
            prepared = self._prepare(fields)
        return prepared.trace

    @property
    def rules(self) -> tuple[TokenRules, ...]:
        """Which tokens count."""
        return self._rules

    @property
    def policy(self) -> Policy:
        """What their bearers may do."""
        return self._policy

    def forget(self) -> None:
        """Another gate decides from now on: keep nothing that only this one needs."""
        self._verdicts = (None, Memo(VERDICTS_KEPT))

    def screen(self, head: RequestHead) -> Screen:
        """Judge `Host` (RFC 9112 3.2) and CORS. Raises BadRequest, Misdirected."""
        fields = head.fields
        prepared: _Prepared | None = fields.prepared
        if prepared is None or prepared.gate is not self:
            prepared = self._prepare(fields)
        if prepared.host is not None:
            raise copy(prepared.host)  # one instance raised again and again would collect tracebacks
        if head.method == b"OPTIONS" and self._cors.preflight(head.method, fields):
            return prepared.screen._replace(preflight=True)
        return prepared.screen

    def preflight(self, head: RequestHead) -> tuple[int, tuple[Pair, ...]]:
        """Status and fields of the answer to a CORS preflight; it carries no others."""
        return self._cors.preflight_status(head.fields), self._cors.preflight_answer(head.fields)

    def cors_lines(self, fields: Fields) -> bytes:
        """The header lines that every answer to these fields carries, refusals included."""
        prepared: _Prepared | None = fields.prepared
        if prepared is None or prepared.gate is not self:
            prepared = self._prepare(fields)
        return prepared.screen.lines

    def admit(
        self, head: RequestHead, facts: Facts, now: float, *, asked: bool = False, person: Principal | None = None
    ) -> Admission | NeedKeys | NeedPrincipal:
        """Whose credential this is. Raises Unauthorized, or BadRequest for two of them."""
        prepared: _Prepared | None = head.fields.prepared
        if prepared is None or prepared.gate is not self:
            prepared = self._prepare(head.fields)
        admission = self._admit(head, prepared, facts, now, asked=asked, person=person, patient=False)
        assert not isinstance(admission, NeedVerdict)  # noqa: S101  # for the type checker: nobody was patient
        return admission

    def decide(
        self,
        head: RequestHead,
        target: Target,
        peer: Peer,
        facts: Facts,
        now: float,
        *,
        asked: bool = False,
        request_id: bytes = b"",
        person: Principal | None = None,
        patient: bool = False,
    ) -> Forward | NeedKeys | NeedPrincipal | NeedVerdict:
        """Whether this request may go to CouchDB, and how. Raises GateError.

        `target` is what `classify` made of the head, `now` seconds since the epoch. `request_id`, unless empty, is what
        `trace` gave or 32 hex digits of the face's own: CouchDB is told. `person` is what the checkers said to a
        `NeedPrincipal` of this request. Only who is `patient` is told `NeedVerdict`.
        """
        fields = head.fields
        prepared: _Prepared | None = fields.prepared
        if prepared is None or prepared.gate is not self:
            prepared = self._prepare(fields)
        admission = self._admit(head, prepared, facts, now, asked=asked, person=person, patient=patient)
        if not isinstance(admission, Admission):
            return admission
        principal = admission.principal
        rule = self._check(admission, target)
        if prepared.upgrade:
            raise Forbidden("The gate does not relay upgraded connections.", code="upgrade")
        if target.copies:
            self._check_copy(prepared, principal, target)
        elif prepared.copy_to:
            raise BadRequest("Only COPY has a Destination.", code="destination")
        traced = b""
        if request_id:
            traced = trace.continued(request_id) if prepared.trace else trace.started(request_id)
        return Forward(
            b"%b %b HTTP/1.1%b%b%b%b%b"
            % (
                head.method,
                head.target,
                self._host_line,
                prepared.lines,
                admission.introduced if now < admission.introduced_until else self._introduce(admission, now),
                peer.lines,
                traced,
            ),
            principal,
            target,
            admission.expires,
            target.judged and (rule is None or Kind.DESIGN not in rule.allow),
            FeedFollower.of(head.target) if target.feed else None,
        )

    def learn(self, head: RequestHead, facts: Facts, now: float) -> GateError | None:
        """Verify the token of a request that was a `NeedVerdict`: why it is refused, or None.

        What follows from it for CouchDB is worked out, too: a face that lets several be learned in a row, and asks
        again for each of them then, finds the code of either step in the processor's cache.
        """
        try:
            admission = self.admit(head, facts, now)
        except GateError as error:
            return error
        if isinstance(admission, Admission) and now >= admission.introduced_until:
            self._introduce(admission, now)
        return None

    def _check(self, admission: Admission, target: Target) -> Rule | None:
        """The rule by which this person may reach `target`, None if it needs none. Raises Forbidden."""
        database, ruled = target.database, admission.ruled
        if database is None:
            return self._policy.check(admission.principal, target)
        rule = ruled.get(database) if ruled is not None else None
        if rule is not None and target.kind in rule.allow and target.kind != Kind.SERVER:
            return rule
        rule = self._policy.check(admission.principal, target)
        if rule is not None and len(database) <= _SHORT:
            if ruled is None or len(ruled) >= _DATABASES_KEPT:
                admission.ruled = {database: rule}
            else:
                ruled[database] = rule
        return rule

    def _introduce(self, admission: Admission, now: float) -> bytes:
        admission.introduced, admission.introduced_until = self._introduction.lines(admission.principal, now)
        return admission.introduced

    def _admit(
        self,
        head: RequestHead,
        prepared: _Prepared,
        facts: Facts,
        now: float,
        *,
        asked: bool,
        person: Principal | None,
        patient: bool,
    ) -> Admission | NeedKeys | NeedPrincipal | NeedVerdict:
        token = head.bearer
        if prepared.host is not None:  # a face that did not ask `screen`
            raise copy(prepared.host)
        if prepared.named or not token:
            shown = credential.read(head, self.basic)
            if not isinstance(shown, bytes):
                return self._admit_person(shown, person, now)
            token = shown
        keysets = facts.keysets
        verdicts, key = self._remembered(keysets), token if len(token) <= KEY_BYTES else sha256(token).digest()
        admission = verdicts[key]
        if admission is None:
            if patient and not asked:
                return _NEED_VERDICT
        elif now < admission.expires:
            return admission
        self.verified += 1
        try:
            verified = verify(token, self._rules, keysets, now)
        except (UnknownKey, KeysMissing) as error:
            if asked:
                raise
            return NeedKeys(error.rules_id, error.kid)
        admission = Admission(principal_of(verified.claims, verified.rules), verified.expires)
        verdicts.put(key, admission)
        return admission

    def _remembered(self, keysets: Mapping[str, KeySet]) -> Memo[bytes, Admission]:
        """What was found out about tokens with these keys."""
        kept_of, verdicts = self._verdicts
        if kept_of is not keysets:
            verdicts = Memo(VERDICTS_KEPT)
            self._verdicts = (keysets, verdicts)  # one value, so that no thread keeps an old verdict among the new
        return verdicts

    def _admit_person(
        self, shown: BasicCredential | None, person: Principal | None, now: float
    ) -> Admission | NeedPrincipal:
        if shown is None:
            raise Unauthorized("A token is needed: send it as 'Authorization: Bearer <token>'.", code="token_missing")
        if person is None:
            return NeedPrincipal(shown)
        return Admission(person, now + self.basic.feed_seconds)

    def _check_copy(self, prepared: _Prepared, principal: Principal, target: Target) -> None:
        if len(prepared.copy_to) != 1 or target.database is None:
            raise BadRequest("COPY needs one Destination.", code="destination")
        self._policy.check(principal, destination(target.database, prepared.copy_to[0]))

    def _prepare(self, fields: Fields) -> _Prepared:
        prepared = _Prepared()
        prepared.gate = self
        special = fields.special
        if b"traceparent" in special:
            prepared.trace = trace.trace_id(fields)
        options = special.get(b"connection")
        close = False
        if options is not None and options != (b"keep-alive",):
            named = rewrite.named_hop_by_hop(options)
            close = b"close" in named
            prepared.upgrade = b"upgrade" in named and b"upgrade" in special
        origin = self._cors.match(fields) if b"origin" in special else None
        prepared.screen = Screen(self._cors_lines[origin], preflight=False, close=close)
        try:
            host = self._hosts.check(special.get(b"host", ()))
        except GateError as error:
            prepared.host = copy(error)  # its traceback holds the frames, and with them a connection and its bytes
        else:
            prepared.lines = b"%b\r\nX-Forwarded-Host: %b\r\n" % (rewrite.toward_couchdb(fields), host)
            prepared.named = b"authorization" in special
            prepared.copy_to = special.get(b"destination", ())
        fields.prepared = prepared
        return prepared
