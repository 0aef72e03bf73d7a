"""Checkers of passwords are asked once, and not at any rate that somebody likes."""

import pytest
from twisted.cred.error import UnauthorizedLogin
from twisted.cred.portal import Portal
from twisted.internet.defer import Deferred, fail, succeed

from couchgate.core.credential import BasicCredential
from couchgate.core.errors import TooManyRequests, Unauthorized, Unavailable
from couchgate.core.principal import person_of
from couchgate.facts.people import (
    ADDRESS_ATTEMPTS,
    NAME_ATTEMPTS,
    PATIENCE_SECONDS,
    QUESTIONS,
    REMEMBERED_SECONDS,
    People,
)
from couchgate.interfaces import IPrincipal

HOME = "192.0.2.1"


class Checking(Portal):
    """A portal whose answers the test gives: `answer(login)` is a value or a Deferred, or raises."""

    def __init__(self, issuer="auth:file"):
        self.issuer = issuer
        self.asked = []
        self.passwords = {"alice": "wonder"}
        self.answer = self.known

    def login(self, login, mind, *interfaces):
        assert interfaces == (IPrincipal,)
        assert repr(login) == "<Login>"
        self.asked.append((login.username.decode(), login.password.decode()))
        return self.answer(login)

    def known(self, login):
        name = login.username.decode()
        if name in self.passwords and login.checkPassword(self.passwords[name].encode()):
            return succeed((IPrincipal, person_of(name, self.issuer), lambda: None))
        return fail(UnauthorizedLogin())


@pytest.fixture
def checking():
    return Checking()


@pytest.fixture
def people(checking, clock):
    clock.advance(1000)
    return People({"auth:file": checking}, clock)


def ask(people, name="alice", password="wonder", address=HOME):
    """What comes of it: a principal, an error, or None while there is no answer."""
    outcome = []
    people.ask(BasicCredential(name, password), address).addBoth(outcome.append)
    return getattr(outcome[0], "value", outcome[0]) if outcome else None


def test_a_right_answer_is_remembered_for_a_while(people, checking, clock):
    """The checker is asked once a minute, however often the password comes; then a change counts."""
    for _ in range(100):
        assert ask(people).name == "alice"
    assert len(checking.asked) == 1
    clock.advance(REMEMBERED_SECONDS)
    assert ask(people).name == "alice"
    assert len(checking.asked) == 2
    checking.passwords.clear()
    assert ask(people).name == "alice"
    clock.advance(REMEMBERED_SECONDS)
    assert isinstance(ask(people), Unauthorized)
    assert isinstance(ask(people), Unauthorized)
    assert len(checking.asked) == 4


def test_nobody_keeps_the_password(people):
    """What is remembered is a hash under a key of this object."""
    ask(people)
    (key,) = people._known
    assert (len(key), b"wonder" in key) == (32, False)
    other = People({"auth:file": Checking()}, people._clock)
    ask(other)
    assert set(other._known) != {key}


def test_a_wrong_password_is_a_401_without_a_dialog(people):
    """The challenge is Bearer alone, and the text tells nothing."""
    for name, password in [("alice", "x"), ("bob", "wonder")]:
        error = ask(people, name, password)
        assert (type(error), error.code) == (Unauthorized, "password_wrong")
        assert error.headers == ((b"WWW-Authenticate", b"Bearer"),)
        assert error.reason == "The name or the password is wrong."


def test_those_who_ask_at_the_same_time_share_one_question(people, checking):
    """One answer serves all; whoever gives up the wait changes nothing for the others."""
    answer = Deferred()
    checking.answer = lambda login: answer
    outcomes = [[], [], []]
    waits = [people.ask(BasicCredential("alice", "wonder"), HOME).addBoth(got.append) for got in outcomes]
    waits[0].cancel()
    assert (len(checking.asked), [len(got) for got in outcomes]) == (1, [1, 0, 0])
    answer.callback((IPrincipal, person_of("alice", "auth:file"), None))
    assert [got[0].name for got in outcomes[1:]] == ["alice", "alice"]


def test_guesses_for_one_name_are_bounded_wherever_they_come_from(people, checking, clock):
    """Behind the limit it is a 429 with the time to wait, and the checker is not asked; other names go on."""
    burst, seconds = NAME_ATTEMPTS
    for number in range(burst):
        assert isinstance(ask(people, password=f"guess-{number}", address=f"198.51.100.{number}"), Unauthorized)
    error = ask(people, password="one more", address="203.0.113.9")
    assert (type(error), error.status, error.error) == (TooManyRequests, 429, "too_many_requests")
    assert error.headers == ((b"Retry-After", b"6"),)
    assert len(checking.asked) == burst
    assert isinstance(ask(people, "bob", "x"), Unauthorized)
    clock.advance(seconds)
    assert isinstance(ask(people, password="one more"), Unauthorized)
    assert isinstance(ask(people, password="and one"), TooManyRequests)


@pytest.mark.parametrize("addresses", [(HOME,), ("2001:db8::1", "2001:db8::2:3%eth0"), ("",), (HOME, f"::ffff:{HOME}")])
def test_guesses_from_one_network_are_bounded_whatever_names_they_try(people, checking, addresses):
    """An IPv6 network of one person counts as one address, and so do the clients of a Unix socket."""
    burst, _ = ADDRESS_ATTEMPTS
    for number in range(burst):
        address = addresses[number % len(addresses)]
        assert isinstance(ask(people, f"user-{number}", "x", address), Unauthorized)
    assert isinstance(ask(people, "alice", "wonder", addresses[-1]), TooManyRequests)
    assert ask(people, "alice", "wonder", "2001:db8:0:1::1").name == "alice"


