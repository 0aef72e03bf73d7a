"""How listeners are named in metrics."""

import pytest

from couchgate.overview import labels


@pytest.mark.parametrize(
    ("endpoint", "label"),
    [
        ("tcp:5985:interface=127.0.0.1", "tcp:5985"),
        ("tcp:5985", "tcp:5985"),
        ("ssl:443:privateKey=/k.pem:certKey=/c.pem", "ssl:443"),
        ("unix:/run/gate.sock:mode=660", "unix:/run/gate.sock"),
        ("systemd:domain=INET:index=0", "systemd:domain=INET:index=0"),
        ("tcp:port=5985:interface=127.0.0.1", "tcp:port=5985:interface=127.0.0.1"),
    ],
)
def test_a_listener_is_named_by_the_beginning_of_its_endpoint(endpoint, label):
    """Kind and port are enough for a person; other forms stay whole."""
    assert labels((endpoint,)) == {endpoint: label}


def test_two_listeners_never_share_a_name():
    """The same port on two interfaces is told apart by the whole string."""
    both = ("tcp:1:interface=127.0.0.1", "tcp:1:interface=10.0.0.1")
    assert labels((*both, "tcp:2")) == {**dict(zip(both, both, strict=True)), "tcp:2": "tcp:2"}
