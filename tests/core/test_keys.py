"""`couchgate.core.keys` and `couchgate.core.verifier`: which keys are used, and for what."""

from __future__ import annotations

import datetime as dt
import json
from base64 import b64encode, urlsafe_b64decode, urlsafe_b64encode
from contextlib import suppress
from functools import lru_cache

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa, x25519
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from couchgate.core.keys import KeySet, UnusableKeys
from couchgate.core.verifier import HMAC_ALGORITHMS, PUBLIC_ALGORITHMS, public_key
from couchgate.testing import Minter

SECRET = bytes(range(64))


@lru_cache
def made(algorithm, kid):
    return Minter(algorithm, kid)


def minter(algorithm="ES256", kid="test-1"):
    return made(algorithm, kid)


@lru_cache
def rsa_key(bits=2048, exponent=65537):
    return rsa.generate_private_key(exponent, bits)


def pem_of(key):
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def jwk(algorithm="ES256", **members):
    """The JWK of a minter, changed by `members`; one that is `...` is removed."""
    entry = json.loads(minter(algorithm).jwks())["keys"][0]
    return {name: value for name, value in {**entry, **members}.items() if value is not ...}


def jwks(*entries):
    return json.dumps({"keys": entries}).encode()


def encoded(data):
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def number(value):
    return encoded(value.to_bytes((value.bit_length() + 7) // 8, "big"))


def verifies(keys, signer, algorithm=None):
    """Whether `keys` verify what `signer` signed."""
    signing_input, _, signature = signer.token().encode().rpartition(b".")
    raw = urlsafe_b64decode(signature + b"==")
    algorithm = algorithm or signer.algorithm
    return any(key.verify(algorithm, signing_input, raw) for key in keys.find(signer.kid, algorithm))


@pytest.mark.parametrize("algorithm", sorted(PUBLIC_ALGORITHMS | HMAC_ALGORITHMS))
def test_every_algorithm(algorithm):
    """A key of each algorithm verifies what it signed, and nothing else."""
    keys = KeySet.from_jwks(minter(algorithm).jwks(), [algorithm])
    (key,) = keys.find("test-1", algorithm)
    assert key.algorithms == {algorithm}
    assert verifies(keys, minter(algorithm))
    assert not verifies(keys, Minter(algorithm))
    assert not key.verify(algorithm, b"other", b"")
    assert not key.verify(algorithm, b"other", b"\0" * 64)


@pytest.mark.parametrize("algorithm", sorted(PUBLIC_ALGORITHMS))
def test_pem_of_every_algorithm(algorithm):
    """A public PEM serves every algorithm that its key fits, under any kid."""
    keys = KeySet.parse_file(minter(algorithm).public_pem(), PUBLIC_ALGORITHMS)
    assert verifies(keys, minter(algorithm))


def test_ed448():
    """An Ed448 key serves EdDSA, from PEM and from a JWK."""
    signer = Minter("EdDSA", key=ed448.Ed448PrivateKey.generate())
    assert verifies(KeySet.from_pem(signer.public_pem(), ["EdDSA"]), signer)
    assert verifies(KeySet.from_jwks(signer.jwks(), ["EdDSA"]), signer)


def test_key_says_no_to_other_algorithms():
    """An RSA key made for RS256 alone does not verify RS512 or HS256."""
    (key,) = KeySet.from_pem(minter("RS256").public_pem(), ["RS256"]).find(None, "RS256")
    assert not key.verify("RS512", b"", b"")
    assert not key.verify("HS256", b"", b"")
    assert not key.verify("none", b"", b"")


def test_der_signature_is_no():
    """An ECDSA signature in DER is not valid in a token."""
    key = ec.generate_private_key(ec.SECP256R1())
    (mine,) = KeySet.from_pem(pem_of(key), ["ES256"]).find(None, "ES256")
    assert not mine.verify("ES256", b"text", key.sign(b"text", ec.ECDSA(SHA256())))


def test_ecdsa_signature_has_one_length():
    """An ECDSA signature with a zero put before r or s has the same numbers, and is not valid."""
    key = KeySet.from_jwks(minter().jwks(), ["ES256"]).find(None, "ES256")[0]
    signing_input, _, signature = minter().token().encode().rpartition(b".")
    raw = urlsafe_b64decode(signature + b"==")
    assert key.verify("ES256", signing_input, raw)
    assert not key.verify("ES256", signing_input, raw[:32] + b"\0" + raw[32:])
    assert not key.verify("ES256", signing_input, b"\0" + raw)


def test_curve_chooses_the_algorithm():
    """A P-384 key serves ES384 and not ES256."""
    with pytest.raises(UnusableKeys, match="does not fit"):
        KeySet.from_pem(minter("ES384").public_pem(), ["ES256", "RS256"])
    assert not KeySet.from_pem(minter("ES384").public_pem(), ["ES256", "ES384"]).find(None, "ES256")


def test_edwards_key_needs_eddsa():
    """An Ed25519 key is of no use where EdDSA is not allowed."""
    with pytest.raises(UnusableKeys, match="does not fit"):
        KeySet.from_pem(minter("EdDSA").public_pem(), ["RS256"])


@pytest.mark.parametrize(
    "key",
    [
        lambda: rsa_key(1024),
        lambda: ec.generate_private_key(ec.SECP256K1()),
        lambda: ec.generate_private_key(ec.SECP224R1()),
        x25519.X25519PrivateKey.generate,
        lambda: dsa.generate_private_key(2048),
    ],
    ids=["rsa1024", "secp256k1", "p224", "x25519", "dsa"],
)
def test_unfit_keys(key):
    """Short RSA keys and keys of kinds that sign no tokens are refused."""
    with pytest.raises(UnusableKeys, match="no usable key"):
        KeySet.from_pem(pem_of(key()), PUBLIC_ALGORITHMS)


@pytest.mark.parametrize("exponent", [1, 2, 65536, (1 << 64) + 1, 1 << 1000 | 1])
def test_odd_exponents(exponent):
    """RSA exponents that are even, 1 or very long make a key unusable."""
    n = rsa_key().public_key().public_numbers().n
    with pytest.raises(UnusableKeys, match="no usable key"):
        KeySet.from_jwks(jwks({"kty": "RSA", "n": number(n), "e": number(exponent)}), ["RS256"])


def test_long_exponent_is_refused_by_the_gate():
    """An RSA exponent of more than 64 bits is refused, although the library would take it."""
    key = rsa.RSAPublicNumbers((1 << 64) + 1, rsa_key().public_key().public_numbers().n).public_key()
    with pytest.raises(UnusableKeys, match="exponent"):
        public_key(key, None, ["RS256"])


def test_long_modulus():
    """An RSA modulus of more than 8192 bits is refused."""
    with pytest.raises(UnusableKeys, match="8192 bits"):
        KeySet.from_jwks(jwks({"kty": "RSA", "n": number(1 << 8192 | 1), "e": "AQAB"}), ["RS256"])


@pytest.mark.parametrize(
    "members",
    [
        {"use": "enc"},
        {"use": None},
        {"use": ["sig"]},
        {"key_ops": []},
        {"key_ops": ["encrypt"]},
        {"key_ops": "verify"},
        {"alg": "ES384"},
        {"alg": "none"},
        {"alg": None},
        {"alg": ["ES256"]},
        {"kid": 7},
        {"kid": None},
        {"kty": ...},
        {"kty": ["EC"]},
        {"kty": "ec"},
        {"kty": "RSA"},
        {"kty": "OKP"},
        {"kty": "oct"},
        {"crv": "P-384"},
        {"crv": "secp256k1"},
        {"crv": {}},
        {"crv": ...},
        {"x": ...},
        {"x": 7},
        {"x": ""},
        {"x": "é"},
        {"x": "A" * 43},
        {"x": "A" * 42},
        {"y": "AAAA"},
    ],
    ids=str,
)
def test_jwk_passed_over(members):
    """A JWK that is malformed or meant for something else is passed over, and a good one beside it stays."""
    bad = jwk(**members)
    with pytest.raises(UnusableKeys, match="no usable key"):
        KeySet.from_jwks(jwks(bad), ["ES256"])
    if bad.get("kty") != "oct":
        assert len(KeySet.from_jwks(jwks(bad, jwk(kid="good")), ["ES256"])) == 1


def test_shifted_coordinates():
    """Coordinates of unequal lengths are no point, although they are one when joined."""
    x, y = (urlsafe_b64decode(jwk()[member] + "=") for member in "xy")
    shifted = {"x": encoded(x[:31]), "y": encoded(x[31:] + y)}
    with pytest.raises(UnusableKeys, match="malformed"):
        KeySet.from_jwks(jwks(jwk(**shifted)), ["ES256"])


@pytest.mark.parametrize("members", [{"crv": "X25519"}, {"crv": "Ed448"}, {"x": "AAAA"}, {"crv": ...}], ids=str)
def test_odd_okp(members):
    """An octet key pair on another curve, or of another length, is passed over."""
    with pytest.raises(UnusableKeys, match="malformed"):
        KeySet.from_jwks(jwks(jwk("EdDSA", **members)), ["EdDSA"])


@pytest.mark.parametrize(
    "members", [{"use": ..., "key_ops": ["sign", "verify"]}, {"alg": ...}, {"kid": ...}, {"x5c": [1]}]
)
def test_jwk_members_are_optional(members):
    """A JWK needs neither use, alg nor kid, and what it has besides is ignored."""
    assert verifies(KeySet.from_jwks(jwks(jwk(**members)), ["ES256"]), minter())


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b'{"keys":{}}',
        b'{"keys":[]}',
        b'{"keys":[1,null,"x",[]]}',
        b'{"keys":[],"keys":[]}',
        b"[" * 200_000,
        b'{"keys":' + b"[" * 200_000,
        b'{"keys":[' + b"9" * 5000 + b"]}",
        b'{"keys":["' + b"x" * (1 << 20) + b'"]}',
        b"\xff\xfe",
        json.dumps({"keys": [{}] * 101}).encode(),
    ],
    ids=lambda data: repr(data[:12]),
)
def test_hostile_jwks(data):
    """A document that is no JWK Set with a usable key raises UnusableKeys, whatever it is instead."""
    with pytest.raises(UnusableKeys, match="JWK Set"):
        KeySet.from_jwks(data, ["ES256"])


