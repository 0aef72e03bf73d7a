"""What is accepted with a warning, and what flags change."""

import subprocess
import sys
from pathlib import Path

import pytest

from couchgate.settings import ListenerSettings, SettingsError, load, load_issuer

ROOT = Path(__file__).parents[2]


# Warnings


def test_no_rules_is_a_warning(settle, upstream_text, issuer_text):
    """A gate that lets nobody in is legal, and worth a word."""
    (warning,) = settle(upstream_text + issuer_text).warnings
    assert "rules is missing, so nobody may use any database" in warning


def test_a_doubtful_pattern_is_a_warning(settle, minimal):
    """A star that can swallow a part of a name is warned of."""
    (warning,) = settle(minimal.replace("notes-{name}", "{name}-*")).warnings
    assert "rules[0].databases[0] is doubtful: in the database pattern" in warning


@pytest.mark.parametrize("keys", ["key.pub.pem", "env:KEYS"])
def test_a_time_for_old_keys_that_do_not_come_from_a_server_is_a_warning(settle, minimal, keys):
    """`stale_seconds` is for keys by URL and discovery; beside others it is warned of."""
    text = minimal.replace('keys = "key.pub.pem"', f'stale_seconds = 3600\nkeys = "{keys}"')
    (warning,) = settle(text).warnings
    assert "issuers[0].stale_seconds has no effect" in warning


def test_a_relative_path_in_an_endpoint_is_a_warning(settle, minimal):
    """Twisted reads such a path from the working directory, not from the settings' folder."""
    text = '[gate]\nlisten = ["unix:gate.sock", "ssl:443:privateKey=/k.pem:certKey=c.pem"]\n' + minimal
    assert [warning.split(": ")[1].split(" ")[0] for warning in settle(text).warnings] == [
        "gate.listen[0]",
        "gate.listen[1]",
    ]
    assert settle('[gate]\nlisten = ["unix:/run/gate.sock"]\n' + minimal).warnings == ()


def test_a_password_over_clear_http_is_a_warning(settle, minimal):
    """Basic credentials to another machine without TLS are warned of."""
    basic = minimal.replace(
        'secret_file = "proxy.secret"', 'auth = "basic"\nusername = "a"\npassword_file = "password"'
    )
    assert settle(basic).warnings == ()
    (warning,) = settle(basic.replace("127.0.0.1", "couch.example.com")).warnings
    assert "upstream.url begins with http://" in warning


@pytest.mark.parametrize(
    ("endpoint", "warned"),
    [
        ("tcp:9:interface=127.0.0.1", False),
        (r"tcp6:9:interface=\:\:1", False),
        ("unix:/run/gate.sock", False),
        ("systemd:domain=UNIX:index=0", False),
        ("tcp:9", True),
        ("tcp:9:interface=10.0.0.1", True),
        ("tcp:9:interface=", True),
        ("ssl:443:privateKey=/k.pem:certKey=/c.pem", True),
        ("systemd:domain=INET:index=0", True),
        ("haproxy:tcp:9", True),
    ],
)
def test_an_admin_listener_that_others_may_reach_is_a_warning(settle, minimal, endpoint, warned):
    """Its pages need no token, so the gate says where it cannot tell that only this machine gets there."""
    text = f"[[gate.listeners]]\nendpoint = '{endpoint}'\nadmin = true\n"
    warnings = settle(text + minimal).warnings
    assert ["gate.listeners[0].admin shows metrics" in warning for warning in warnings] == [True] * warned


def test_the_digest_follows_what_the_settings_say(settle, minimal):
    """The same settings have the same digest, and others another, flags too."""
    digests = [
        settle(minimal).digest,
        settle("# a comment\n" + minimal).digest,
        settle(minimal + "[limits]\nfeeds = 7").digest,
        settle(minimal, limits__feeds="7").digest,
    ]
    assert digests[0] == digests[1]
    assert len(set(digests)) == 3


# Flags


def test_a_flag_takes_the_place_of_a_value(settle, minimal):
    """A flag is judged by the type of its key: text, number, list, truth."""
    settings = settle(
        minimal, gate__mode="close", gate__drain_seconds="0.5", limits__feeds="7", cors__private_network="true",
        gate__hosts="a.example, b.example", upstream__url="https://couch.example.com",
    )  # fmt: skip
    assert settings.gate.listeners[0].mode == "close"
    assert (settings.gate.drain_seconds, settings.limits.feeds, settings.cors.private_network) == (0.5, 7, True)
    assert settings.gate.hosts == {"a.example", "b.example"}
    assert (settings.upstream.secure, settings.upstream.port, settings.upstream.authority) == (
        True, 443, "couch.example.com",
    )  # fmt: skip


