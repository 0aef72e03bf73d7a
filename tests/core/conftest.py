"""A small world for the tests of the whole decision: two issuers, a policy, and requests."""

from types import SimpleNamespace

import pytest

from couchgate.core.cors import Cors
from couchgate.core.gate import Gate
from couchgate.core.identity import ProxyIntroduction
from couchgate.core.keys import KeySet
from couchgate.core.message import NO_BODY, Fields, Peer, RequestHead
from couchgate.core.policy import Pattern, Policy, Rule
from couchgate.core.target import classify
from couchgate.core.token import TokenRules
from couchgate.testing import Minter


class World:
    """What a gate is made of. `now` is the time at which tokens are minted."""

    now = 1_700_000_000.0
    leeway = 30.0
    app = "https://app.example.com"
    authority = "127.0.0.1:5984"
    peer = Peer.of("192.0.2.7", secure=True)

    def __init__(self):
        self.first = Minter("ES256", "key-1", issuer="https://first.example/")
        self.second = Minter("HS256", None, issuer="https://second.example/")
        self.stranger = Minter("ES256", "key-2", issuer="https://first.example/")
        self.rules = (
            TokenRules("1", self.first.issuer, frozenset({"couchgate"}), frozenset({"ES256"}), leeway=self.leeway),
            TokenRules(
                "2", self.second.issuer, frozenset(), frozenset({"HS256"}), leeway=self.leeway, name_prefix="second-"
            ),
        )
        self.keysets = {
            "1": KeySet.from_jwks(self.first.jwks(), ["ES256"]),
            "2": KeySet.from_secret(self.second.secret, ["HS256"]),
        }
        first, both = frozenset({self.first.issuer}), frozenset({self.first.issuer, self.second.issuer})
        self.policy = Policy(
            [
                Rule(first, (Pattern.parse("lab"),), frozenset({"designer"}), frozenset({"read", "write", "design"})),
                Rule(both, (Pattern.parse("notes-{name}"), Pattern.parse("lab")), None, frozenset({"read", "write"})),
                Rule(both, (Pattern.parse("shared"),), None, frozenset({"read"})),
            ]
        )

    def gate(self):
        """A gate that has decided nothing yet."""
        return Gate(
            rules=self.rules,
            policy=self.policy,
            cors=Cors([self.app]),
            hosts=frozenset({"gate.example.com", "port.example.com:8443"}),
            introduction=ProxyIntroduction(b"a secret that CouchDB knows"),
            authority=self.authority,
        )

    def facts(self, *ids):
        """Facts with the key sets of these rules, all of them if none is named; each time a new mapping."""
        return SimpleNamespace(keysets={id_: self.keysets[id_] for id_ in ids or self.keysets})

    def token(self, sub="alice", minter=None, **claims):
        """A token of the first issuer, or of another minter."""
        return (minter or self.first).token(sub, now=self.now, **claims)

    def head(self, *pairs, method=b"GET", target=b"/shared", token=None, host=b"gate.example.com"):
        """A request's head; without `host` none is sent."""
        fields = [(b"Host", host)] if host is not None else []
        if token is not None:
            fields.append((b"Authorization", b"Bearer " + token.encode()))
        return RequestHead(method, target, 11, Fields.of(*fields, *pairs), NO_BODY)

    def decide(self, gate, head, facts=None, now=None, **how):
        """What `gate` says to a head after a face has screened and classified it."""
        gate.screen(head)
        target = classify(head.method, head.target)
        return gate.decide(head, target, self.peer, facts or self.facts(), self.now if now is None else now, **how)


@pytest.fixture(scope="session")
def world():
    """The world; it never changes."""
    return World()