def test_mixed_set():
    """A set with a secret beside a public key is refused under every family of algorithms."""
    data = jwks(jwk(), jwk("HS256", kid="s"))
    for algorithms in (["ES256"], ["HS256"]):
        with pytest.raises(UnusableKeys, match="mixes"):
            KeySet.from_jwks(data, algorithms)


@pytest.mark.parametrize("algorithms", [["HS256", "RS256"], [], ["none"], ["ES256K"], ["RS256", "rs256"]], ids=str)
def test_one_family(algorithms):
    """Algorithms of two families, unknown ones and none at all make no key set."""
    for make in (KeySet.from_jwks, KeySet.from_pem, KeySet.from_secret, KeySet.parse_file):
        with pytest.raises(UnusableKeys, match="one family"):
            make(SECRET, algorithms)


def test_oct_only_for_hs():
    """Secrets in a JWK Set do not count where the algorithms are public, nor public keys where they are HS."""
    with pytest.raises(UnusableKeys, match="no usable key"):
        KeySet.from_jwks(minter("HS256").jwks(), ["RS256"])
    with pytest.raises(UnusableKeys, match="no usable key"):
        KeySet.from_jwks(minter("RS256").jwks(), ["HS256"])


@pytest.mark.parametrize("member", ["d", "p", "q", "dp", "dq", "qi", "oth"])
def test_private_jwk(member):
    """One private key in a set spoils it."""
    with pytest.raises(UnusableKeys, match="private key"):
        KeySet.from_jwks(jwks(jwk(), {"kty": "RSA", member: "AQAB"}), ["ES256"])