def test_a_flag_for_listen_takes_the_place_of_all_listeners(settle, everything):
    """`--listen` wins over `[[gate.listeners]]`."""
    settings = settle(everything, gate__listen="tcp:9")
    assert settings.gate.listeners == (ListenerSettings("tcp:9", "close", admin=False),)


@pytest.mark.parametrize(
    ("flag", "value", "sentence"),
    [
        ("gate.mode", "fast", "gate.mode must be"),
        ("limits.feeds", "many", "limits.feeds must be a whole number from 1 to 1000000, not 'many'"),
        ("limits.idle_seconds", "nan", "limits.idle_seconds must be a number"),
        ("cors.private_network", "yes", "cors.private_network must be true or false, not 'yes'"),
        ("gate.mod", "close", "gate.mod cannot be given as a flag; did you mean gate.mode?"),
        ("issuers[0].keys", "x", "issuers[0].keys cannot be given as a flag"),
        ("upstream.url", "", "upstream.url must not be empty"),
        ("upstream.url", "\udcff", "upstream.url must be a text without control characters"),
    ],
)
def test_a_flag_is_judged_like_the_file(flag, value, sentence, refusal, minimal):
    """A wrong flag is refused by the same sentence as a wrong value."""
    assert sentence in refusal(minimal, **{flag.replace(".", "__"): value})


# The checker's file


def test_a_file_with_an_issuer_alone_gives_the_issuer(folder, issuer_text, minimal):
    """`--auth jwt:PATH` reads a file with one [[issuers]] table and nothing else."""
    path = folder / "issuer.toml"
    path.write_text(issuer_text)
    assert load_issuer(path).rules.issuer == "https://id.example.com/"
    path.write_text(minimal)
    with pytest.raises(SettingsError, match="upstream is not a setting"):
        load_issuer(path)
    path.write_text(issuer_text * 2)
    with pytest.raises(SettingsError, match=r"issuer.toml: issuers must be one \[\[issuers\]\] table, not 2"):
        load_issuer(path)


SECOND = ("https://id.example.com/", "https://other.example.com/")


def test_issuer_files_stand_in_for_the_issuers(folder, upstream_text, issuer_text, rule_text):
    """A settings file without [[issuers]] is enough when `--auth` gives one; a rule is then for that issuer."""
    (folder / "couchgate.toml").write_text(upstream_text + rule_text)
    (folder / "issuer.toml").write_text(issuer_text)
    settings = load(folder / "couchgate.toml", {}, [folder / "issuer.toml"])
    assert [issuer.rules.issuer for issuer in settings.issuers] == ["https://id.example.com/"]
    assert settings.rules[0].issuers == {"https://id.example.com/"}


def test_issuer_files_join_the_issuers(folder, minimal, issuer_text):
    """Issuers of all files are judged together, are told apart, and have their warnings told."""
    (folder / "couchgate.toml").write_text(
        minimal.replace("[[rules]]", '[[rules]]\nissuers = ["https://id.example.com/"]')
    )
    (folder / "elsewhere").mkdir()
    (folder / "elsewhere" / "key.pub.pem").write_bytes((folder / "key.pub.pem").read_bytes())
    other = folder / "elsewhere" / "issuer.toml"
    text = issuer_text.replace(*SECOND).replace('["couchgate"]', "[]")
    other.write_text(text + 'name_prefix = "b:"\n')
    settings = load(folder / "couchgate.toml", {}, [other])
    assert [issuer.rules.id for issuer in settings.issuers] == ["issuers[0]", f"{other}: issuers[0]"]
    assert settings.issuers[1].keys == str(folder / "elsewhere" / "key.pub.pem")
    assert settings.issuers[0].rules.reserved_prefixes == ("b:",)
    assert any(str(other) in warning and "audiences" in warning for warning in settings.warnings)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("", ""), "issuers[0].audiences must not be empty and must differ from {first}: issuers[0].audiences"),
        (SECOND, "issuers[0].name_prefix and {first}: issuers[0].name_prefix ('' and '') must not begin"),
    ],
)
def test_issuers_of_two_files_that_conflict_are_one_sentence(change, said, folder, minimal, issuer_text):
    """What would be refused inside one file is refused between two, and both are named."""
    first, second = folder / "couchgate.toml", folder / "issuer.toml"
    first.write_text(minimal)
    second.write_text(issuer_text.replace(*change))
    with pytest.raises(SettingsError) as caught:
        load(first, {}, [second])
    assert str(caught.value).startswith(f"{second}: {said.format(first=first)}")
    assert "\n" not in str(caught.value)


def test_settings_load_without_twisted():
    """The settings' room imports the standard library and core only."""
    code = "import sys, couchgate.settings; sys.exit(any(m.split('.')[0] in ('twisted', 'treq') for m in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
