"""`couchgate explain`: how a request would be decided, by a gate with these settings, now or at another time."""

from __future__ import annotations

import argparse
import json
import re
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from couchgate.commands import CommandError, telling
from couchgate.commands.asking import Loaded, in_reactor, load_keys
from couchgate.commands.request import shown_token, written
from couchgate.core import credential
from couchgate.core.credential import BasicCredential, BasicRules
from couchgate.core.errors import GateError
from couchgate.core.explain import Explanation, Step, explain
from couchgate.core.keys import KeySet, UnusableKeys
from couchgate.core.kinds import Kind
from couchgate.core.message import Peer, RequestHead
from couchgate.core.principal import Principal
from couchgate.core.target import Target
from couchgate.core.token import select, unverified
from couchgate.endpoints import Question
from couchgate.endpoints.session import session
from couchgate.http1.requests import take_head
from couchgate.settings import IssuerSettings, Settings, load
from couchgate.wiring import gate_of

REFUSED = 3
_HEADING = re.compile(r"^\s*\[\[\s*rules\s*\]\]", re.MULTILINE)


def run(args: argparse.Namespace) -> int:
    """Explain, print, and say by the exit status how it ends. Raises CommandError, SettingsError."""
    if args.method is None or args.url is None:
        raise CommandError("explain needs METHOD and URL, or --request-id")
    settings = load(args.config)
    now = time.time() if args.at is None else args.at
    request = written(args.method, args.url, args.header, shown_token(args))
    told = _explained(settings, request.head, Peer.of("127.0.0.1", secure=request.secure), now, args.keys)
    subject, lines = f"{args.method} {args.url}", _lines(settings)
    if args.json:
        values = telling.as_values(told, subject, settings.path, lines)
        sys.stdout.write(json.dumps(values, indent=2) + "\n")
    else:
        sys.stdout.write(telling.as_text(told, subject, settings.path, lines, now) + "\n")
    return REFUSED if told.outcome == "refused" else 0


class _Known(NamedTuple):
    """The `Facts` of an explanation."""

    keysets: Mapping[str, KeySet]


def _explained(settings: Settings, raw: bytes, peer: Peer, now: float, keys: Path | None) -> Explanation:
    limits = settings.limits
    try:
        taken = take_head(raw, limits.head_bytes, limits.header_count)
        assert taken is not None  # noqa: S101  # it was made whole
    except GateError as error:
        return Explanation("refused", error.status, error, (Step("request", {}, error),))
    head, _ = taken
    gate = gate_of(settings)
    issuer = _issuer_of(head, settings, gate.basic)
    loaded: dict[str, Loaded] = {}
    if issuer is not None:
        loaded = {issuer.rules.id: _keys_of(issuer, keys)}
    facts = _Known({name: each.keys for name, each in loaded.items() if each.keys is not None})
    told = explain(gate, head, peer, facts, now, _own)
    return told._replace(steps=tuple(_with_source(step, loaded) for step in told.steps))


def _issuer_of(head: RequestHead, settings: Settings, basic: BasicRules) -> IssuerSettings | None:
    """Whose keys the decision will need; None if it needs none."""
    try:
        shown = credential.read(head, basic)
        if shown is None:
            return None
        if isinstance(shown, BasicCredential):
            raise CommandError(
                "explain knows tokens only: whose password it is, the gate asks its checkers; send the request to it, "
                "and look up its X-Request-ID by --request-id"
            )
        rules = select(unverified(shown)[1], [issuer.rules for issuer in settings.issuers])
    except GateError:
        return None  # the decision ends there, too
    return next(issuer for issuer in settings.issuers if issuer.rules is rules)


def _keys_of(issuer: IssuerSettings, given: Path | None) -> Loaded:
    if given is not None:
        return _from_file(issuer, given)
    if issuer.source == "file":
        return _from_file(issuer, Path(issuer.keys))
    return in_reactor(lambda reactor: load_keys([issuer], reactor))[issuer.rules.id]


def _from_file(issuer: IssuerSettings, path: Path) -> Loaded:
    try:
        return Loaded(str(path), KeySet.parse_file(path.read_bytes(), issuer.rules.algorithms), None)
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror}; it must hold the issuer's keys") from error
    except UnusableKeys as error:
        return Loaded(str(path), None, f"{path}: {error}")


def _with_source(step: Step, loaded: Mapping[str, Loaded]) -> Step:
    """The step about the key, with where the keys came from."""
    if step.name != "key":
        return step
    (keys,) = loaded.values()
    problem = {} if keys.problem is None else {"problem": keys.problem}
    return step._replace(found={**step.found, "source": keys.source, **problem})


def _own(head: RequestHead, target: Target, principal: Principal | None) -> int:
    """What the gate's own pages answer. Of `/_gate` only the running gate knows."""
    if target.kind != Kind.SESSION:
        return 0
    try:
        session(Question(head.method, principal)).send(None)
    except StopIteration as answer:
        status: int = answer.value.status
        return status
    raise AssertionError("the session waits for nothing")


def _lines(settings: Settings) -> dict[int, int]:
    """In which line of the file each rule begins; nothing if that is not plain to see."""
    text = settings.path.read_text("utf-8-sig")
    starts = [text.count("\n", 0, match.end()) + 1 for match in _HEADING.finditer(text)]
    return dict(enumerate(starts)) if len(starts) == len(settings.rules) else {}