def test_duplicate_kid():
    """Two keys of one kid for the same algorithm spoil a set, even the same key twice or a malformed one."""
    for other in (jwk(), jwk(x="AAAA")):
        with pytest.raises(UnusableKeys, match="same kid"):
            KeySet.from_jwks(jwks(jwk(), other), ["ES256"])


def test_same_kid_for_other_uses():
    """One kid may name keys for different algorithms, or one for signatures and one for encryption."""
    keys = KeySet.from_jwks(jwks(jwk(), jwk("EdDSA"), jwk("RS256", use="enc")), ["ES256", "EdDSA", "RS256"])
    assert len(keys) == 2
    assert verifies(keys, minter())
    assert verifies(keys, minter("EdDSA"))
    assert not keys.find("test-1", "RS256")


def test_find_by_kid():
    """A known kid finds its key alone, an unknown one the keys without a kid."""
    keys = KeySet.from_jwks(jwks(jwk(kid="a"), jwk(kid="b"), jwk(kid=...)), ["ES256"])
    assert [key.kid for key in keys.find("a", "ES256")] == ["a"]
    assert [key.kid for key in keys.find("zz", "ES256")] == [None]
    assert [key.kid for key in keys.find(None, "ES256")] == ["a", "b", None]
    assert keys.find("a", "ES384") == keys.find("zz", "ES384") == keys.find(None, "ES384") == ()


