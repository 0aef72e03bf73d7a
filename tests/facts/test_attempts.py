"""A bounded memory of who tried how often."""

from hypothesis import given
from hypothesis import strategies as st

from couchgate.facts.attempts import Attempts

SECRET = b"s" * 32


@given(st.lists(st.floats(0, 20), max_size=60), st.integers(1, 5))
def test_never_more_than_the_burst_and_one_for_each_period(pauses, burst):
    """Over any stretch of time at most `burst` attempts and one more per period pass."""
    attempts, now, passed = Attempts(burst, 6.0, SECRET), 100.0, []
    bucket = attempts.bucket(b"alice")
    for pause in pauses:
        now += pause
        if attempts.wait(bucket, now) <= 0:
            attempts.take(bucket, now)
            passed.append(now)
    for first in range(len(passed)):
        for last in range(first, len(passed)):
            assert last - first + 1 <= burst + (passed[last] - passed[first]) / 6.0 + 1e-6


def test_what_is_given_back_can_be_taken_again():
    """An attempt that was no failure leaves the bucket as it was; the wait is exact."""
    attempts = Attempts(2, 6.0, SECRET)
    bucket = attempts.bucket(b"alice")
    for _ in range(5):
        attempts.take(bucket, 100.0)
        attempts.give_back(bucket)
    attempts.take(bucket, 100.0)
    assert attempts.wait(bucket, 100.0) <= 0
    attempts.take(bucket, 100.0)
    assert (attempts.wait(bucket, 100.0), attempts.wait(bucket, 106.0)) == (6.0, 0.0)


def test_memory_does_not_grow_with_keys():
    """Any number of keys share the buckets, and which do is not to be known without the secret."""
    attempts, other = Attempts(2, 6.0, SECRET, 64), Attempts(2, 6.0, b"t" * 32, 64)
    keys = [b"%d" % number for number in range(1000)]
    buckets = [attempts.bucket(key) for key in keys]
    assert (min(buckets), max(buckets)) == (0, 63)
    assert buckets != [other.bucket(key) for key in keys]
