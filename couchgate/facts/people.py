"""People with a name and a password: the checkers are asked once, and not at any rate that somebody likes.

- A right answer is remembered for a short while, under a hash of name and password with a key of this process; the
  password itself is kept by nobody here.
- Questions about the same name and password are one question. All questions together are bounded, and each in time.
- A wrong password costs an attempt of its name and one of its address; who has none left is a 429, so that PouchDB
  comes again instead of ending its sync. What was right before is asked about again without an attempt: guesses of
  strangers do not shut out those who know the password.
- A checker that fails is a 503 for those who need it, and is asked again by the next; the log tells each problem once.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Mapping
from copy import copy
from hashlib import blake2b
from hmac import compare_digest
from math import ceil
from typing import Any, NamedTuple

from twisted.cred.credentials import IUsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.cred.portal import Portal
from twisted.internet.defer import CancelledError, Deferred, fail, maybeDeferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from couchgate.core.credential import BasicCredential
from couchgate.core.errors import GateError, TooManyRequests, Unauthorized, Unavailable
from couchgate.core.memo import Memo
from couchgate.core.principal import Principal
from couchgate.facts.attempts import Attempts
from couchgate.interfaces import IPrincipal

REMEMBERED_SECONDS = 60.0  # for so long a password is good after it was taken away
PATIENCE_SECONDS = 10.0  # for each checker
QUESTIONS = 32  # at a time
NAME_ATTEMPTS = (10, 6.0)  # at once, and seconds for one more
ADDRESS_ATTEMPTS = (30, 2.0)
_KEPT = 4096


@implementer(IUsernamePassword)
class Login:
    """A name and a password, as `twisted.cred` hands them to checkers. Its repr hides them."""

    __slots__ = ("password", "username")

    def __init__(self, credential: BasicCredential) -> None:
        self.username = credential.name.encode()
        self.password = credential.password.encode()

    def checkPassword(self, password: bytes) -> bool:
        """Whether it is `password`, in a time that does not depend on where they differ."""
        return compare_digest(self.password, password)

    def __repr__(self) -> str:
        return "<Login>"


class _Known(NamedTuple):
    """What a checker said. `person` is None once it has taken it back."""

    person: Principal | None
    fresh_until: float


class People:
    """Asks the `portals`, by the issuer of their people, one after the other: the first that knows a person decides.

    Each answers to `IPrincipal`. `clock` is monotonic, and bounds the waits.
    """

    _log = Logger()

    def __init__(self, portals: Mapping[str, Portal], clock: IReactorTime) -> None:
        self._portals = dict(portals)
        self._clock = clock
        self._secret = secret = os.urandom(32)
        self._known: Memo[bytes, _Known] = Memo(_KEPT)
        self._names = Attempts(*NAME_ATTEMPTS, secret)
        self._addresses = Attempts(*ADDRESS_ATTEMPTS, secret)
        self._waiting: dict[bytes, list[Deferred[Principal]]] = {}
        self._questions: set[Deferred[Principal]] = set()
        self._problems: dict[str, str] = {}
        self._stopped = False

    def ask(self, credential: BasicCredential, address: str) -> Deferred[Principal]:
        """Whose name and password this is; `address` is where it came from.

        Fails with a GateError and nothing else: Unauthorized, TooManyRequests, Unavailable. It fires in time whatever
        a checker does. Cancelling it gives up the wait, not the question, which others may share.
        """
        key = blake2b(f"{credential.name}\0{credential.password}".encode(), digest_size=32, key=self._secret).digest()
        now = self._clock.seconds()
        known = self._known[key]
        if known is not None and known.person is not None and now < known.fresh_until:
            return succeed(known.person)
        waiting = self._waiting.get(key)
        if waiting is None:
            proven = known is not None and known.person is not None
            taken = () if proven else self._attempts(credential.name, address)
            late = max((attempts.wait(bucket, now) for attempts, bucket in taken), default=0.0)
            if late > 0:
                return fail(_too_many(late))
            if len(self._waiting) >= QUESTIONS or self._stopped:
                return fail(Unavailable("Too many passwords are being checked.", code="password_busy", retry_after=1))
            for attempts, bucket in taken:
                attempts.take(bucket, now)
        wait: Deferred[Principal] = Deferred()
        if waiting is None:
            self._waiting[key] = [wait]
            self._begin(key, credential, taken)
        else:
            waiting.append(wait)
        return wait

    def stop(self) -> None:
        """End every question; those who wait are refused, and so is who comes later."""
        self._stopped = True
        for question in tuple(self._questions):
            question.cancel()

    def _attempts(self, name: str, address: str) -> tuple[tuple[Attempts, int], ...]:
        return (
            (self._names, self._names.bucket(name.encode())),
            (self._addresses, self._addresses.bucket(_place(address))),
        )

    def _begin(self, key: bytes, credential: BasicCredential, taken: tuple[tuple[Attempts, int], ...]) -> None:
        def give_back() -> None:
            for attempts, bucket in taken:
                attempts.give_back(bucket)

        def accepted(person: Principal) -> None:
            self._known.put(key, _Known(person, self._clock.seconds() + REMEMBERED_SECONDS))
            give_back()
            for wait in self._waiting.pop(key):
                _fire(wait, person)

        def refused(failure: Failure) -> None:
            error: Any = failure.value
            if failure.check(CancelledError):
                error = Unavailable("The gate is shutting down.", code="password_checker")
            if isinstance(error, Unavailable):
                give_back()
            elif self._known[key] is not None:
                self._known.put(key, _Known(None, 0.0))
            for wait in self._waiting.pop(key):
                _fire(wait, Failure(copy(error)))  # one instance for all would collect tracebacks

        def ended(result: object) -> object:
            self._questions.discard(question)
            return result

        question = Deferred.fromCoroutine(self._identify(Login(credential)))
        self._questions.add(question)
        question.addBoth(ended)
        question.addCallbacks(accepted, refused)
        question.addErrback(lambda failure: self._log.failure("Asking for a password failed", failure=failure))

    async def _identify(self, login: Login) -> Principal:
        for issuer, portal in self._portals.items():
            try:
                answer: Any = maybeDeferred(portal.login, login, None, IPrincipal)
                _, person, _ = await answer.addTimeout(PATIENCE_SECONDS, self._clock)
            except UnauthorizedLogin:
                self._problems.pop(issuer, None)
                continue
            except (GateError, CancelledError):
                raise
            except Exception as error:  # noqa: BLE001  # checkers raise what they like
                self._tell(issuer, error)
                raise Unavailable("Passwords cannot be checked at the moment.", code="password_checker") from None
            self._problems.pop(issuer, None)
            return person  # type: ignore[no-any-return]  # the realm's
        raise Unauthorized("The name or the password is wrong.", code="password_wrong")

    def _tell(self, issuer: str, error: Exception) -> None:
        # Not the error's text: it may hold what was shown.
        what = error.strerror if isinstance(error, OSError) else None
        problem = what or type(error).__name__
        if self._problems.get(issuer) != problem:
            self._problems[issuer] = problem
            self._log.error(
                "The checker of {issuer} failed ({problem}); until it works again its people get a 503.",
                issuer=issuer,
                problem=problem,
            )


def _fire(wait: Deferred[Principal], result: Principal | Failure) -> None:
    if not wait.called:  # it was cancelled
        wait.callback(result)


def _too_many(seconds: float) -> TooManyRequests:
    retry = b"%d" % max(1, ceil(seconds))
    return TooManyRequests(
        "Too many wrong passwords: wait before the next.", code="password_rate", headers=((b"Retry-After", retry),)
    )


def _place(address: str) -> bytes:
    """The network that one person has: an IPv4 address, or the first half of one of IPv6."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address.encode()  # empty, for a Unix socket
    if isinstance(ip, ipaddress.IPv4Address):
        return ip.packed
    return ip.packed[:8] if ip.ipv4_mapped is None else ip.ipv4_mapped.packed
