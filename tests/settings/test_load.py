"""A settings file that is right: every value arrives, and every key is documented."""

import dataclasses
import re
import tomllib
from pathlib import Path

import pytest

from couchgate.settings import (
    AdminSettings,
    AuthSettings,
    CheckerSettings,
    CorsSettings,
    GateSettings,
    Limits,
    ListenerSettings,
    OwnSettings,
    TlsSettings,
    UpstreamSettings,
    load,
)
from couchgate.settings.load import KEYS

ROOT = Path(__file__).parents[2]


def test_a_minimal_file_gets_the_documented_defaults(settle, folder, minimal):
    """Three short tables are enough; all else has its default, and nothing is warned of."""
    settings = settle(minimal)
    assert settings.warnings == ()
    assert settings.gate == GateSettings(
        (ListenerSettings("tcp:5985:interface=127.0.0.1", "keepalive", admin=False),),
        frozenset(),
        folder / "state",
        10.0,
    )
    assert settings.upstream == UpstreamSettings(
        secure=False, host="127.0.0.1", port=5984, authority="127.0.0.1:5984", auth="proxy", secret=b"s" * 32
    )
    (issuer,) = settings.issuers
    assert (issuer.source, issuer.keys) == ("file", str(folder / "key.pub.pem"))
    assert (issuer.stale_seconds, issuer.folder) == (86400.0, folder)
    assert issuer.place == f"{settings.path}: issuers[0]"
    assert (issuer.rules.leeway, issuer.rules.name_prefix, issuer.rules.claims.name) == (30.0, "", "sub")
    assert settings.rules[0].issuers == {"https://id.example.com/"}
    assert settings.auth == AuthSettings((), token_as_password=False, feed_seconds=3600.0)
    assert (settings.cors, settings.limits, settings.admin) == (CorsSettings(), Limits(), AdminSettings())
    assert (settings.access_log, settings.trace) == ("stdout", True)


def test_every_value_arrives_where_it_belongs(settle, folder, everything):
    """A file with every key set gives settings in which every one of them can be seen."""
    settings = settle(everything)
    assert settings.gate.listeners == (
        ListenerSettings("tcp:1", "close", admin=False),
        ListenerSettings("tcp:2", "keepalive", admin=True),
    )
    assert settings.gate.hosts == {"gate.example.com", "other.example.com:8443", "[::1]:5985"}
    assert (settings.gate.state_dir, settings.gate.drain_seconds) == (folder / "elsewhere", 2.5)
    assert settings.upstream == UpstreamSettings(
        secure=True,
        host="couch.example.com",
        port=6984,
        authority="couch.example.com:6984",
        auth="proxy",
        secret=b"s" * 32,
        hmac="sha1",
        own=OwnSettings("own", "päss"),
        connect_seconds=1.0,
        first_byte_seconds=2.5,
        idle_seconds=3.5,
        connections=3,
        tls=TlsSettings(
            "couchdb.internal",
            authorities=((folder / "certificate.pem").read_bytes(),),
            certificate=((folder / "certificate.pem").read_bytes(),),
            key=(folder / "certificate.key").read_bytes(),
        ),
    )
    rules = settings.issuers[0].rules
    assert (settings.issuers[0].keys, settings.issuers[0].source) == ("http://localhost:8080/jwks.json", "url")
    assert settings.issuers[0].stale_seconds == 3600
    assert (rules.audiences, rules.authorized_parties) == (frozenset(), {"app"})
    assert (rules.algorithms, rules.leeway, rules.name_prefix) == ({"ES256", "ES384"}, 0.0, "id:")
    assert dataclasses.astuple(rules.claims) == ("preferred_username", "realm_access.roles", "org")
    checker = CheckerSettings("file", str(folder / "password"), "auth:file", "staff-")
    assert settings.auth == AuthSettings((checker,), token_as_password=True, feed_seconds=90.0)
    assert settings.cors == CorsSettings(("https://app.example.com",), private_network=True)
    assert (settings.rules[0].roles, settings.rules[0].allow) == ({"editor"}, frozenset())
    assert (settings.rules[1].databases, settings.rules[1].allow) == (None, {"server"})
    assert settings.limits == Limits(2048, 9, 0, 1.0, 2.0, 3, 5, 4, 3)
    assert settings.admin == AdminSettings("ops", frozenset(("https://id.example.com/",)))
    assert (settings.access_log, settings.trace) == (str(folder / "access.log"), False)
    warned = [warning.split(": ", 1)[1].split(" ")[0] for warning in settings.warnings]
    assert warned == [
        "gate.listeners[1].admin", "upstream.username", "upstream.password_file", "issuers[0].audiences",
    ]  # fmt: skip


