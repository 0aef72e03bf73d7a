"""The mode that is advised, from nothing but results."""

from hypothesis import given
from hypothesis import strategies as st

from couchgate.probe import results
from couchgate.probe.advice import ALLOW_LIST, MODES, UNKNOWN, USE, advise
from couchgate.probe.candidates import CANDIDATES
from couchgate.probe.results import KILLED, LOST, NO_TRAFFIC, NOT_INSTALLED, SURVIVED

EVERY = [value for name, value in vars(results).items() if name.isupper() and isinstance(value, str)]


def given_(control=SURVIVED, threaded=SURVIVED, close=SURVIVED, keepalive=SURVIVED, relay=NOT_INSTALLED):
    """The results by name."""
    return dict(zip(CANDIDATES, (control, threaded, close, keepalive, relay), strict=True))


def test_where_all_live_the_default_is_advised():
    """With the caution that a calm day proves nothing."""
    advice = advise(given_(relay=SURVIVED))
    assert advice == (
        USE,
        "keepalive",
        "Nothing was lost. That proves nothing for tomorrow, when a sensor may have other rules.",
    )


def test_a_relay_that_is_lost_beside_gates_that_live_is_told():
    """It shows that there is a sensor, and that the gate is not what it ends."""
    assert (
        advise(given_(relay=KILLED)).why == "An asyncio relay was lost here, and keepalive, close and threaded lived."
    )


def test_a_control_that_is_lost_beside_gates_that_live_is_told():
    """Nobody reads that nothing was lost."""
    assert advise(given_(control=KILLED)).why.startswith("The control was lost, although")


def test_a_calmer_mode_that_is_lost_makes_a_faster_one_doubtful():
    """The calmest that lived is advised, and to look again."""
    advice = advise(given_(threaded=KILLED))
    assert (advice.verdict, advice.mode) == (USE, "close")
    assert "run the probe again, with more --seconds" in advice.why


def test_a_mode_in_the_middle_that_is_lost_leaves_the_calmest():
    """The mode keepalive is not trusted where close was lost."""
    advice = advise(given_(close=KILLED))
    assert (advice.verdict, advice.mode) == (USE, "threaded")
    assert "A calmer mode was lost while a faster one lived" in advice.why


def test_a_mode_without_traffic_does_not_live():
    """It is neither advised nor counted as lost."""
    advice = advise(given_(keepalive=NO_TRAFFIC))
    assert (advice.verdict, advice.mode) == (USE, "close")
    assert "What becomes of keepalive is not known" in advice.why


def test_without_traffic_nothing_is_advised():
    """No mode, and no allow-list entry for want of anything seen."""
    advice = advise(given_(*[NO_TRAFFIC] * 5))
    assert (advice.verdict, advice.mode) == (UNKNOWN, "")


def test_an_allow_list_needs_every_mode_to_be_lost():
    """And the control says whether it is relaying that is ended."""
    lost = dict.fromkeys(("threaded", "close", "keepalive"), KILLED)
    assert advise(given_(**lost)).verdict == ALLOW_LIST
    assert "it is relaying that is ended here" in advise(given_(**lost)).why
    assert "So was the control" in advise(given_(control=KILLED, **lost)).why
    assert "is not known" in advise(given_(control=NO_TRAFFIC, **lost)).why
    assert advise(given_(**{**lost, "close": NO_TRAFFIC})).verdict == UNKNOWN


def test_what_is_not_known_is_not_survived_together_with():
    """A mode is advised beside calmer ones that survived, or else with a word of doubt; nobody reads "Nothing"."""
    advice = advise(given_(close=NO_TRAFFIC))
    assert (advice.verdict, advice.mode) == (USE, "threaded")
    advice = advise(given_(threaded=results.FAILED))
    assert (advice.verdict, advice.mode) == (USE, "close")
    assert advice.why.startswith("close lived. What becomes of a calmer mode is not known")
    assert "Nothing was lost" not in advice.why


def test_what_was_not_chosen_is_told_as_that():
    """It is not confused with what could not be found out."""
    advice = advise({"keepalive": SURVIVED}, (), ("keepalive",))
    assert "Nothing was lost" not in advice.why
    assert "close and threaded were not chosen (--only)." in advice.why
    assert "see the table" not in advice.why
    assert advise({"control": KILLED}, (), ("control",)) == (
        UNKNOWN,
        "",
        "keepalive, close and threaded were not chosen (--only).",
    )
    lost = dict.fromkeys(MODES, KILLED)
    assert "The control, which relays nothing, was not chosen" in advise(lost, (), MODES).why


def test_only_what_had_answered_was_lost_under_traffic():
    """What was lost before is told apart."""
    seen = given_(keepalive=KILLED, close=KILLED)
    assert advise(seen, ("close",)).why.startswith(
        "keepalive was lost under the browser's traffic, "
        "close was lost before the page told of an answer, and threaded lived."
    )
    assert "traffic" not in advise(seen, ("close", "keepalive")).why


@given(st.dictionaries(st.sampled_from(CANDIDATES), st.sampled_from(EVERY)))
def test_whatever_was_seen_the_advice_rests_on_it(seen):
    """A mode that is advised has lived; an allow-list entry is advised only where all were lost."""
    advice = advise(seen)
    if advice.verdict == USE:
        assert seen[advice.mode] == SURVIVED
    else:
        assert advice.mode == ""
        assert SURVIVED not in {seen.get(mode) for mode in MODES}
    assert (advice.verdict == ALLOW_LIST) == all(seen.get(mode) in LOST for mode in MODES)
    assert advice.why.endswith(".")
    assert "  " not in advice.why
    if "Nothing was lost" in advice.why:
        assert all(seen[mode] == SURVIVED for mode in MODES[MODES.index(advice.mode) :])