def test_known_kid_for_another_algorithm():
    """A kid that is known for another algorithm does not fall back to keys without a kid."""
    keys = KeySet.from_jwks(jwks(jwk("EdDSA", kid="a"), jwk(kid=...)), ["ES256", "EdDSA"])
    assert keys.find("a", "ES256") == ()


def test_no_kid_is_bounded():
    """A token without a kid is tried with 8 keys at most."""
    keys = KeySet.from_jwks(jwks(*(jwk(kid=str(i)) for i in range(20))), ["ES256"])
    assert len(keys) == 20
    assert [key.kid for key in keys.find(None, "ES256")] == [str(i) for i in range(8)]


def test_too_many_without_kid():
    """More than 8 keys without a kid are refused: some would never be tried."""
    assert len(KeySet.from_jwks(jwks(*[jwk(kid=...)] * 8), ["ES256"])) == 8
    with pytest.raises(UnusableKeys, match="without a kid"):
        KeySet.from_jwks(jwks(*[jwk(kid=...)] * 9), ["ES256"])


def test_empty_set():
    """There is no empty key set."""
    with pytest.raises(UnusableKeys, match="no key"):
        KeySet(())


def certificate():
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "issuer")])
    start = dt.datetime(2001, 1, 1, tzinfo=dt.UTC)
    built = x509.CertificateBuilder(name, name, key.public_key(), 1, start, start + dt.timedelta(1))
    return key, built.sign(key, SHA256())


def test_certificate():
    """A certificate lends its key, even when it has expired."""
    key, cert = certificate()
    signer = Minter("ES256", key=key)
    assert verifies(KeySet.parse_file(cert.public_bytes(Encoding.PEM), ["ES256"]), signer)


def test_several_blocks():
    """Several PEM blocks are several keys, with text between them, and those of other kinds are passed over."""
    text = (
        b"first\n" + minter().public_pem() + b"\nsecond\n" + minter("EdDSA").public_pem() + minter("ES384").public_pem()
    )
    keys = KeySet.from_pem(text, ["ES256", "EdDSA"])
    assert len(keys) == 2
    assert verifies(keys, minter())
    assert verifies(keys, minter("EdDSA"))


def test_pkcs1_pem():
    """An `RSA PUBLIC KEY` block is read too."""
    pem = rsa_key().public_key().public_bytes(Encoding.PEM, PublicFormat.PKCS1)
    assert verifies(KeySet.from_pem(pem, ["RS256"]), Minter("RS256", key=rsa_key()))


