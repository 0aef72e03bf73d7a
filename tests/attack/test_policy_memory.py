"""What one person without any rights can make the policy remember."""

import sys

import pytest

from couchgate.core.errors import Forbidden
from couchgate.core.policy import Pattern, Policy, Rule
from couchgate.core.principal import Principal
from couchgate.core.target import classify


def test_names_that_no_database_can_have_are_not_remembered():
    """A token and 32 KB database names: at most a few megabytes stay."""
    policy = Policy([Rule(frozenset({"i"}), (Pattern.parse("db"),), None, frozenset({"read"}))])
    person = Principal("i", "n", (), None, None)
    for number in range(200):
        with pytest.raises(Forbidden):
            policy.check(person, classify(b"GET", b"/" + b"a" * 32000 + b"%d" % number))
    kept = sum(sys.getsizeof(part) for key in policy._memo for part in key if isinstance(part, str))
    assert kept < 1_000_000
