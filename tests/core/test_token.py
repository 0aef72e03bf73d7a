"""`couchgate.core.token`: which tokens are valid, and why the others are not."""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from functools import lru_cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from couchgate.core.errors import GateError, Unauthorized, Unavailable, UnknownKey
from couchgate.core.keys import KeySet
from couchgate.core.token import MAX_TOKEN_BYTES, Header, TokenRules, verify, verify_signature
from couchgate.testing import ABSENT, Minter

NOW = 1_700_000_000.0
ISSUER = "https://id.example.com/"


@lru_cache
def made(algorithm, kid):
    return Minter(algorithm, kid)


def minter(algorithm="ES256", kid="test-1"):
    return made(algorithm, kid)


@lru_cache
def key_set(algorithm="ES256", kid="test-1"):
    return KeySet.from_jwks(minter(algorithm, kid).jwks(), [algorithm])


def rules(**changes):
    usual = {
        "id": "r",
        "issuer": ISSUER,
        "audiences": frozenset({"couchgate"}),
        "algorithms": frozenset({"ES256"}),
        "leeway": 30.0,
    }
    return TokenRules(**{**usual, **changes})


def check(token, *which, now=NOW, keysets=None):
    text = token.encode() if isinstance(token, str) else token
    return verify(text, which or (rules(),), {"r": key_set()} if keysets is None else keysets, now)


def mint(**changes):
    return minter().token(now=NOW, **changes)


def refused(token, *which, **how):
    with pytest.raises(Unauthorized) as caught:
        check(token, *which, **how)
    assert caught.value.status == 401
    return caught.value.code


def encoded(data):
    return urlsafe_b64encode(data).rstrip(b"=")


def test_valid():
    """A valid token gives its rules, its claims and its end."""
    which = rules()
    verified = check(mint(role="x"), which)
    assert verified.rules is which
    assert verified.claims["sub"] == "alice"
    assert verified.claims["role"] == "x"
    assert verified.expires == NOW + 300 + 30


@pytest.mark.parametrize("algorithm", ["RS256", "PS512", "ES384", "EdDSA", "HS256"])
def test_algorithms(algorithm):
    """Tokens of each family verify under rules that allow them."""
    keys = {"r": key_set(algorithm)}
    assert check(minter(algorithm).token(now=NOW), rules(algorithms=frozenset({algorithm})), keysets=keys)


@pytest.mark.parametrize(
    "token",
    [
        b"",
        b".",
        b"..",
        b"...",
        b"a.b",
        b"a.b.c",
        b"a.b.c.d",
        b"\xff.\xff.\xff",
        b"e30.e30",
        b"bnVsbA.e30.",
        b"W10.e30.",
    ],
)
def test_malformed(token):
    """What is not three parts with a JSON object first is malformed."""
    assert refused(token) == "token_malformed"


@pytest.mark.parametrize("part", [0, 1, 2])
@pytest.mark.parametrize("spoil", [b"=", b" ", b"\n", b"+", b"!", b"\xff"])
def test_strict_parts(part, spoil):
    """Padding, white space or a foreign letter in any part is malformed."""
    parts = mint().encode().split(b".")
    parts[part] += spoil
    assert refused(b".".join(parts)) == "token_malformed"


def test_spare_bits():
    """A signature spelled with spare bits set is malformed, although its bytes are right."""
    token = mint().encode()
    assert len(token.rpartition(b".")[2]) == 86
    assert refused(token[:-1] + bytes([token[-1] + 1])) == "token_malformed"


@pytest.mark.parametrize("payload", [b"", b"x", b"[]", b"null", b'{"a":1,"a":1}', b'{"a":NaN}', b"[" * 3000, b"\xff"])
def test_odd_payloads(payload):
    """A well signed payload that is not one JSON object with unique names is malformed."""
    header = json.dumps({"alg": "ES256", "kid": "test-1"}).encode()
    assert refused(minter().sign(header, payload)) == "token_malformed"


@pytest.mark.parametrize(
    "header", [b'{"alg":"ES256","alg":"ES256"}', b'{"alg":"ES256","kid":7}', b'{"alg":"ES256","kid":null}']
)
def test_odd_headers(header):
    """A header with a member twice or a kid that is no string is malformed."""
    assert refused(minter().sign(header, b"{}")) == "token_malformed"


