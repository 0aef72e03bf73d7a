"""Secrets, keys, and settings files that are no settings files."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from couchgate.settings import SettingsError, load
from couchgate.settings.files import refusal as reason_of
from couchgate.settings.load import KEYS, _read
from couchgate.settings.reader import Document


def test_a_password_in_a_url_is_not_repeated(refusal, minimal):
    """The refusal of a URL with a password does not show the password."""
    assert "hunter2" not in refusal(minimal.replace("127.0.0.1", "a:hunter2@127.0.0.1"))


def test_a_leeway_of_ten_minutes_is_refused(refusal, minimal):
    """Leeway is at most 300 s: more would make expiry meaningless."""
    text = minimal.replace("keys =", "leeway = 600\nkeys =")
    assert refusal(text) == "issuers[0].leeway must be a number of seconds from 0 to 300, not 600"


def test_a_short_secret_for_jwt_is_refused(refusal, folder, minimal):
    """The gate's own HS256 tokens need a secret of 32 bytes (RFC 7518 3.2)."""
    (folder / "proxy.secret").write_bytes(b"s" * 31)
    text = minimal.replace("secret_file", 'auth = "jwt"\nsecret_file')
    assert refusal(text) == "upstream.secret_file names a secret of 31 bytes; HS256 needs at least 32"


def test_a_short_secret_for_proxy_is_a_warning(settle, folder, minimal):
    """A proxy secret that can be guessed is warned of: CouchDB takes any."""
    (folder / "proxy.secret").write_bytes(b"short")
    assert ["can be guessed" in warning for warning in settle(minimal).warnings] == [True]


def test_a_password_that_is_not_utf8_is_refused_without_its_bytes(refusal, folder, minimal):
    """Neither the sentence nor the exception's chain holds the password."""
    (folder / "password").write_bytes(b"hunter2\xff")
    text = minimal.replace("secret_file", 'auth = "basic"\nusername = "a"\npassword_file = "password"\nsecret_file')
    sentence = refusal(text)
    assert "is not UTF-8 at byte 7" in sentence
    assert "hunter2" not in sentence


@pytest.mark.parametrize(("ending", "secret"), [(b"\n", b"x" * 16), (b"\r\n", b"x" * 16), (b"\n\n", b"x" * 16 + b"\n")])
def test_a_secret_loses_one_trailing_newline(ending, secret, settle, folder, minimal):
    """Of several newlines only the last goes: the rest may be the secret's own."""
    (folder / "proxy.secret").write_bytes(b"x" * 16 + ending)
    assert settle(minimal).upstream.secret == secret


def test_no_secret_is_in_a_repr(settle, everything):
    """Settings may be printed: secrets and passwords are not in their text."""
    text = repr(settle(everything))
    assert "s" * 32 not in text
    assert "päss" not in text


@pytest.mark.parametrize(
    ("name", "key", "mode", "words"),
    [
        ("proxy.secret", "upstream.secret_file", 0o604, "every user of this machine may read"),
        ("proxy.secret", "upstream.secret_file", 0o620, "other users of this machine may change"),
        ("key.pub.pem", "issuers[0].keys", 0o646, "other users of this machine may change"),
    ],
)
def test_a_file_that_others_reach_is_a_warning(name, key, mode, words, settle, folder, minimal):
    """A secret that others may read, and a key that others may change, are named with what to do."""
    (folder / name).chmod(mode)
    (warning,) = settle(minimal).warnings
    assert f"couchgate.toml: {key} names {folder / name}, which" in warning
    assert words in warning
    assert "chmod" in warning


def test_a_public_key_may_be_read_by_all(settle, folder, minimal):
    """Public keys are public."""
    (folder / "key.pub.pem").chmod(0o644)
    assert settle(minimal).warnings == ()


def test_an_unreadable_secret_is_refused():
    """A secret that the gate's user may not read is named as such, not as a missing one."""
    assert reason_of(PermissionError(13, "Permission denied")) == "which the gate's user may not read"
    assert "Input/output error" in reason_of(OSError(5, "Input/output error"))