def documented_keys():
    """Every dotted key of the schema that is not a table."""
    tables = {"gate.listeners", "upstream.own", "issuers.claims", "auth.checkers"}
    return [
        name
        for table, keys in KEYS.items()
        if table
        for name in (f"{table}.{key}" for key in keys)
        if name not in tables
    ]


@pytest.mark.parametrize("key", documented_keys())
def test_every_key_is_in_the_reference(key):
    """The reference has a row for each key that the file may hold."""
    assert f"\n| `{key}` |" in (ROOT / "docs" / "settings.md").read_text()


def test_the_reference_documents_no_key_that_is_refused():
    """Each row of the reference is a key that the file may hold."""
    rows = re.findall(r"^\| `([a-z_.]+)` \|", (ROOT / "docs" / "settings.md").read_text(), re.MULTILINE)
    assert sorted(rows) == sorted(documented_keys())


def test_the_file_with_every_key_has_every_key(everything):
    """What the tests call everything is all but `gate.listen` and `upstream.socket`, which others there exclude."""

    def names(value, prefix=""):
        for key, inner in value.items():
            for each in inner if isinstance(inner, list) else [inner]:
                yield from names(each, f"{prefix}{key}.") if isinstance(each, dict) else [prefix + key]
            if inner == []:
                yield prefix + key

    assert set(names(tomllib.loads(everything))) == set(documented_keys()) - {"gate.listen", "upstream.socket"}


@pytest.mark.parametrize(
    "kind",
    [
        AuthSettings,
        CheckerSettings,
        GateSettings,
        UpstreamSettings,
        OwnSettings,
        CorsSettings,
        Limits,
        ListenerSettings,
    ],
)
def test_every_field_is_reachable_from_the_file(kind):
    """A field of the settings is a key of the file, or is made of one that is named here."""
    made_of = {
        "listeners": "listen", "secure": "url", "host": "url", "port": "url", "authority": "url",
        "secret": "secret_file", "password": "password_file", "tls": "ca_file", "kind": "checker",
        "argument": "checker", "issuer": "checker", "reserved_prefixes": "name_prefix",
    }  # fmt: skip
    table = {
        GateSettings: "gate", UpstreamSettings: "upstream", OwnSettings: "upstream.own", CorsSettings: "cors",
        Limits: "limits", ListenerSettings: "gate.listeners", AuthSettings: "auth", CheckerSettings: "auth.checkers",
    }[kind]  # fmt: skip
    fields = {field.name for field in dataclasses.fields(kind)}
    assert {made_of.get(name, name) for name in fields} <= set(KEYS[table])


def test_the_example_file_is_valid(folder):
    """The example of `tap/`, with a secret beside it, loads without a warning."""
    path = folder / "example.toml"
    path.write_text((ROOT / "tap" / "couchgate.toml").read_text())
    assert load(path).warnings == ()


def test_the_reference_begins_with_a_file_that_is_valid(settle):
    """The smallest file in the reference loads without a warning."""
    (text,) = re.findall(r"```toml\n(.*?)```", (ROOT / "docs" / "settings.md").read_text(), re.DOTALL)
    assert settle(text).warnings == ()
