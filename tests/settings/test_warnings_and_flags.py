"""What is accepted with a warning, and what flags change."""

import subprocess
import sys
from pathlib import Path

import pytest

from couchgate.settings import ListenerSettings, SettingsError, load_issuers

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


def test_a_file_of_issuers_alone_gives_the_issuers(folder, issuer_text, minimal):
    """`--auth jwt:PATH` reads a file with [[issuers]] and nothing else."""
    path = folder / "issuer.toml"
    path.write_text(issuer_text)
    (issuer,) = load_issuers(path)
    assert issuer.rules.issuer == "https://id.example.com/"
    path.write_text(minimal)
    with pytest.raises(SettingsError, match="upstream is not a setting"):
        load_issuers(path)


def test_settings_load_without_twisted():
    """The settings' room imports the standard library and core only."""
    code = "import sys, couchgate.settings; sys.exit(any(m.split('.')[0] in ('twisted', 'treq') for m in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
