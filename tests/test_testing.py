"""`couchgate.testing`: the token minter."""

from __future__ import annotations

import json
import time
from base64 import urlsafe_b64decode

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448, rsa, x25519
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat

from couchgate.testing import ABSENT, Minter


@pytest.mark.parametrize("algorithm", ["RS256", "PS384", "ES256", "ES384", "ES512", "EdDSA"])
def test_another_library_agrees(algorithm):
    """PyJWT verifies a minted token with the public PEM and with the JWK Set."""
    minter = Minter(algorithm)
    for key in (minter.public_pem(), jwt.PyJWKSet.from_json(minter.jwks().decode())["test-1"]):
        claims = jwt.decode(minter.token(), key, [algorithm], audience="couchgate", issuer="https://id.example.com/")
        assert claims["sub"] == "alice"


def test_secret():
    """An HS minter has a secret as long as the hash, publishes it as `oct`, and has no PEM."""
    minter = Minter("HS384", kid=None)
    assert len(minter.secret) == 48
    assert jwt.decode(minter.token(), minter.secret, ["HS384"], audience="couchgate")["sub"] == "alice"
    (jwk,) = json.loads(minter.jwks())["keys"]
    assert (jwk["kty"], "kid" in jwk) == ("oct", False)
    assert urlsafe_b64decode(jwk["k"] + "==") == minter.secret
    with pytest.raises(ValueError, match="public"):
        minter.public_pem()
    with pytest.raises(ValueError, match="PEM"):
        minter.private_pem()
    with pytest.raises(ValueError, match="secret"):
        _ = Minter("ES256").secret


def test_token_members():
    """Claims and headers can be added, replaced and left out."""
    token = Minter("ES256").token("bob", now=100, expires_in=5, headers={"kid": ABSENT, "x": 1}, iat=ABSENT, aud=["a"])
    assert jwt.get_unverified_header(token) == {"alg": "ES256", "typ": "JWT", "x": 1}
    claims = jwt.decode(token, options={"verify_signature": False})
    assert claims == {"iss": "https://id.example.com/", "aud": ["a"], "sub": "bob", "exp": 105}


def test_now():
    """Without a time a token is valid from now on."""
    claims = jwt.decode(Minter("ES256").token(), options={"verify_signature": False})
    assert abs(claims["iat"] - time.time()) < 60
    assert claims["exp"] == claims["iat"] + 300


@pytest.mark.parametrize(
    ("key", "algorithm"),
    [
        (lambda: rsa.generate_private_key(65537, 2048), "RS256"),
        (lambda: ec.generate_private_key(ec.SECP384R1()), "ES384"),
        (ed448.Ed448PrivateKey.generate, "EdDSA"),
    ],
    ids=["RS256", "ES384", "EdDSA"],
)
def test_natural_algorithm(key, algorithm, tmp_path):
    """A private PEM is loaded with the algorithm that its key is for, and is written back the same."""
    pem = key().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "key.pem").write_bytes(pem)
    minter = Minter.load(tmp_path / "key.pem", kid="k", issuer="i", audience="a")
    assert (minter.algorithm, minter.kid, minter.issuer, minter.audience) == (algorithm, "k", "i", "a")
    assert minter.private_pem() == pem


def test_password():
    """A PEM with a password needs it."""
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"pw"))
    assert Minter.from_private_pem(pem, password=b"pw").algorithm == "ES256"
    with pytest.raises(TypeError):
        Minter.from_private_pem(pem)


@pytest.mark.parametrize(
    ("ending", "kept"), [(b"", b""), (b"\n", b""), (b"\r\n", b""), (b"\n\n", b"\n"), (b"\r", b"\r")]
)
def test_secret_file(ending, kept, tmp_path):
    """A secret is loaded less one trailing newline."""
    (tmp_path / "secret").write_bytes(b"x" * 32 + ending)
    assert Minter.load(tmp_path / "secret", "HS256").secret == b"x" * 32 + kept


def test_refusals():
    """Unknown algorithms and keys that sign no tokens are a ValueError."""
    for algorithm in ("none", "ES256K", "ES521", "XX"):
        with pytest.raises(ValueError, match="not a signature"):
            Minter(algorithm)
    pem = x25519.X25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    with pytest.raises(ValueError, match="signs no tokens"):
        Minter.from_private_pem(pem)