def test_private_pem():
    """A private PEM is refused as such, alone and among public ones."""
    for text in (minter().private_pem(), minter().public_pem() + minter().private_pem()):
        with pytest.raises(UnusableKeys, match="private key"):
            KeySet.parse_file(text, ["ES256"])


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"-----BEGIN PUBLIC KEY-----",
        b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END CERTIFICATE-----\n",
        b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
        b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        b"-----BEGIN OPENSSH THING-----\nAAAA\n-----END OPENSSH THING-----\n",
        b"-----BEGIN " * 1000,
        b"x" * ((1 << 20) + 1),
    ],
    ids=lambda text: repr(text[:32]),
)
def test_hostile_pem(text):
    """Text that is not made of whole, readable blocks is refused, also beside a good block."""
    for data in (text, minter().public_pem() + text)[: 2 if text else 1]:
        with pytest.raises(UnusableKeys, match="PEM"):
            KeySet.from_pem(data, ["ES256"])


def test_secret():
    """A secret serves the algorithms asked for, under any kid."""
    keys = KeySet.from_secret(SECRET, HMAC_ALGORITHMS)
    for algorithm in HMAC_ALGORITHMS:
        assert verifies(keys, Minter(algorithm, key=SECRET))


@pytest.mark.parametrize(("algorithm", "size"), [("HS256", 32), ("HS384", 48), ("HS512", 64)])
def test_secret_size(algorithm, size):
    """A secret as long as the hash is enough, and a byte less is not."""
    assert len(KeySet.from_secret(SECRET[:size], [algorithm])) == 1
    with pytest.raises(UnusableKeys, match="as long as the hash"):
        KeySet.from_secret(SECRET[: size - 1], [algorithm])


def test_secret_for_all():
    """A secret that is long enough for one of two algorithms only is refused; in a JWK Set it serves that one."""
    with pytest.raises(UnusableKeys, match="too short"):
        KeySet.from_secret(SECRET[:40], ["HS256", "HS512"])
    keys = KeySet.from_jwks(jwks({"kty": "oct", "k": number(int.from_bytes(b"\1" * 40, "big"))}), ["HS256", "HS512"])
    assert keys.find(None, "HS256")
    assert not keys.find(None, "HS512")


def test_secret_needs_hs():
    """A secret serves no public algorithm."""
    with pytest.raises(UnusableKeys, match="HS256"):
        KeySet.from_secret(SECRET, ["RS256"])


def published():
    key, cert = certificate()
    public = key.public_key()
    der = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    yield "pem", pem_of(key)
    yield "private pem", minter().private_pem()
    yield "utf-16 pem", pem_of(key).decode().encode("utf-16")
    yield "der", der
    yield "certificate pem", cert.public_bytes(Encoding.PEM)
    yield "certificate der", cert.public_bytes(Encoding.DER)
    yield "ssh", public.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    yield (
        "ed25519 ssh",
        ed25519.Ed25519PrivateKey.generate().public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH),
    )
    yield "bare base64", b64encode(der)
    yield "broken base64", b"\n".join(b64encode(der)[i : i + 64] for i in range(0, 124, 64)) + b"\n"
    yield "jwk", b" " + json.dumps(jwk()).encode() + b"\n"
    yield "jwk twice named", json.dumps(jwk()).encode().replace(b"{", b'{"kty":1,')
    yield "jwk with mark", b"\xef\xbb\xbf" + json.dumps(jwk()).encode()
    yield "jwk list", json.dumps([jwk()]).encode()


@pytest.mark.parametrize(("form", "secret"), list(published()), ids=lambda value: value if type(value) is str else "")
def test_published_secret(form, secret):
    """A key or certificate in any published form is never taken for a secret."""
    with pytest.raises(UnusableKeys, match="published form"):
        KeySet.from_secret(secret, ["HS256"])
    with pytest.raises(UnusableKeys):
        KeySet.parse_file(secret, ["HS256"])
    with pytest.raises(UnusableKeys):
        KeySet.parse_file(secret + b"\n", ["HS256"])


