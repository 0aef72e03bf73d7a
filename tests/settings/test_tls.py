"""`[upstream]` by https and by a Unix socket: the files and names are judged when they are loaded."""

import socket
from datetime import UTC, datetime, timedelta

import pytest

from couchgate.settings import TlsSettings
from tests.settings.conftest import MINIMAL, PAIR
from tests.upstream.certificates import HOUR, Authority, private_pem

SECURE = MINIMAL.replace("http://127.0.0.1:5984", "https://couch.example.com")
OWN = 'client_certificate = "certificate.pem"\nclient_key = "certificate.key"\n'


def with_lines(lines, text=SECURE):
    return text.replace("[upstream]\n", f"[upstream]\n{lines}\n")


def test_https_alone_verifies_the_urls_host_by_the_platforms_authorities(settle):
    """Nothing else need be written."""
    assert settle(SECURE).upstream.tls == TlsSettings("couch.example.com")
    assert settle(SECURE.replace("couch.example.com", "[::1]")).upstream.tls == TlsSettings("::1")
    assert settle(MINIMAL).upstream.tls is None


@pytest.mark.parametrize(
    ("name", "verified"), [("Couch.Internal.", "couch.internal"), ("10.0.0.1", "10.0.0.1"), ("::1", "::1")]
)
def test_a_server_name_is_a_name_or_an_address(name, verified, settle):
    """An address needs no brackets, and the dot at the end of a name is no part of a certificate's."""
    assert settle(with_lines(f'server_name = "{name}"')).upstream.tls.server_name == verified


def test_several_authorities_are_read(settle, folder):
    """A file of certificates, one after the other, is a list of authorities."""
    (folder / "certificate.pem").write_bytes(b"# ours\n" + PAIR[0] + PAIR[0])
    assert settle(with_lines('ca_file = "certificate.pem"')).upstream.tls.authorities == (PAIR[0], PAIR[0])


def test_certificate_and_key_may_be_one_file(settle, folder):
    """In any order, and with the certificates that lead to an authority behind the gate's own."""
    (folder / "all.pem").write_bytes(PAIR[1] + PAIR[0] + PAIR[0])
    (folder / "all.pem").chmod(0o600)
    settings = settle(with_lines('client_certificate = "all.pem"'))
    assert (settings.warnings, settings.upstream.tls.certificate) == ((), (PAIR[0], PAIR[0]))
    assert settings.upstream.tls.key == PAIR[1]
    assert "PRIVATE" not in repr(settings)


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ('ca_file = "gone.pem"', "upstream.ca_file names {folder}/gone.pem, which does not exist"),
        ('ca_file = "password"', "upstream.ca_file names {folder}/password, which holds no certificate in PEM"),
        ('ca_file = "certificate.key"', "which holds no certificate in PEM"),
        ('client_certificate = "certificate.pem"', "certificate.pem, which holds no private key in PEM"),
        ('client_key = "certificate.key"', "upstream.client_certificate is missing; client_key is the key of a"),
        (OWN.replace("certificate.key", "password"), "upstream.client_key names {folder}/password, which holds no"),
        (OWN.replace("certificate.key", "locked.key"), "locked.key, whose private key needs a passphrase"),
        (OWN.replace("certificate.key", "other.key"), "other.key, whose private key is not the one of the client"),
        (OWN.replace("certificate.pem", "old.pem"), "old.pem, whose certificate expired at 20"),
        (OWN.replace("certificate.pem", "new.pem"), "new.pem, whose certificate is not valid before 20"),
        ('server_name = "a_b"', "upstream.server_name has a host name with an underscore"),
        ('server_name = "a:1"', "upstream.server_name has brackets around something that is no IPv6 address"),
        ('server_name = "*.example.com"', "upstream.server_name must be a host name"),
        ('server_name = ""', "upstream.server_name must not be empty"),
        ('socket = "couch.sock"', "upstream.socket cannot be used with https://"),
    ],
)
def test_what_cannot_work_is_refused(lines, words, refusal, folder):
    """One sentence with the file, the key and what is wrong; nothing of a private key."""
    authority = Authority(folder)
    (folder / "locked.key").write_bytes(private_pem(authority._key, b"passphrase"))
    (folder / "other.key").write_bytes(private_pem(authority._key))
    (folder / "old.pem").write_bytes(authority.pair("a", begins=-2 * HOUR, ends=-HOUR)[0])
    (folder / "new.pem").write_bytes(authority.pair("a", begins=HOUR, ends=2 * HOUR)[0])
    assert words.format(folder=folder) in refusal(with_lines(lines))


def test_a_name_that_no_certificate_can_be_for_is_refused(refusal):
    """A host with an underscore needs a `server_name`."""
    assert "upstream.url has a host name with an underscore" in refusal(SECURE.replace("couch.", "couch_db."))


def test_a_certificate_that_ends_soon_is_a_warning(settle, folder):
    """Two weeks before its end, with the date."""
    certificate, key = Authority(folder).pair("a", ends=timedelta(days=13))
    (folder / "certificate.pem").write_bytes(certificate)
    (folder / "certificate.key").write_bytes(key)
    (warning,) = settle(with_lines(OWN)).warnings
    ends = datetime.now(UTC) + timedelta(days=13)
    assert f"certificate.pem, whose certificate expires at {ends:%Y-%m-%d}" in warning


def test_a_private_key_that_others_may_read_is_a_warning(settle, folder):
    """As with every secret."""
    (folder / "certificate.key").chmod(0o644)
    (warning,) = settle(with_lines(OWN)).warnings
    assert "upstream.client_key names" in warning
    assert "every user of this machine may read" in warning


def test_without_https_what_is_for_it_is_a_warning(settle):
    """A flag may change the URL without a change to the file."""
    lines = f'{OWN}ca_file = "gone.pem"\nserver_name = "x"'
    settings = settle(with_lines(lines), upstream__url="http://127.0.0.1:5984")
    assert settings.upstream.tls is None
    assert [warning.split(": ", 1)[1] for warning in settings.warnings] == [
        f"upstream.{key} is not used, because upstream.url begins with http://"
        for key in ("ca_file", "client_certificate", "client_key", "server_name")
    ]


def test_a_socket_is_a_path_beside_the_settings(settle, folder):
    """Nobody need listen yet; the password that goes there is in nobody's sight."""
    basic = MINIMAL.replace(
        'secret_file = "proxy.secret"', 'auth = "basic"\nusername = "a"\npassword_file = "password"'
    )
    text = with_lines('socket = "couch.sock"', basic.replace("127.0.0.1:5984", "couch.example.com"))
    assert (settle(text).upstream.socket, settle(text).warnings) == (str(folder / "couch.sock"), ())
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "couch.sock"))
        assert settle(text).upstream.authority == "couch.example.com"


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("password", "which is no Unix socket"),
        ("password/sock", "which does not exist"),
        ("x" * 104, "names a path of more than 103 bytes"),
    ],
)
def test_what_can_be_no_socket_is_refused(path, words, refusal):
    """A file of another kind, or a path that no socket can have."""
    assert words in refusal(with_lines(f'socket = "{path}"', MINIMAL))


def test_without_unix_sockets_the_key_is_refused(refusal, monkeypatch):
    """As with Python on Windows."""
    monkeypatch.delattr(socket, "AF_UNIX")
    assert refusal(with_lines('socket = "couch.sock"', MINIMAL)).startswith("upstream.socket cannot be used, because")
