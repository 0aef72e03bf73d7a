"""One key, and the signatures that it may verify.

The algorithm comes from the settings and from the key, never from the token (RFC 8725 3.1): a `Key` holds a prepared
verifier for each algorithm that it serves, and for another one it says no. What it may serve (RFC 7518, RFC 8037):

- RSA serves RS256/384/512 and PS256/384/512 (salt as long as the hash) with a modulus of 2048 to 8192 bits and an odd
  public exponent from 3 to 64 bits. Longer ones make each verification a way to keep the gate busy. A modulus with the
  fingerprint of ROCA (CVE-2017-15361) is refused: its private key can be computed.
- An elliptic curve serves its own hash only: P-256 ES256, P-384 ES384, P-521 ES512. A signature is r and s at full
  length, joined; DER is refused.
- Ed25519 and Ed448 serve EdDSA.
- A secret serves HS256/384/512 if it is as long as the hash (RFC 7518 3.2), and is never something that is published.

Key material never reaches a repr or an error text.
"""

from __future__ import annotations

import hmac
from base64 import b64decode
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512
from cryptography.hazmat.primitives.serialization import load_der_public_key

# Takes (signing input, signature) and returns True, or says no by False or by any exception.
Verifier = Callable[[bytes, bytes], bool]

HASHES = {"256": SHA256(), "384": SHA384(), "512": SHA512()}
CURVES = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}
HMAC_ALGORITHMS = frozenset({"HS256", "HS384", "HS512"})
PUBLIC_ALGORITHMS = frozenset({f + bits for f in ("RS", "PS", "ES") for bits in HASHES} | {"EdDSA"})

_RSA_BITS = range(2048, 8192 + 1)
_RSA_EXPONENT_BITS = 64
_SSH_PREFIXES = (b"ssh-", b"ecdsa-sha2-", b"sk-ssh-", b"sk-ecdsa-")
_JSON_FRAMES = (b"{}", b"[]")

# ROCA primes are k*M + (65537^a mod M), M a product of small primes: so modulo each of them the modulus is a power of
# 65537. A sound modulus is so for all of these with probability 2^-27 (Nemec et al., CCS 2017; their detection tool).
_ROCA_POWERS = {
    prime: frozenset(pow(65537, exponent, prime) for exponent in range(prime))
    for prime in (11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157)
}


class UnusableKeys(ValueError):
    """Key material that must not be used, as one sentence for the operator; never holds the material."""


@dataclass(frozen=True, slots=True, eq=False)
class Key:
    """One key: `kid` is its key id (RFC 7517 4.5) or None, `algorithms` the JWA names that it serves.

    Two keys are equal only if they are one object: nothing that compares could show what differs.
    """

    kid: str | None
    algorithms: frozenset[str]
    verifiers: Mapping[str, Verifier] = field(repr=False)

    def verify(self, algorithm: str, signing_input: bytes, signature: bytes) -> bool:
        """Whether `signature` (raw bytes) is this key's over `signing_input`; False for an algorithm not served."""
        try:
            return self.verifiers[algorithm](signing_input, signature)
        except Exception:  # noqa: BLE001 - the libraries raise many kinds on hostile signatures; all of them mean no
            return False


def _rsa_verifiers(key: rsa.RSAPublicKey, wanted: frozenset[str]) -> dict[str, Verifier]:
    numbers = key.public_numbers()
    if key.key_size not in _RSA_BITS:
        raise UnusableKeys("an RSA key must have 2048 to 8192 bits")
    if numbers.e < 3 or not numbers.e & 1 or numbers.e.bit_length() > _RSA_EXPONENT_BITS:
        raise UnusableKeys("an RSA key must have an odd public exponent from 3 to 64 bits")
    if all(numbers.n % prime in powers for prime, powers in _ROCA_POWERS.items()):
        raise UnusableKeys("an RSA key has the ROCA weakness (CVE-2017-15361): anybody can compute its private key")

    def prepared(algorithm: str) -> Verifier:
        digest = HASHES[algorithm[2:]]
        fill: padding.AsymmetricPadding = padding.PKCS1v15()
        if algorithm[0] == "P":
            fill = padding.PSS(padding.MGF1(digest), digest.digest_size)
        check = key.verify

        def verify(signing_input: bytes, signature: bytes) -> bool:
            check(signature, signing_input, fill, digest)
            return True

        return verify

    return {name: prepared(name) for name in wanted if name[:2] in ("RS", "PS")}