@pytest.mark.parametrize(
    ("ending", "kept"), [(b"", b""), (b"\n", b""), (b"\r\n", b""), (b"\n\n", b"\n"), (b"\r", b"\r"), (b" ", b" ")]
)
def test_secret_file(ending, kept):
    """A secret's file is the secret less one trailing newline."""
    keys = KeySet.parse_file(SECRET + ending, ["HS256"])
    assert verifies(keys, Minter("HS256", key=SECRET + kept))


def test_secret_file_as_jwks():
    """An HS file that is a JWK Set holds several secrets by kid."""
    keys = KeySet.parse_file(jwks(jwk("HS256"), jwk("HS256", kid="b")), ["HS256"])
    assert len(keys) == 2
    assert verifies(keys, minter("HS256"))


def test_jwks_file():
    """A key file that is a JWK Set is read as one, with white space around it."""
    assert verifies(KeySet.parse_file(b"\r\n" + minter().jwks() + b"\n", ["ES256"]), minter())


@pytest.mark.parametrize("data", [b"", b"hello", b"[]", SECRET, b"ssh-ed25519 AAAA"])
def test_unknown_file(data):
    """A file that is neither a JWK Set nor PEM is refused."""
    with pytest.raises(UnusableKeys, match="neither"):
        KeySet.parse_file(data, ["ES256"])


def test_no_material_shown():
    """Neither a set's nor a key's repr, nor an error's text, shows key material or kids of the set."""
    keys = KeySet.from_jwks(minter("HS256").jwks(), ["HS256"])
    assert repr(keys) == "<KeySet of 1>"
    (key,) = keys.find("test-1", "HS256")
    assert "verifiers" not in repr(key)
    with pytest.raises(UnusableKeys) as caught:
        KeySet.from_secret(b"hush", ["HS256"])
    assert "hush" not in str(caught.value)


HOSTILE = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from(["RSA", "EC", "OKP", "oct", "P-256", "Ed25519", "AQAB", "sig"])
    | st.text(max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["kty", "crv", "x", "y", "n", "e", "k", "alg", "use", "kid", "key_ops", "keys"]), inner
        )
    ),
    max_leaves=10,
)


@settings(deadline=None)
@given(
    st.one_of(st.binary(max_size=80), HOSTILE.map(lambda value: json.dumps({"keys": [value]}).encode())), st.booleans()
)
def test_only_unusable_keys_is_raised(data, symmetric):
    """Whatever the bytes, making a set of them gives a set or UnusableKeys."""
    algorithms = HMAC_ALGORITHMS if symmetric else PUBLIC_ALGORITHMS
    for make in (KeySet.from_jwks, KeySet.from_pem, KeySet.from_secret, KeySet.parse_file):
        with suppress(UnusableKeys):
            assert len(make(data, algorithms)) >= 1


@settings(deadline=None)
@given(st.data())
def test_mutated_documents(data):
    """A good document with some bytes changed gives a set or UnusableKeys."""
    text = bytearray(
        data.draw(st.sampled_from([minter("RS256").jwks(), minter().public_pem(), jwks(jwk("EdDSA"), jwk())]))
    )
    for _ in range(data.draw(st.integers(1, 3))):
        text[data.draw(st.integers(0, len(text) - 1))] = data.draw(st.integers(0, 255))
    with suppress(UnusableKeys):
        assert len(KeySet.parse_file(bytes(text), PUBLIC_ALGORITHMS)) >= 1


@settings(deadline=None)
@given(st.sampled_from(sorted(PUBLIC_ALGORITHMS | HMAC_ALGORITHMS)), st.binary(max_size=300))
def test_verify_never_raises(algorithm, signature):
    """Arbitrary bytes are no signature, and never an error."""
    (key,) = KeySet.from_jwks(minter(algorithm).jwks(), [algorithm]).find(None, algorithm)
    assert not key.verify(algorithm, b"text", signature)
