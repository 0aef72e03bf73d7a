"""Doubles and makers for tests against couchgate, its own and a deployment's. Public, and kept working.

`Minter` is an identity provider reduced to its key: it makes one, publishes it and signs tokens with it.
"""

from __future__ import annotations

import json
import secrets
import time
from base64 import urlsafe_b64encode
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from jwt.algorithms import get_default_algorithms

__all__ = ["ABSENT", "Minter"]

ABSENT: Any = object()
"""Given as a claim or header member to `Minter.token`: leave this one out."""

_CURVES = {"ES256": ec.SECP256R1(), "ES384": ec.SECP384R1(), "ES512": ec.SECP521R1()}
_CURVE_ALGORITHMS = {curve.name: name for name, curve in _CURVES.items()}


def _generate(algorithm: str) -> Any:
    if algorithm.startswith("HS"):
        return secrets.token_bytes(int(algorithm[2:]) // 8)
    if algorithm.startswith("ES"):
        return ec.generate_private_key(_CURVES[algorithm])
    if algorithm == "EdDSA":
        return ed25519.Ed25519PrivateKey.generate()
    return rsa.generate_private_key(65537, 2048)


def _natural_algorithm(key: Any) -> str:
    if isinstance(key, rsa.RSAPrivateKey):
        return "RS256"
    if isinstance(key, ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey):
        return "EdDSA"
    if isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.name in _CURVE_ALGORITHMS:
        return _CURVE_ALGORITHMS[key.curve.name]
    raise ValueError("the private key is of a kind that signs no tokens")


def _base64url(data: bytes) -> bytes:
    return urlsafe_b64encode(data).rstrip(b"=")


def _json(members: Mapping[str, Any]) -> bytes:
    kept = {name: value for name, value in members.items() if value is not ABSENT}
    return json.dumps(kept, separators=(",", ":")).encode()


class Minter:
    """Signs tokens as an issuer does.

    `algorithm` is a JWA name (RS/PS/ES/HS 256-512 or EdDSA), for which a new key is made unless `key` gives one: a
    private key object of `cryptography`, or the secret's bytes. `kid` is the key's id, None for none. `issuer` and
    `audience` are the `iss` and `aud` of its tokens.
    """

    def __init__(
        self,
        algorithm: str = "RS256",
        kid: str | None = "test-1",
        issuer: str = "https://id.example.com/",
        audience: str | Sequence[str] = "couchgate",
        *,
        key: Any = None,
    ) -> None:
        """Raises `ValueError` for an algorithm that is not known."""
        known = get_default_algorithms()
        if algorithm not in known or algorithm in ("none", "ES256K", "ES521"):
            raise ValueError(f"not a signature algorithm: {algorithm}")
        self.algorithm = algorithm
        self.kid = kid
        self.issuer = issuer
        self.audience = audience
        self._signer = known[algorithm]
        self._is_secret = algorithm.startswith("HS")
        self._key = _generate(algorithm) if key is None else key

    @classmethod
    def from_private_pem(
        cls, pem: bytes, algorithm: str | None = None, *, password: bytes | None = None, **names: Any
    ) -> Minter:
        """A minter with the private key in `pem`; `names` are `kid`, `issuer` and `audience`.

        Without `algorithm` the key's natural one: RS256, the curve's, or EdDSA. Raises `ValueError` for text that is
        not one private key, and `TypeError` for a wrong or missing password.
        """
        key = load_pem_private_key(pem, password)
        return cls(algorithm or _natural_algorithm(key), key=key, **names)

    @classmethod
    def load(cls, path: str | Path, algorithm: str | None = None, **names: Any) -> Minter:
        """A minter with the key in the file `path`: a private PEM, or for HS the secret less one trailing newline.

        Raises `OSError` when the file cannot be read, and what `from_private_pem` raises.
        """
        data = Path(path).read_bytes()
        if algorithm is None or not algorithm.startswith("HS"):
            return cls.from_private_pem(data, algorithm, **names)
        if data.endswith(b"\n"):
            data = data[:-1].removesuffix(b"\r")
        return cls(algorithm, key=data, **names)

    def token(
        self,
        sub: Any = "alice",
        *,
        expires_in: float = 300,
        now: float | None = None,
        headers: Mapping[str, Any] | None = None,
        **claims: Any,
    ) -> str:
        """A compact token for `sub`, valid from `now` (unix seconds, default this moment) for `expires_in` seconds.

        `claims` and `headers` add members or replace the usual ones (`iss`, `aud`, `sub`, `iat`, `exp`; `alg`, `typ`,
        `kid`); `ABSENT` removes one. Whatever they say, the signature is made with this minter's key and algorithm.
        """
        issued = int(time.time() if now is None else now)
        payload = {"iss": self.issuer, "aud": self.audience, "sub": sub, "iat": issued, "exp": issued + expires_in}
        header = {"alg": self.algorithm, "typ": "JWT", "kid": ABSENT if self.kid is None else self.kid}
        return self.sign(_json({**header, **(headers or {})}), _json({**payload, **claims}))

    def sign(self, header: bytes, payload: bytes) -> str:
        """A compact token of exactly these bytes, which need be no JSON: for tokens that must be refused."""
        signing_input = _base64url(header) + b"." + _base64url(payload)
        signature = self._signer.sign(signing_input, self._key)
        return (signing_input + b"." + _base64url(signature)).decode()

    def jwks(self) -> bytes:
        """The JWK Set document that publishes the key (for HS: that holds the secret), marked with `kid` and `alg`."""
        if self._is_secret:
            jwk = {"kty": "oct", "k": _base64url(self._key).decode()}
        else:
            jwk = self._signer.to_jwk(self._key.public_key(), as_dict=True)
            jwk.pop("key_ops", None)
        kid = {} if self.kid is None else {"kid": self.kid}
        return json.dumps({"keys": [{**jwk, **kid, "use": "sig", "alg": self.algorithm}]}).encode()

    def public_pem(self) -> bytes:
        """The public key as PEM. Raises `ValueError` for a secret, which has none."""
        if self._is_secret:
            raise ValueError("a secret has no public key")
        pem: bytes = self._key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        return pem

    def private_pem(self) -> bytes:
        """The private key as unencrypted PKCS #8 PEM. Raises `ValueError` for a secret."""
        if self._is_secret:
            raise ValueError("a secret has no PEM form")
        pem: bytes = self._key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return pem

    @property
    def secret(self) -> bytes:
        """The HMAC secret. Raises `ValueError` for a key pair."""
        if not self._is_secret:
            raise ValueError("a key pair has no shared secret")
        secret: bytes = self._key
        return secret