def test_right_passwords_cost_nothing(people, checking, clock):
    """Those who know it are asked about for ever."""
    for _ in range(200):
        assert ask(people).name == "alice"
        clock.advance(REMEMBERED_SECONDS / 1000)
    for number in range(100):
        checking.passwords[f"user-{number}"] = "x"
        assert ask(people, f"user-{number}", "x").name == f"user-{number}"


def test_strangers_do_not_shut_out_who_knew_the_password(people, checking, clock):
    """What was right before is asked about again when there are no attempts left; once it is wrong, that is over."""
    ask(people)
    for number in range(100):
        ask(people, password=f"guess-{number}")
    clock.advance(REMEMBERED_SECONDS - 1)
    for number in range(100):
        ask(people, password=f"guess-{number}")
    clock.advance(1)
    assert ask(people).name == "alice"
    checking.passwords.clear()
    clock.advance(REMEMBERED_SECONDS)
    for number in range(100):
        ask(people, password=f"guess-{number}")
    assert isinstance(ask(people), Unauthorized)
    assert isinstance(ask(people), TooManyRequests)


def test_questions_at_a_time_are_bounded(people, checking):
    """More are a 503 that passes at once, and cost no attempt."""
    checking.answer = lambda login: Deferred()
    for number in range(QUESTIONS):
        assert ask(people, f"user-{number}", address=f"192.0.2.{number}") is None
    error = ask(people, "late", address="198.51.100.1")
    assert (error.status, error.code, error.headers) == (503, "password_busy", ((b"Retry-After", b"1"),))
    assert len(checking.asked) == QUESTIONS
    people.stop()


def test_a_checker_that_fails_is_a_503_and_is_told_once(people, checking, log_events):
    """No other checker is asked, no attempt is lost, and the log has neither name nor password."""

    def broken(login):
        raise RuntimeError(f"cannot check {login.username} {login.password}")

    checking.answer = broken
    for _ in range(50):
        assert ask(people).code == "password_checker"
    checking.answer = checking.known
    assert ask(people).name == "alice"
    checking.answer = lambda login: fail(OSError(5, "Input/output error", "/secret/place"))
    for number in range(5):
        assert ask(people, password=f"guess-{number}").status == 503
    told = [event for event in log_events if event.get("log_namespace", "").endswith("People")]
    assert [event["problem"] for event in told] == ["RuntimeError", "Input/output error"]
    assert not any("wonder" in str(event) or "alice" in str(event) for event in told)


def test_a_checker_that_does_not_answer_is_given_up(people, checking, clock):
    """After its time it is a 503, and the next question is asked anew."""
    ended = []
    checking.answer = lambda login: Deferred(lambda _: ended.append(True))
    outcome = []
    people.ask(BasicCredential("alice", "wonder"), HOME).addBoth(lambda failure: outcome.append(failure.value))
    clock.advance(PATIENCE_SECONDS - 1)
    assert not outcome
    clock.advance(1)
    assert (ended, type(outcome[0])) == ([True], Unavailable)
    checking.answer = checking.known
    assert ask(people).name == "alice"
    assert not clock.getDelayedCalls()


def test_the_first_checker_that_knows_a_person_decides(clock):
    """Others are asked only after a no; a fault is no no, because the next may know another by that name."""
    first, second = Checking("auth:file"), Checking("auth:memory")
    people = People({"auth:file": first, "auth:memory": second}, clock)
    assert (ask(people).issuer, len(second.asked)) == ("auth:file", 0)
    second.passwords["bob"] = "x"
    assert ask(people, "bob", "x").issuer == "auth:memory"
    first.answer = lambda login: fail(OSError(5, "Input/output error"))
    second.passwords["carol"] = "x"
    assert isinstance(ask(people, "carol", "x"), Unavailable)
    assert len(second.asked) == 1


def test_a_name_that_couchdb_could_not_be_told_is_a_401(people, checking):
    """The password was right; the person is refused all the same."""

    def unfit(login):
        return succeed(None).addCallback(lambda _: person_of(" alice", "auth:file"))

    checking.answer = unfit
    assert ask(people).code == "password_name"


def test_the_end_lets_everybody_go(people, checking, clock):
    """Who waits when the gate stops is told to come again, and so is who comes later; no timer is left."""
    checking.answer = lambda login: Deferred()
    outcome = []
    people.ask(BasicCredential("alice", "wonder"), HOME).addBoth(lambda failure: outcome.append(failure.value))
    people.stop()
    assert outcome[0].status == 503
    assert ask(people, "bob").status == 503
    assert not clock.getDelayedCalls()


def test_a_flood_of_names_and_addresses_is_bounded_and_shuts_out_nobody_who_is_known(people, checking, clock):
    """Ten thousand wrong passwords for as many names, and for one, from as many networks: what is remembered stays
    bounded, and the owner of a password that was right before gets in at once.
    """
    assert ask(people).name == "alice"
    clock.advance(REMEMBERED_SECONDS + 1)
    for number in range(10_000):
        ask(people, f"name-{number}", "x", f"10.{number >> 8}.{number & 255}.1")
        ask(people, "alice", f"guess-{number}", f"10.{number >> 8}.{number & 255}.2")
    assert (people._known.kept, len(people._waiting), len(people._questions)) == (1, 0, 0)
    assert people._problems == {}
    asked = len(checking.asked)
    assert ask(people, address="10.0.0.2").name == "alice"
    assert len(checking.asked) == asked + 1
