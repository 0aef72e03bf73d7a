"""What `issuers.keys` may say: a path, a URL, "oidc", or another package's KIND:ARGUMENT."""

import pytest

from couchgate.settings import SettingsError


@pytest.mark.parametrize(
    ("keys", "source", "argument"),
    [
        ("oidc", "oidc", "https://id.example.com/"),
        ("https://id.example.com/jwks?a=b", "url", "https://id.example.com/jwks?a=b"),
        ("http://localhost:8080/jwks", "url", "http://localhost:8080/jwks"),
        ("env:KEYS", "env", "KEYS"),
        ("env2_x:", "env2_x", ""),
        ("vault:a:b/c d", "vault", "a:b/c d"),
    ],
)
def test_the_kind_of_source_is_read_from_the_text(settle, minimal, keys, source, argument):
    """A URL, the word oidc, and a kind with its argument are told apart by their form alone."""
    (issuer,) = settle(minimal.replace("key.pub.pem", keys)).issuers
    assert (issuer.source, issuer.keys) == (source, argument)


@pytest.mark.parametrize(
    "keys",
    ["C:\\\\keys.pem", "c:keys.pem", "./env:KEYS", "Env:KEYS", "e-v:x", "9a:x", "http:keys", "https:keys", "oidc2"],
)
def test_everything_else_is_a_path(settle, minimal, keys):
    """A drive of Windows, capitals, and http: without its slashes are no kinds: a file of that name is looked for."""
    with pytest.raises(SettingsError, match=r"names .* does not exist"):
        settle(minimal.replace("key.pub.pem", keys))


def test_what_a_source_is_made_from_can_be_compared(settle, minimal):
    """Issuers whose sources would be the same are equal in `key_settings`, whatever else differs; others are not."""
    text = minimal.replace('"key.pub.pem"', '"oidc"')
    (issuer,) = settle(text).issuers
    (same,) = settle(text.replace('["couchgate"]', '["other"]').replace("keys =", 'name_prefix = "x"\nkeys =')).issuers
    assert same.key_settings == issuer.key_settings
    for old, new in (
        ('"oidc"', '"https://id.example.com/"'),
        ('"https://id.example.com/"', '"https://other.example.com/"'),
        ('["ES256"]', '["ES256", "ES384"]'),
        ("keys =", "stale_seconds = 300\nkeys ="),
    ):
        (other,) = settle(text.replace(old, new)).issuers
        assert other.key_settings != issuer.key_settings