def test_size():
    """A token of 8192 bytes is read, one byte more is not."""
    token = mint(fill="x" * 5700)
    room = MAX_TOKEN_BYTES - len(token)
    longest = mint(fill="x" * (5700 + room * 3 // 4))
    assert MAX_TOKEN_BYTES - 1 <= len(longest) <= MAX_TOKEN_BYTES
    assert check(longest)
    assert refused(longest + "." * (MAX_TOKEN_BYTES + 1 - len(longest))) == "token_too_large"


@pytest.mark.parametrize("alg", ["none", "None", "NONE", "", "HS256", "RS256", "es256", ABSENT, None, 7, ["ES256"]])
def test_other_algorithms(alg):
    """An algorithm that the rules do not name is refused, whatever the token says."""
    assert refused(mint(headers={"alg": alg})) == "token_algorithm"


def test_algorithm_confusion():
    """A token signed by HMAC with the public PEM as secret is refused by rules for a public algorithm."""
    forged = Minter("HS256", key=minter().public_pem()).token(now=NOW)
    assert refused(forged) == "token_algorithm"
    header = b'{"alg":"ES256","kid":"test-1"}'
    assert refused(Minter("HS256", key=minter().public_pem()).sign(header, mint_payload())) == "token_signature"


def mint_payload(**changes):
    return json.dumps({"iss": ISSUER, "aud": "couchgate", "exp": NOW + 1, **changes}).encode()


def test_none_in_the_rules():
    """Even rules that name `none` verify nothing with it."""
    token = encoded(b'{"alg":"none"}') + b"." + encoded(mint_payload()) + b"."
    with pytest.raises(UnknownKey):
        check(token, rules(algorithms=frozenset({"none", "ES256"})))


@pytest.mark.parametrize("crit", [[], ["b64"], ["exp"], None, "exp"])
def test_crit(crit):
    """Any `crit` is refused."""
    assert refused(mint(headers={"crit": crit, "b64": True})) == "token_crit"


@pytest.mark.parametrize("typ", ["JWT", "jwt", "at+jwt", "AT+JWT", "application/jwt", "application/at+JWT", ABSENT])
def test_types(typ):
    """A token may say that it is a JWT or an access token, in any case, or nothing."""
    assert check(mint(headers={"typ": typ}))


@pytest.mark.parametrize(
    "typ", ["logout+jwt", "dpop+jwt", "JOSE", "", None, 7, "application/", "text/jwt", "application/application/jwt"]
)
def test_other_types(typ):
    """A token that says it is something else is refused, although it is well signed."""
    assert refused(mint(headers={"typ": typ})) == "token_type"


def test_header_keys_are_ignored():
    """A token that brings or points to its own key is verified with the issuer's key alone."""
    evil = Minter("ES256", "test-1")
    brought = {"jwk": json.loads(evil.jwks())["keys"][0], "jku": "https://evil.example/", "x5u": "x", "x5c": ["x"]}
    assert refused(evil.token(now=NOW, headers=brought)) == "token_signature"
    assert check(mint(headers=brought))


def test_b64_without_crit():
    """`b64` without `crit` changes nothing."""
    assert check(mint(headers={"b64": False}))


@pytest.mark.parametrize("issuer", [ABSENT, None, "", 7, [ISSUER], {}, ISSUER[:-1], ISSUER.upper(), ISSUER + " "])
def test_other_issuers(issuer):
    """An issuer that is not exactly one of the rules' is refused."""
    assert refused(mint(iss=issuer)) == "token_issuer"


def test_modified():
    """A token whose payload or signature was changed is refused."""
    header, payload, signature = mint().encode().split(b".")
    other = mint(sub="bob").encode().split(b".")
    assert refused(b".".join((header, other[1], signature))) == "token_signature"
    assert refused(b".".join((header, payload, other[2]))) == "token_signature"
    assert refused(b".".join((header, payload, b""))) == "token_signature"


def test_unknown_kid():
    """A kid that the key set does not know is UnknownKey with the rules' id and the kid."""
    with pytest.raises(UnknownKey) as caught:
        check(Minter("ES256", "new").token(now=NOW))
    assert (caught.value.rules_id, caught.value.kid, caught.value.code) == ("r", "new", "key_unknown")
    assert caught.value.headers == ((b"WWW-Authenticate", b'Bearer error="invalid_token"'),)


def test_no_kid():
    """A token without a kid is tried with the keys of its algorithm."""
    assert check(mint(headers={"kid": ABSENT}))


def test_second_key_fits():
    """Without a kid the second key of the set may be the one that fits."""
    entries = [json.loads(Minter("ES256", kid).jwks())["keys"][0] for kid in ("a", "b")]
    entries.insert(1, json.loads(minter().jwks())["keys"][0])
    keys = KeySet.from_jwks(json.dumps({"keys": entries}).encode(), ["ES256"])
    assert check(mint(headers={"kid": ABSENT}), keysets={"r": keys})


def test_no_keys():
    """While there are no keys of the issuer, its tokens are 503: it will pass."""
    with pytest.raises(Unavailable) as caught:
        check(mint(), keysets={})
    assert caught.value.code == "keys_missing"


@pytest.mark.parametrize("exp", [ABSENT, None, True, "1800000000", [1800000000], {}, 10**400, -(10**400), 1 << 63])
def test_odd_exp(exp):
    """A token without a numeric `exp` is refused."""
    assert refused(mint(exp=exp)) == "token_claims"


@pytest.mark.parametrize("name", ["exp", "nbf", "iat"])
@pytest.mark.parametrize("text", ["1e400", "-1e400", "null", "false", '"1"'])
def test_odd_times(name, text):
    """A time that is not a finite number is refused, in each of the three claims."""
    payload = mint_payload(**{name: 0}).replace(f'"{name}": 0'.encode(), f'"{name}": {text}'.encode())
    assert refused(minter().sign(b'{"alg":"ES256","kid":"test-1"}', payload)) == "token_claims"


@pytest.mark.parametrize("leeway", [0, 30, 0.5])
def test_expiry(leeway):
    """A token ends at `exp` plus leeway, that instant included."""
    which = rules(leeway=leeway)
    end = NOW + leeway
    token = mint(exp=NOW, iat=NOW - 60)
    assert check(token, which, now=end - 0.001).expires == end
    assert refused(token, which, now=end) == "token_expired"
    assert refused(token, which, now=end + 1) == "token_expired"


@pytest.mark.parametrize("name", ["nbf", "iat"])
def test_not_yet(name):
    """A token starts at `nbf` and `iat` less leeway, that instant included."""
    token = mint(**{name: NOW + 30, "exp": NOW + 300})
    assert check(token, now=NOW)
    assert refused(token, now=NOW - 0.001) == "token_not_yet"


def test_float_times():
    """Times may have fractions, and `iat` may be missing."""
    assert check(mint(exp=NOW + 0.5, nbf=NOW - 0.5, iat=ABSENT)).expires == NOW + 30.5


@pytest.mark.parametrize("aud", ["couchgate", ["couchgate"], ["other", "couchgate"]])
def test_audience(aud):
    """An audience of the rules, alone or in a list, is accepted."""
    assert check(mint(aud=aud))


@pytest.mark.parametrize(
    "aud",
    [ABSENT, None, "", "Couchgate", "other", [], ["other"], 7, {"couchgate": 1}, ["couchgate", 7], [["couchgate"]]],
)
def test_other_audience(aud):
    """Another, no or a malformed audience is refused."""
    assert refused(mint(aud=aud)) == "token_audience"


@pytest.mark.parametrize("aud", [ABSENT, None, "other", [], 7])
def test_any_audience(aud):
    """Rules without audiences accept any, even none."""
    assert check(mint(aud=aud), rules(audiences=frozenset()))


@pytest.mark.parametrize("azp", [ABSENT, None, "", "other", ["app"], 7])
def test_other_party(azp):
    """Where there are authorized parties, `azp` must be one of them."""
    which = rules(authorized_parties=frozenset({"app"}))
    assert refused(mint(azp=azp), which) == "token_party"
    assert check(mint(azp="app"), which)
    assert check(mint(azp=azp))


def shared():
    return rules(), rules(id="s", audiences=frozenset({"second"}))


def test_shared_issuer():
    """Of two rules that share an issuer, the audience chooses, and so the keys."""
    other = Minter("ES256", "test-1")
    keysets = {"r": key_set(), "s": KeySet.from_jwks(other.jwks(), ["ES256"])}
    first, second = shared()
    assert check(mint(), first, second, keysets=keysets).rules is first
    assert check(other.token(now=NOW, aud="second"), first, second, keysets=keysets).rules is second
    assert refused(mint(aud="second"), first, second, keysets=keysets) == "token_signature"


def test_ambiguous():
    """A token that fits two rules of one issuer is refused."""
    keysets = {"r": key_set(), "s": key_set()}
    assert refused(mint(aud=["couchgate", "second"]), *shared(), keysets=keysets) == "token_ambiguous"
    assert refused(mint(), rules(), rules(id="s", audiences=frozenset()), keysets=keysets) == "token_ambiguous"


def test_shared_issuer_without_audience():
    """A token that fits none of the rules of its issuer is meant for another audience."""
    assert refused(mint(aud="third"), *shared()) == "token_audience"


def test_issuers_do_not_share_keys():
    """The key of one issuer signs nothing for another."""
    other = Minter("ES256", "test-1", "https://other.example.com/")
    keysets = {"r": key_set(), "s": KeySet.from_jwks(other.jwks(), ["ES256"])}
    both = rules(), rules(id="s", issuer=other.issuer)
    assert check(other.token(now=NOW), *both, keysets=keysets).rules.id == "s"
    assert refused(other.token(now=NOW, iss=ISSUER), *both, keysets=keysets) == "token_signature"


def test_signature_before_claims():
    """A forged token is told nothing about its times or audience, only that it is forged."""
    evil = Minter("ES256", "test-1")
    assert refused(evil.token(now=NOW, exp=1, aud="other", nbf="x")) == "token_signature"


def test_verify_signature():
    """The signature half gives header and payload of a JWS, whatever the payload is."""
    token = minter().sign(b'{"alg":"ES256","kid":"test-1"}', b"not json").encode()
    assert verify_signature(token, key_set(), frozenset({"ES256"})) == (Header("ES256", "test-1"), b"not json")


def test_reasons_quote_nothing():
    """No refusal quotes the token."""
    token = mint(aud="hush-hush", sub="hush-hush")
    with pytest.raises(Unauthorized) as caught:
        check(token)
    assert "hush" not in caught.value.reason
    assert token not in caught.value.reason


@settings(deadline=None)
@given(st.one_of(st.binary(max_size=200), st.lists(st.binary(max_size=40).map(encoded), max_size=4).map(b".".join)))
def test_arbitrary_bytes(token):
    """Arbitrary bytes are refused, with nothing but a GateError."""
    with pytest.raises(GateError):
        check(token)


@settings(deadline=None)
@given(st.data())
def test_mutated_tokens(data):
    """A valid token with any byte changed, removed or added is refused, with nothing but a GateError."""
    token = bytearray(mint().encode())
    place = data.draw(st.integers(0, len(token) - 1))
    byte = data.draw(st.integers(0, 255))
    match data.draw(st.sampled_from(["change", "remove", "insert"])):
        case "change":
            token[place] = byte if byte != token[place] else byte ^ 1
        case "remove":
            del token[place]
        case _:
            token.insert(place, byte)
    with pytest.raises(GateError):
        check(bytes(token))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec=None), max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)


@settings(deadline=None)
@given(
    st.dictionaries(st.sampled_from(["iss", "aud", "exp", "nbf", "iat", "azp", "sub"]), JSON | st.just(ABSENT)),
    st.dictionaries(st.sampled_from(["alg", "kid", "typ", "crit", "b64", "jwk"]), JSON | st.just(ABSENT)),
)
def test_signed_oddities(claims, headers):
    """A well signed token with odd claims and headers is verified or refused with nothing but a GateError."""
    try:
        verified = check(mint(headers=headers, **claims), rules(authorized_parties=frozenset({"x"})))
    except GateError:
        return
    assert verified.expires > NOW
