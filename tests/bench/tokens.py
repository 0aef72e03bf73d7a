"""The tokens of the benchmark: many RS256 tokens that differ, minted in parallel and kept for a day.

The signing key is thrown away once the tokens are minted. The bad tokens are what every gate must refuse before it is
timed: expired, signed by another key, unsigned, and signed by HMAC with the public key as the secret.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import shutil
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

ISSUER = "https://id.example.com/"
AUDIENCE = "couchgate"
COUNT = 24_000
_VERSION = 1
_LIFETIME = 36 * 3600
_REUSE = 24 * 3600
_KID = "bench-2048"


class Tokens(NamedTuple):
    """`good` are valid and all different; `bad` maps a fault to a token that has it; the files hold the public key."""

    good: list[str]
    bad: dict[str, str]
    pem: Path
    jwks: Path


def tokens() -> Tokens:
    """The tokens, from the folder of an earlier run when they are good for long enough, else minted now."""
    folder = Path(tempfile.gettempdir()) / f"couchgate-bench-{os.getuid()}-v{_VERSION}"
    file = folder / "tokens.json"
    if not file.exists() or folder.stat().st_uid != os.getuid() or time.time() - file.stat().st_mtime > _REUSE:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(mode=0o700)
        _mint(folder, file)
    kept = json.loads(file.read_text())
    return Tokens(kept["good"], kept["bad"], folder / "public.pem", folder / "jwks.json")


def _claims(number: int, now: int, lifetime: int = _LIFETIME) -> dict[str, Any]:
    return {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": f"user{number:06d}",
        "iat": now - 60 if lifetime > 0 else now + 2 * lifetime,
        "exp": now + lifetime,
        "jti": f"{number:032x}",
        "_couchdb.roles": ["editor", "team-blue"],
        "email": f"user{number:06d}@example.com",
    }


def _mint(folder: Path, file: Path) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = _private_pem(key)
    public = key.public_key()
    public_pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    (folder / "public.pem").write_bytes(public_pem)
    jwk = {**json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(public)), "kid": _KID, "alg": "RS256", "use": "sig"}
    (folder / "jwks.json").write_text(json.dumps({"keys": [jwk]}))
    now = int(time.time())
    size = 1000
    with ProcessPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        chunks = pool.map(_sign_some, *zip(*[(pem, now, at, size) for at in range(0, COUNT, size)], strict=True))
        good = [token for chunk in chunks for token in chunk]
    other = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    bad = {
        "expired": _sign(key, _claims(0, now, -3600)),
        "wrong signature": _sign(other, _claims(0, now)),
        "alg none": _join("none", _claims(0, now)) + ".",
        "alg HS256 with the public key": _hmac_with(public_pem, _claims(0, now)),
    }
    unfinished = file.with_suffix(".new")
    unfinished.write_text(json.dumps({"good": good, "bad": bad}))
    unfinished.rename(file)


def _private_pem(key: rsa.RSAPrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _sign(key: rsa.RSAPrivateKey, claims: dict[str, Any]) -> str:
    return jwt.encode(claims, key, algorithm="RS256", headers={"kid": _KID})


def _sign_some(pem: bytes, now: int, start: int, count: int) -> list[str]:
    key = serialization.load_pem_private_key(pem, None)
    assert isinstance(key, rsa.RSAPrivateKey)
    return [_sign(key, _claims(number, now)) for number in range(start, start + count)]


def _hmac_with(secret: bytes, claims: dict[str, Any]) -> str:
    """What PyJWT refuses to make: an HS256 token whose secret is a public key."""
    signed = _join("HS256", claims)
    return f"{signed}.{_base64(hmac.new(secret, signed.encode(), hashlib.sha256).digest())}"


def _join(algorithm: str, claims: dict[str, Any]) -> str:
    parts = ({"alg": algorithm, "kid": _KID, "typ": "JWT"}, claims)
    return ".".join(_base64(json.dumps(part).encode()) for part in parts)


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
