"""A bounded memory forgets, but never lies."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from couchgate.core.memo import Memo


def test_what_is_kept_is_found_and_what_is_not_is_none():
    """A key gives its result, an unknown one None, and asking for it keeps nothing."""
    memo = Memo(2)
    memo.put("a", 1)
    assert (memo["a"], memo["b"]) == (1, None)
    assert len(memo) == 1


def test_what_is_in_use_outlives_its_generation():
    """A result that is asked for again and again is never forgotten, however many others come."""
    memo = Memo(2)
    memo.put("used", 0)
    for number in range(100):
        memo.put(number, number)
        assert memo["used"] == 0
    assert memo[0] is None


def test_each_result_is_counted_once():
    """What stands in both generations is one result, and what is forgotten is none."""
    memo = Memo(2)
    for number in (1, 2, 3):
        memo.put(number, number)
    assert (memo[1], memo.kept) == (1, 3)
    memo.put(4, 4)
    assert memo.kept == 3


def test_what_is_forgotten_on_purpose_is_gone_from_both_generations():
    """Nothing is left, and what comes later is kept as ever."""
    memo = Memo(2)
    for number in (1, 2, 3):
        memo.put(number, number)
    memo.forget()
    assert (memo[1], memo[3], memo.kept) == (None, None, 0)
    memo.put(4, 4)
    assert memo[4] == 4


@given(st.integers(1, 4), st.lists(st.tuples(st.sampled_from(["put", "get", "get"]), st.integers(0, 9))))
def test_a_memo_is_a_dict_that_may_forget(size, steps):
    """Whatever the order of calls, an answer is the last stored result or None, and the memory stays bounded."""
    memo, model, recent = Memo(size), {}, []
    for number, (step, key) in enumerate(steps):
        if step == "put":
            memo.put(key, number)
            model[key] = number
        else:
            answer = memo[key]
            assert answer in (None, model.get(key))
            if key in recent[:size]:  # fewer than `size` others were stored or found since
                assert answer == model[key]
        if memo.get(key) is not None:
            recent = [key, *(other for other in recent if other != key)]
        assert len(memo) + len(memo._old) <= 2 * size
