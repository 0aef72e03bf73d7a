"""Is this token valid, and under which rules.

A token is one compact JWS (RFC 7515 7.1) whose payload is a JWT claims set (RFC 7519), read as RFC 8725 advises:

- At most 8192 bytes; exactly three parts; canonical base64url; JSON objects without duplicate members.
- The header chooses nothing but a key: `alg` must be one that the rules allow AND that the key serves; `kid` is only
  looked up in the issuer's own key set; `jku`, `jwk`, `x5u`, `x5c`, `b64` and all else is ignored; any `crit` is a
  refusal, because no extension is understood. `typ`, if there is one, must be `JWT` or `at+jwt` (RFC 9068), in any
  case, with or without `application/`: a logout or DPoP token is signed by the same key, and is no access token.
- The unverified payload is used for one thing, to find the rules: those whose `issuer` is exactly `iss`; where rules
  share an issuer, the one whose audiences meet `aud`. A token that fits two is refused. What a forger writes there
  decides only against whose keys it fails.
- After the signature: `exp` must be there; `exp + leeway <= now` is expired, `nbf` or `iat` beyond `now + leeway` is
  not yet valid; times are finite numbers. `aud` must meet the rules' audiences, unless they are empty (any, even
  none). `azp` must be an authorized party, where there are such.

Every refusal is an `Unauthorized` with a stable `code`; `keys_missing` alone is 503, because it will pass. Reasons
never quote the token.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import isfinite
from typing import Any, NamedTuple

from couchgate.core.errors import KeysMissing, Unauthorized, UnknownKey
from couchgate.core.keys import KeySet
from couchgate.core.strict import base64url, json_object

MAX_TOKEN_BYTES = 8192

_TYPES = frozenset({"jwt", "at+jwt"})
_FAR = 1 << 63  # an integer beyond this is no time, and may be too large for arithmetic with the float leeway


@dataclass(frozen=True, slots=True)
class ClaimNames:
    """Where the claims sit. Each is tried first as one literal name (CouchDB's `_couchdb.roles` is), then as a path."""

    name: str = "sub"
    roles: str = "_couchdb.roles"
    tenant: str = "tenant"


@dataclass(frozen=True, slots=True)
class TokenRules:
    """What a token of one issuer must fulfil.

    `id` names these rules and their key set; `issuer` is compared exactly; empty `audiences` accept any; `algorithms`
    are JWA names; `authorized_parties`, unless empty, is checked against `azp`; `leeway` is in seconds; `name_prefix`
    is put before every user name of this issuer, and none of its names may begin with one of `reserved_prefixes`, which
    belong to other issuers.
    """

    id: str
    issuer: str
    audiences: frozenset[str]
    algorithms: frozenset[str]
    authorized_parties: frozenset[str] = frozenset()
    leeway: float = 30.0
    claims: ClaimNames = ClaimNames()
    name_prefix: str = ""
    reserved_prefixes: tuple[str, ...] = ()


class Verified:
    """A valid token: the rules that it fulfils, its claims, and when it ends (`exp` plus leeway, unix seconds)."""

    __slots__ = ("claims", "expires", "rules")

    def __init__(self, rules: TokenRules, claims: dict[str, Any], expires: float) -> None:
        self.rules = rules
        self.claims = claims
        self.expires = expires


class Header(NamedTuple):
    """What a token's header may say: the algorithm, and the key's id or None."""

    algorithm: str
    kid: str | None


# Header, payload, signing input, signature; a plain tuple, because one is made per token and lives for microseconds.
_Compact = tuple[Header, bytes, bytes, bytes]


def _malformed() -> Unauthorized:
    return Unauthorized("The token is not a compact JSON Web Token.", code="token_malformed")


@lru_cache(maxsize=256)  # the tokens of one issuer share their header, byte for byte
def _header(encoded: bytes) -> Header:
    try:
        fields = json_object(base64url(encoded))
    except ValueError as error:
        raise _malformed() from error
    algorithm, kid, kind = fields.get("alg"), fields.get("kid"), fields.get("typ", "JWT")
    if type(algorithm) is not str:
        raise Unauthorized("The token names no signature algorithm.", code="token_algorithm")
    if "crit" in fields:
        raise Unauthorized("The token asks for an extension that is not supported.", code="token_crit")
    if type(kind) is not str or kind.lower().removeprefix("application/") not in _TYPES:
        raise Unauthorized("The token is of another type than JWT.", code="token_type")
    if "kid" in fields and type(kid) is not str:
        raise _malformed()
    return Header(algorithm, kid)


def _split(token: bytes) -> _Compact:
    if len(token) > MAX_TOKEN_BYTES:
        raise Unauthorized(f"The token is longer than {MAX_TOKEN_BYTES} bytes.", code="token_too_large")
    signing_input, _, signature = token.rpartition(b".")
    header, dot, payload = signing_input.partition(b".")  # a further dot is in the payload, and no base64url
    if not dot:
        raise _malformed()
    parsed = _header(header)
    try:
        return parsed, base64url(payload), signing_input, base64url(signature)
    except ValueError as error:
        raise _malformed() from error


def _read(token: bytes) -> tuple[_Compact, dict[str, Any]]:
    compact = _split(token)
    try:
        return compact, json_object(compact[1])
    except ValueError as error:
        raise _malformed() from error


def unverified(token: bytes) -> tuple[Header, dict[str, Any]]:
    """What `token` says, proved by nothing: for explaining a decision, never for making one. Raises `Unauthorized`."""
    compact, claims = _read(token)
    return compact[0], claims


def _check_signature(token: _Compact, keyset: KeySet, algorithms: frozenset[str], rules_id: str) -> None:
    (algorithm, kid), _, signing_input, signature = token
    if algorithm not in algorithms:
        raise Unauthorized("The token's signature algorithm is not allowed.", code="token_algorithm")
    keys = keyset.find(kid, algorithm)
    if not keys:
        unknown = UnknownKey("The token is signed with a key that its issuer is not known to have.")
        unknown.rules_id, unknown.kid = rules_id, kid
        raise unknown
    for key in keys:
        if key.verify(algorithm, signing_input, signature):
            return
    raise Unauthorized("The token's signature is not valid.", code="token_signature")


def verify_signature(token: bytes, keyset: KeySet, algorithms: frozenset[str]) -> tuple[Header, bytes]:
    """The header and the raw payload of a JWS that a key of `keyset` signed with one of `algorithms`.

    The first half of `verify`: it says nothing about the payload, not even that it is JSON. Raises `Unauthorized`, or
    `UnknownKey` with an empty `rules_id`.
    """
    compact = _split(token)
    _check_signature(compact, keyset, algorithms, "")
    return compact[0], compact[1]


def _meets(audience: object, rules: TokenRules) -> bool:
    if not rules.audiences:
        return True
    if type(audience) is str:
        return audience in rules.audiences
    if type(audience) is not list or not all(type(entry) is str for entry in audience):
        return False
    return not rules.audiences.isdisjoint(audience)


def select(claims: dict[str, Any], rules: Sequence[TokenRules]) -> TokenRules:
    """The one entry of `rules` that the unverified `claims` point to. Raises `Unauthorized`."""
    issuer = claims.get("iss")
    fitting = [each for each in rules if each.issuer == issuer]
    if not fitting:
        raise Unauthorized("The token's issuer is not known here.", code="token_issuer")
    if len(fitting) > 1:
        audience = claims.get("aud")
        fitting = [each for each in fitting if _meets(audience, each)]
        if len(fitting) > 1:
            raise Unauthorized("The token's audience fits more than one set of rules.", code="token_ambiguous")
        if not fitting:
            raise _wrong_audience()
    return fitting[0]


def _wrong_audience() -> Unauthorized:
    return Unauthorized("The token is meant for another audience.", code="token_audience")


def _instant(claims: dict[str, Any], name: str) -> float:
    """The time claim `name` in unix seconds (RFC 7519 2, NumericDate); a bool is an int only to Python."""
    value: Any = claims.get(name)
    kind = type(value)
    if (kind is int and -_FAR < value < _FAR) or (kind is float and isfinite(value)):
        return value  # type: ignore[no-any-return]  # the line above says what it is, in a form mypy cannot follow
    raise Unauthorized(f"The token's {name} is not a time.", code="token_claims")


def _check_claims(claims: dict[str, Any], rules: TokenRules, now: float) -> float:
    expires = _instant(claims, "exp") + rules.leeway
    if expires <= now:
        raise Unauthorized("The token has expired.", code="token_expired")
    latest = now + rules.leeway
    if ("nbf" in claims and _instant(claims, "nbf") > latest) or ("iat" in claims and _instant(claims, "iat") > latest):
        raise Unauthorized("The token is not valid yet.", code="token_not_yet")
    if not _meets(claims.get("aud"), rules):
        raise _wrong_audience()
    parties = rules.authorized_parties
    if parties:
        party = claims.get("azp")
        if type(party) is not str or party not in parties:
            raise Unauthorized("The token was issued to another party.", code="token_party")
    return expires


def verify(token: bytes, rules: Sequence[TokenRules], keysets: Mapping[str, KeySet], now: float) -> Verified:
    """The verified claims of `token`, under the one entry of `rules` that fits it.

    `keysets` holds the key sets by `TokenRules.id`; `now` is in unix seconds. Raises `Unauthorized` with its `code`,
    `UnknownKey` when fresh keys may help, and `KeysMissing` while there are no keys of that issuer.
    """
    compact, claims = _read(token)
    chosen = select(claims, rules)
    keyset = keysets.get(chosen.id)
    if not keyset:
        missing = KeysMissing("The keys of the token's issuer are not known yet.")
        missing.rules_id, missing.kid = chosen.id, compact[0].kid
        raise missing
    _check_signature(compact, keyset, chosen.algorithms, chosen.id)
    return Verified(chosen, claims, _check_claims(claims, chosen, now))
