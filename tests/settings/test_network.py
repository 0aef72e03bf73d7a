"""Host names, URLs and endpoint strings."""

import pytest

from couchgate.settings.network import endpoint, host_entry, keys_address, upstream_address


@pytest.mark.parametrize(
    ("text", "entry"),
    [
        ("A.example", "a.example"),
        ("a.example:80", "a.example:80"),
        ("[::1]", "[::1]"),
        ("[::1]:1", "[::1]:1"),
        ("10.0.0.1", "10.0.0.1"),
        ("my_host", "my_host"),
        ("a.example.", "a.example."),
    ],
)
def test_a_host_is_kept_in_lower_case(text, entry):
    """Host names, addresses and ports are accepted as a Host field has them."""
    assert host_entry(text) == entry


@pytest.mark.parametrize(
    "text",
    [
        "",
        "*",
        "a b",
        "http://a",
        "a/b",
        "a:0",
        "a:65536",
        "a:",
        "::1",
        "[::1",
        "[x]",
        "1.2.3",
        "1.2.3.456",
        "-a",
        "a..b",
        "bücher.example",
        "a@b",
        "a" * 254,
        "a:٣",
    ],
)
def test_what_is_no_host_is_refused(text):
    """Patterns, URLs, ports out of range and half addresses are no hosts."""
    with pytest.raises(ValueError, match=r"must|has|ends"):
        host_entry(text)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("http://localhost", (False, "localhost", 80, "localhost")),
        ("https://C.example:443/", (True, "c.example", 443, "c.example")),
        ("http://[::1]:5984", (False, "::1", 5984, "[::1]:5984")),
    ],
)
def test_an_upstream_is_scheme_host_and_port(text, parts):
    """What is sent as Host leaves out the scheme's own port and keeps the brackets of IPv6."""
    assert tuple(upstream_address(text)) == parts


@pytest.mark.parametrize(
    "text",
    [
        "http://",
        "http:///x",
        "//a",
        "http://a?",
        "http://a#",
        "http://a/?q",
        "http://a:x",
        "http://a:",
        "http://a:0",
        "http://a\\b",
        "http://[::1",
        "http://a b",
        "http://a\t",
        "http://é",
        "unix:/x",
        "http://a:99999",
    ],
)
def test_what_is_no_upstream_is_refused(text):
    """Anything beside scheme, host and port is refused, and nothing is cut off silently."""
    with pytest.raises(ValueError, match=r"must|is no|has"):
        upstream_address(text)


@pytest.mark.parametrize("host", ["localhost", "app.localhost", "127.0.0.1", "127.9.9.9", "[::1]:8080"])
def test_keys_may_come_in_clear_from_this_machine(host):
    """Loopback names and addresses need no TLS."""
    keys_address(f"http://{host}/jwks.json?x=1")


@pytest.mark.parametrize("host", ["localhost.example.com", "10.0.0.1", "127.0.0.1.example.com", "notlocalhost"])
def test_keys_from_elsewhere_need_https(host):
    """Whoever could change the keys could make tokens."""
    keys_address(f"https://{host}/jwks.json")
    with pytest.raises(ValueError, match="must begin with https://"):
        keys_address(f"http://{host}/jwks.json")


@pytest.mark.parametrize(
    "text",
    [
        "tcp:0",
        "tcp:5985",
        "tcp:port=5985",
        "tcp6:5985:interface=\\:\\:1",
        "ssl:443:privateKey=/k",
        "unix:/a",
        "systemd:domain=INET:index=0",
        "systemd:domain=INET6:name=gate",
        "other:x",
    ],
)
def test_an_endpoint_of_good_form_is_accepted(text):
    """The kinds that Twisted brings, and those of plugins, pass."""
    assert endpoint(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "tcp",
        "tcp:",
        ":1",
        "tcp:x",
        "tcp:70000",
        "tcp:-1",
        "systemd:index=0",
        "systemd:domain=INET",
        "tcp:1\\",
        "a b:1",
    ],
)
def test_an_endpoint_of_bad_form_is_refused(text):
    """A port that is none, a half systemd socket and a lone backslash are found before Twisted sees them."""
    with pytest.raises(ValueError, match=r"must|needs|ends"):
        endpoint(text)