def test_a_key_file_of_megabytes_is_refused(refusal, folder, minimal):
    """No more than 1 MiB of a file is read, whatever it is."""
    (folder / "proxy.secret").write_bytes(b"x" * ((1 << 20) + 1))
    assert "is larger than 1048576 bytes" in refusal(minimal)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"[gate]\nmode = \n", "line 2, column 8 is not valid TOML"),
        (b"[gate\n", "is not valid TOML"),
        (b"a = 1\na = 2\n", "is not valid TOML"),
        (b"[gate]\nmode = '\xff'\n", "line 2 is not UTF-8"),
        (b"a = " + b"9" * 5000, "is not valid TOML"),
        (b"a = " + b"[" * 100_000, "nested too deeply"),
        (b"#" * ((1 << 20) + 1), "is larger than 1048576 bytes"),
        (b"", "upstream.url is missing"),
        (bytes(range(256)), "is not"),
    ],
)
def test_a_file_that_is_no_toml_is_one_sentence(content, words, refusal):
    """Whatever the bytes, the answer is a sentence with the line."""
    assert words in refusal(content)


@pytest.mark.parametrize(
    ("name", "words"),
    [("gone.toml", "does not exist"), (".", "is a folder"), ("a\0b", "no path"), ("password/x", "does not exist")],
)
def test_a_settings_file_that_cannot_be_read_is_one_sentence(name, words, folder):
    """A missing file, a folder and a path that is none are refused, not raised."""
    with pytest.raises(SettingsError, match=words) as caught:
        load(folder / name)
    assert "\n" not in str(caught.value)


@given(st.binary(max_size=60))
def test_any_bytes_are_settings_or_a_settings_error(content):
    """No file leads to another exception than SettingsError."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "couchgate.toml"
        path.write_bytes(content)
        with pytest.raises(SettingsError):
            load(path)


WORDS = sorted({word for words in KEYS.values() for word in words})
TOML = st.recursive(
    st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=4),
    max_leaves=12,
)


@given(data=st.dictionaries(st.sampled_from(KEYS[""]), TOML, max_size=5))
def test_any_values_are_settings_or_a_settings_error(data):
    """Values of any type under any known key never lead to another exception."""
    with pytest.raises(SettingsError):
        _read(Document(Path("/nonexistent/couchgate.toml"), {}), data, ())


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ('[gate]\nstate_dir = "{}"\n', "gate.state_dir names"),
        ('[log]\naccess = "{}"\n', "log.access names"),
        ('[log]\naccess = "{}/log"\n', "log.access names"),
    ],
)
def test_a_path_that_the_system_refuses_is_one_sentence(setting, words, refusal, minimal):
    """A name that is too long for the file system is refused, not raised."""
    sentence = refusal(setting.format("x" * 300) + minimal)
    assert sentence.startswith(words)
    assert "which cannot be read (File name too long)" in sentence


@pytest.mark.parametrize("path", [r"C:\Users\gate", r"D:\data", r"C:\xyz", r"C:\temp\new"])
def test_a_path_with_backslashes_is_shown_the_way_out(path, refusal, minimal):
    """In double quotes TOML takes them for escapes; in single quotes the path is what it looks like."""
    assert "a text with backslashes in single quotes" in refusal(f'[gate]\nstate_dir = "{path}"\n{minimal}')


def test_in_single_quotes_backslashes_are_what_they_look_like(settle, minimal):
    """A literal string of TOML has no escapes."""
    assert settle(f"[gate]\nstate_dir = 'C:\\temp'\n{minimal}").gate.state_dir.name.endswith(r"C:\temp")


@pytest.mark.parametrize("mark", [b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff"])
def test_a_secret_with_a_byte_order_mark_is_a_warning(mark, settle, folder, minimal):
    """PowerShell writes one that nobody sees, and the mark is part of the secret."""
    (folder / "proxy.secret").write_bytes(mark + b"x" * 32)
    settings = settle(minimal)
    assert settings.upstream.secret == mark + b"x" * 32
    assert any("begins with a byte order mark" in warning for warning in settings.warnings)