def _curve_verifiers(key: ec.EllipticCurvePublicKey, wanted: frozenset[str]) -> dict[str, Verifier]:
    algorithm = CURVES.get(key.curve.name)
    if algorithm not in wanted:
        return {}
    scheme = ec.ECDSA(HASHES[algorithm[2:]])
    half = (key.curve.key_size + 7) // 8
    check, number = key.verify, int.from_bytes

    def verify(signing_input: bytes, signature: bytes) -> bool:
        if len(signature) != 2 * half:
            return False
        der = encode_dss_signature(number(signature[:half], "big"), number(signature[half:], "big"))
        check(der, signing_input, scheme)
        return True

    return {algorithm: verify}


def _edwards_verifiers(
    key: ed25519.Ed25519PublicKey | ed448.Ed448PublicKey, wanted: frozenset[str]
) -> dict[str, Verifier]:
    check = key.verify

    def verify(signing_input: bytes, signature: bytes) -> bool:
        check(signature, signing_input)
        return True

    return {"EdDSA": verify} if "EdDSA" in wanted else {}


def public_key(key: Any, kid: str | None, algorithms: Iterable[str]) -> Key:
    """The `Key` of a public key object of `cryptography`, for those of `algorithms` that it fits.

    Raises `UnusableKeys` when it is weak or fits none of them.
    """
    wanted = frozenset(algorithms)
    if isinstance(key, rsa.RSAPublicKey):
        verifiers = _rsa_verifiers(key, wanted)
    elif isinstance(key, ec.EllipticCurvePublicKey):
        verifiers = _curve_verifiers(key, wanted)
    elif isinstance(key, ed25519.Ed25519PublicKey | ed448.Ed448PublicKey):
        verifiers = _edwards_verifiers(key, wanted)
    else:
        raise UnusableKeys("a key is neither RSA, nor on P-256, P-384 or P-521, nor Ed25519 or Ed448")
    if not verifiers:
        raise UnusableKeys("a key does not fit the algorithms")
    return Key(kid, frozenset(verifiers), verifiers)


def _is_public(secret: bytes) -> bool:
    """Whether `secret` is a key or certificate in a published form: every HMAC confusion starts from one.

    NULs and byte order marks are looked through, because some editors write UTF-16.
    """
    text = secret.replace(b"\0", b"").strip(b" \t\r\n\xef\xbb\xbf\xfe\xff")
    if b"-----BEGIN" in text or text.startswith(_SSH_PREFIXES) or text[:1] + text[-1:] in _JSON_FRAMES:
        return True
    encodings = [secret]
    with suppress(ValueError):  # a PEM's body alone, as Keycloak shows it
        encodings.append(b64decode(b"".join(text.split()), validate=True))
    for der in encodings:
        for load in (load_der_public_key, x509.load_der_x509_certificate):
            try:
                load(der)
            except Exception:  # noqa: BLE001, S112 - any failure to load means that it is no key in this form
                continue
            return True
    return False


def secret_key(secret: bytes, kid: str | None, algorithms: Iterable[str]) -> Key:
    """The `Key` of an HMAC secret, for those of `algorithms` whose hash it is long enough for.

    Raises `UnusableKeys` when it is too short for each of them, or is a published form of a key.
    """

    def prepared(algorithm: str) -> Verifier:
        keyed = hmac.new(secret, digestmod="sha" + algorithm[2:])

        def verify(signing_input: bytes, signature: bytes) -> bool:
            mac = keyed.copy()
            mac.update(signing_input)
            return hmac.compare_digest(mac.digest(), signature)

        return verify

    wanted = HMAC_ALGORITHMS.intersection(algorithms)
    if not wanted:
        raise UnusableKeys("a secret serves only HS256, HS384 and HS512")
    verifiers = {name: prepared(name) for name in wanted if len(secret) >= HASHES[name[2:]].digest_size}
    if not verifiers:
        raise UnusableKeys("an HMAC secret must be as long as the hash: 32 bytes for HS256, 48 for HS384, 64 for HS512")
    if _is_public(secret):
        raise UnusableKeys("an HMAC secret must not be a key or certificate in a published form")
    return Key(kid, frozenset(verifiers), verifiers)
