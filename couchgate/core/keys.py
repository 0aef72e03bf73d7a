"""Key sets: what an issuer's tokens are verified with.

A `KeySet` is immutable and made whole or not at all; whatever the bytes, making one raises `UnusableKeys` or nothing.

- It is made for algorithms of one family: all HS, or none. A set with secrets and public keys together is refused.
- A JWK Set (RFC 7517 5) holds at most 100 keys in 1 MiB. A key of an unknown kind, malformed, weak, meant for another
  algorithm (`alg`), another use (`use`) or other operations (`key_ops`) is passed over, as 5 asks. `oct` counts only
  where the algorithms are HS.
- One private key in it spoils the whole set: who can fetch the set can mint tokens.
- Two entries under one `kid` that are meant for the same algorithm spoil the set too, even if one of them is malformed:
  a `kid` must choose. The same `kid` for different algorithms or kinds is allowed, as RFC 7517 4.5 does.
- PEM: public keys and certificates, one after the other. A certificate lends its key; its dates and its signature are
  not looked at, because the operator pinned it. A block that cannot be read spoils the set.
- `find` never tries more than 8 keys for one token, so a token costs a bounded number of verifications.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from couchgate.core.strict import base64url, json_object
from couchgate.core.verifier import (
    HMAC_ALGORITHMS,
    PUBLIC_ALGORITHMS,
    Key,
    UnusableKeys,
    public_key,
    secret_key,
)

__all__ = ["Key", "KeySet", "UnusableKeys"]

_MAX_BYTES = 1 << 20
_MAX_KEYS = 100
_MAX_TRIED = 8

_PRIVATE_MEMBERS = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth"})
_CURVES: dict[str, ec.EllipticCurve] = {"P-256": ec.SECP256R1(), "P-384": ec.SECP384R1(), "P-521": ec.SECP521R1()}
_FAMILIES = {"RSA": ("RS", "PS"), "EC": ("ES",), "OKP": ("Ed",), "oct": ("HS",)}
_PEM_BLOCK = re.compile(rb"-----BEGIN ([A-Z0-9 ]{1,40})-----[^-]+-----END \1-----")


def _number(jwk: dict[str, Any], member: str) -> bytes:
    text = jwk[member]
    if type(text) is not str:
        raise ValueError("a key's number is not a string")
    return base64url(text.encode("ascii"))


def _material(jwk: dict[str, Any]) -> Any:
    """The public key object that a JWK describes (RFC 7518 6, RFC 8037 2). Raises ValueError, KeyError and others."""
    if jwk["kty"] == "RSA":
        n, e = (int.from_bytes(_number(jwk, member), "big") for member in "ne")
        return rsa.RSAPublicNumbers(e, n).public_key()
    if jwk["kty"] == "EC":
        curve = _CURVES[jwk["crv"]]
        x, y = _number(jwk, "x"), _number(jwk, "y")
        if len(x) != len(y):
            raise ValueError("a coordinate is not of full length")
        return ec.EllipticCurvePublicKey.from_encoded_point(curve, b"\4" + x + y)
    if jwk["crv"] == "Ed25519":
        return ed25519.Ed25519PublicKey.from_public_bytes(_number(jwk, "x"))
    if jwk["crv"] == "Ed448":
        return ed448.Ed448PublicKey.from_public_bytes(_number(jwk, "x"))
    raise ValueError("an unknown curve")


def _purpose(jwk: dict[str, Any], algorithms: frozenset[str]) -> frozenset[str]:
    """Those of `algorithms` that a JWK is meant for, by its kind and what it says of itself (RFC 7517 4)."""
    families = _FAMILIES.get(kind) if type(kind := jwk.get("kty")) is str else None
    if families is None:
        raise UnusableKeys("a key is of an unknown kind (kty)")
    if type(jwk.get("kid", "")) is not str:
        raise UnusableKeys("a key's kid is not a string")
    if jwk.get("use", "sig") != "sig":
        raise UnusableKeys("a key is not for signatures (use)")
    if "key_ops" in jwk and not (type(jwk["key_ops"]) is list and "verify" in jwk["key_ops"]):
        raise UnusableKeys("a key is not for verifying (key_ops)")
    meant = frozenset(name for name in algorithms if name[:2] in families and jwk.get("alg", name) == name)
    if not meant:
        raise UnusableKeys("a key is for other algorithms (kty, alg)")
    return meant


def _key_of(jwk: dict[str, Any], algorithms: frozenset[str]) -> Key:
    """The `Key` of one JWK for those of `algorithms` that it fits. Raises `UnusableKeys`."""
    try:
        material = _number(jwk, "k") if jwk["kty"] == "oct" else _material(jwk)
    except Exception:  # noqa: BLE001 - the libraries raise many kinds on hostile numbers; all of them mean no key
        raise UnusableKeys("a key is malformed or on an unknown curve") from None
    if type(material) is bytes:
        return secret_key(material, jwk.get("kid"), algorithms)
    return public_key(material, jwk.get("kid"), algorithms)


def _one_family(algorithms: Iterable[str]) -> frozenset[str]:
    wanted = frozenset(algorithms)
    if not wanted or not (wanted <= HMAC_ALGORITHMS or wanted <= PUBLIC_ALGORITHMS):
        raise UnusableKeys("the algorithms must be known ones of one family: all of HS256 to HS512, or none of them")
    return wanted


class KeySet:
    """An issuer's keys, immutable. `find` returns what may verify a token; `len` counts the usable keys.

    `left_out`: why keys of the document were not taken, a clause for each.
    """

    __slots__ = ("_any", "_keys", "_kids", "_named", "_nameless", "left_out")

    def __init__(self, keys: Iterable[Key], left_out: tuple[str, ...] = ()) -> None:
        """Raises `UnusableKeys` when `keys` is empty, or holds so many without a `kid` that some are never tried."""
        self._keys = tuple(keys)
        self.left_out = left_out
        if not self._keys:
            raise UnusableKeys("there is no key")
        self._any: dict[str, tuple[Key, ...]] = {}
        self._nameless: dict[str, tuple[Key, ...]] = {}
        self._named: dict[tuple[str, str], tuple[Key, ...]] = {}
        self._kids = frozenset(key.kid for key in self._keys)
        for key in self._keys:
            for algorithm in key.algorithms:
                if key.kid is None:
                    self._nameless[algorithm] = (*self._nameless.get(algorithm, ()), key)
                else:
                    place = (key.kid, algorithm)
                    self._named[place] = (*self._named.get(place, ()), key)[:_MAX_TRIED]
                self._any[algorithm] = (*self._any.get(algorithm, ()), key)[:_MAX_TRIED]
        if any(len(keys) > _MAX_TRIED for keys in self._nameless.values()):
            raise UnusableKeys(f"more than {_MAX_TRIED} keys without a kid serve the same algorithm")

    @classmethod
    def from_jwks(cls, data: bytes, algorithms: Iterable[str]) -> KeySet:
        """The set of a JWK Set document (RFC 7517 5). Raises `UnusableKeys`; see the module for what spoils a set."""
        wanted = _one_family(algorithms)
        if len(data) > _MAX_BYTES:
            raise UnusableKeys("the JWK Set is larger than 1 MiB")
        try:
            entries = json_object(data).get("keys")
        except ValueError as error:
            raise UnusableKeys(f"the JWK Set cannot be read: {error}") from None
        if type(entries) is not list or len(entries) > _MAX_KEYS:
            raise UnusableKeys(f"the JWK Set has no list `keys`, or one of more than {_MAX_KEYS}")
        jwks = [entry for entry in entries if type(entry) is dict]
        secrets = sum(jwk.get("kty") == "oct" for jwk in jwks)
        if secrets and secrets != len(jwks):
            raise UnusableKeys("the JWK Set mixes secrets (oct) and public keys")
        if not all(_PRIVATE_MEMBERS.isdisjoint(jwk) for jwk in jwks):
            raise UnusableKeys("the JWK Set holds a private key: publish the public part, and replace that key")
        keys: list[Key] = []
        named: set[tuple[str, str]] = set()
        left_out: list[str] = []
        for jwk in jwks:
            try:
                meant = _purpose(jwk, wanted)
            except UnusableKeys as error:
                left_out.append(str(error))
                continue
            names = {(jwk["kid"], algorithm) for algorithm in meant if "kid" in jwk}
            if not named.isdisjoint(names):
                raise UnusableKeys("two keys of the JWK Set have the same kid and serve the same algorithm")
            named |= names
            try:
                keys.append(_key_of(jwk, meant))
            except UnusableKeys as error:
                left_out.append(str(error))
        if not keys:
            raise UnusableKeys(f"the JWK Set has no usable key: {left_out[-1] if left_out else 'it is empty'}")
        return cls(keys, tuple(left_out))

    @classmethod
    def from_pem(cls, data: bytes, algorithms: Iterable[str]) -> KeySet:
        """The set of one or more PEM blocks (RFC 7468): public keys or certificates. Raises `UnusableKeys`."""
        wanted = _one_family(algorithms)
        if len(data) > _MAX_BYTES:
            raise UnusableKeys("the PEM text is larger than 1 MiB")
        if b"PRIVATE KEY-----" in data:
            raise UnusableKeys("the PEM text holds a private key: give its public part")
        blocks = list(_PEM_BLOCK.finditer(data))
        if not blocks or len(blocks) != data.count(b"-----BEGIN"):
            raise UnusableKeys("the text is not made of whole PEM blocks")
        keys: list[Key] = []
        left_out: list[str] = []
        for block in blocks:
            try:
                if block[1] == b"CERTIFICATE":
                    material: Any = x509.load_pem_x509_certificate(block[0]).public_key()
                else:
                    material = load_pem_public_key(block[0])
            except Exception:  # noqa: BLE001 - the libraries raise many kinds on hostile blocks; all mean no key
                raise UnusableKeys("a PEM block is not a public key or certificate that can be read") from None
            try:
                keys.append(public_key(material, None, wanted))
            except UnusableKeys as error:
                left_out.append(str(error))
        if not keys:
            raise UnusableKeys(f"the PEM text has no usable key: {left_out[-1]}")
        return cls(keys, tuple(left_out))

    @classmethod
    def from_secret(cls, secret: bytes, algorithms: Iterable[str]) -> KeySet:
        """The set of one HMAC secret, taken as it is and long enough for EVERY algorithm, or raises `UnusableKeys`."""
        wanted = _one_family(algorithms)
        key = secret_key(secret, None, wanted)
        if key.algorithms != wanted:
            raise UnusableKeys("the HMAC secret is too short for one of the algorithms (32, 48 or 64 bytes)")
        return cls((key,))

    @classmethod
    def parse_file(cls, data: bytes, algorithms: Iterable[str]) -> KeySet:
        r"""The set of a key file. Raises `UnusableKeys`.

        HS family: the file is the secret less ONE trailing newline (`\n` or `\r\n`), unless it is JSON: that could only
        be a JWK Set, with several secrets by `kid`. Otherwise the file is a JWK Set or PEM.
        """
        wanted = _one_family(algorithms)
        if data.strip()[:1] == b"{" and data.strip()[-1:] == b"}":
            return cls.from_jwks(data, wanted)
        if wanted <= HMAC_ALGORITHMS:
            secret = data.removesuffix(b"\n")
            return cls.from_secret(secret if secret == data else secret.removesuffix(b"\r"), wanted)
        if b"-----BEGIN" not in data:
            raise UnusableKeys("the key file is neither a JWK Set nor PEM")
        return cls.from_pem(data, wanted)

    @property
    def keys(self) -> tuple[Key, ...]:
        """The usable keys."""
        return self._keys

    def find(self, kid: str | None, algorithm: str) -> tuple[Key, ...]:
        """The keys that may verify a token with this `kid` and `algorithm`: at most 8, empty when there is none.

        With a `kid` the keys of that id; if the set knows no such id, its keys without one. Without a `kid` the first
        8 keys that serve the algorithm.
        """
        if kid is None:
            return self._any.get(algorithm, ())
        if kid in self._kids:
            return self._named.get((kid, algorithm), ())
        return self._nameless.get(algorithm, ())

    def __len__(self) -> int:
        return len(self._keys)

    def __repr__(self) -> str:
        return f"<KeySet of {len(self._keys)}>"
