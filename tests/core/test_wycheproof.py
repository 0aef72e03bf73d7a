"""Project Wycheproof's JSON Web Key, Signature and Crypto vectors, each with the verdict that it asks for.

The vectors are not part of this repository: `COUCHGATE_SHARED` names the folder that has them, or `../shared` beside
the checkout is it. Without them this module fails.
"""

from __future__ import annotations

import json
import os
from functools import lru_cache
from pathlib import Path

import pytest

from couchgate.core.errors import Unauthorized
from couchgate.core.keys import KeySet, UnusableKeys
from couchgate.core.token import verify_signature
from couchgate.core.verifier import HMAC_ALGORITHMS, PUBLIC_ALGORITHMS

SHARED = Path(os.environ.get("COUCHGATE_SHARED") or Path(__file__).parents[3] / "shared")
FILES = {
    name: json.loads((SHARED / "vectors" / "wycheproof" / f"json_web_{name}_test.json").read_bytes())
    for name in ("key", "signature", "crypto")
}
CASES = {
    (name, test["tcId"]): (group, test)
    for name, document in FILES.items()
    for group in document["testGroups"]
    for test in group["tests"]
}

ES521 = "its JWK says alg=ES521, which RFC 7518 does not know: P-521 signs ES512; an alg restricts a key to just it"
PS384 = "its JWK says alg=PS256 and its token is signed with PS384 (RFC 7520 4.2); an alg restricts a key to just it"
NO_JWE = "a valid JWE: the gate takes signed tokens only and decrypts nothing"
SAME_AS_357 = "byte for byte the token that tcId 357 calls valid: the bad padding got lost when the file was made"
FOREIGN_LETTER = "holds a '?', which RFC 7515 2 has no room for; the vector allows decoders that pass over it"

# Where the gate's verdict is the opposite of the vector's, and why.
EXCEPTIONS = {
    ("signature", 346): PS384,
    ("signature", 347): ES521,
    ("signature", 350): PS384,
    ("signature", 351): ES521,
    ("signature", 367): SAME_AS_357,
    ("signature", 370): SAME_AS_357,
    ("signature", 372): FOREIGN_LETTER,
    ("signature", 373): FOREIGN_LETTER,
    ("crypto", 50): NO_JWE,
    ("crypto", 67): NO_JWE,
}


@lru_cache
def key_set(text: str, algorithms: frozenset[str]) -> KeySet | None:
    try:
        return KeySet.from_jwks(text.encode(), algorithms)
    except UnusableKeys:
        return None


def accepts(jwk: dict, token: object) -> bool:
    document = jwk if "keys" in jwk else {"keys": [jwk]}
    text = token if isinstance(token, str) else json.dumps(token)
    for algorithms in (HMAC_ALGORITHMS, PUBLIC_ALGORITHMS):
        keys = key_set(json.dumps(document), algorithms)
        if keys is not None:
            try:
                verify_signature(text.encode(), keys, algorithms)
            except Unauthorized:
                continue
            return True
    return False


def verdict(case: tuple[str, int]) -> bool:
    group, test = CASES[case]
    return accepts(group.get("public") or group["private"], test["jws"] if "jws" in test else test["jwe"])


@pytest.mark.parametrize("case", sorted(CASES.keys() - EXCEPTIONS.keys()), ids=lambda case: f"{case[0]}-{case[1]}")
def test_verdict(case):
    """A token is accepted exactly when the vector calls it valid."""
    assert verdict(case) == (CASES[case][1]["result"] == "valid")


@pytest.mark.parametrize("case", EXCEPTIONS, ids=lambda case: f"{case[0]}-{case[1]}")
def test_exception(case):
    """An exception is still one: the gate's verdict differs from the vector's."""
    assert verdict(case) != (CASES[case][1]["result"] == "valid")


@pytest.mark.parametrize(("number", "alg"), [(346, "PS384"), (347, "ES512"), (350, "PS384"), (351, "ES512")])
def test_only_the_alg_is_wrong(number, alg):
    """A key that calls itself by a wrong `alg` verifies its token once it says the right one."""
    group, test = CASES["signature", number]
    assert accepts({**group["public"], "alg": alg}, test["jws"])


@pytest.mark.parametrize("number", [367, 370])
def test_lost_padding(number):
    """The vectors with bad padding are in truth the valid token of tcId 357."""
    assert CASES["signature", number][1]["jws"] == CASES["signature", 357][1]["jws"]


def test_private_keys_are_refused():
    """A document that publishes a private key is never made a key set, whatever else it holds."""
    groups = [group["private"] for document in FILES.values() for group in document["testGroups"]]
    private = [jwk for group in groups for jwk in group.get("keys", [group]) if "d" in jwk]
    good = {**CASES["signature", 262][0]["public"], "kid": "good"}
    assert key_set(json.dumps({"keys": [good]}), PUBLIC_ALGORITHMS) is not None
    assert len(private) > 30
    for jwk in private:
        assert key_set(json.dumps({"keys": [good, jwk]}), PUBLIC_ALGORITHMS) is None


def test_all_vectors_are_here():
    """No vector of the three files is left out."""
    assert [sum(name == each for each, _ in CASES) for name in FILES] == [f["numberOfTests"] for f in FILES.values()]
