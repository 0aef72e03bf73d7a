"""The gate's whole face without a socket: channel, tree, gate, relay and pool between wires that only write down."""

from twisted.internet import defer
from twisted.internet.task import Clock

from couchgate.core.cors import Cors
from couchgate.core.gate import Gate
from couchgate.core.identity import ProxyIntroduction
from couchgate.core.keys import KeySet
from couchgate.core.limits import Limits
from couchgate.core.message import Peer
from couchgate.core.policy import Pattern, Policy, Rule
from couchgate.core.token import TokenRules
from couchgate.testing import Minter
from couchgate.upstream.pool import UpstreamPool
from couchgate.web.channel import GateChannel
from couchgate.web.factory import GateSite
from couchgate.web.resources import Door, ReverseProxyResource, RootResource

NOW = 1_700_000_000.0
NAME = "alice"
AUTHORITY = "couch.internal:5984"
_MINTER = Minter("ES256", None)
TOKEN = _MINTER.token(NAME, now=NOW, expires_in=10_000).encode()
_RULE = Rule(frozenset({_MINTER.issuer}), (Pattern.parse("*"),), None, frozenset({"read", "write"}))


class Facts:
    """Keys that never change."""

    keysets = {"r": KeySet.from_jwks(_MINTER.jwks(), ["ES256"])}  # noqa: RUF012 - nobody changes it


class Paper:
    """A wire that writes down what was sent. `ending`: None while it is open, then "fin" or "rst"."""

    blocked = False
    unsent = False
    stands = True
    secure = False
    sends = 0

    def __init__(self, owner):
        self.owner = owner
        self.sent = bytearray()
        self.ending = None
        self.paused = False
        self.gone = False

    def write(self, data):
        assert data
        self.sends += 1
        if self.ending is None:
            self.sent += data
        return True

    def pause(self):
        self.paused = True

    def resume(self):
        self.paused = False

    def close(self):
        self._end("fin")

    def close_write(self):
        self.ending = self.ending or "fin"

    def abort(self):
        self._end("rst")

    def _end(self, how):
        self.ending = self.ending or how
        if not self.gone:
            self.gone = True
            self.owner.lost(clean=how == "fin")

    # -- what the other side does

    def comes(self, data):
        """Bytes from the other side; whether anybody took them."""
        if self.gone or self.paused:
            return False
        self.owner.received(data)
        return True

    def closes(self):
        """The other side closes its direction."""
        if not self.gone:
            self.owner.ended()

    def breaks(self):
        """The other side resets the connection."""
        self._end("rst")


class _Connector:
    def __init__(self, made):
        self._made = made

    def connect(self, connection):
        connection.wire = Paper(connection)
        self._made.append(connection.wire)


class Face:
    """One client's connection to a gate in `mode`: `client` is its wire, `upstream` those toward CouchDB."""

    def __init__(self, mode="keepalive", head_bytes=4096):
        self.clock = Clock()
        self.upstream = []
        self.pool = UpstreamPool(_Connector(self.upstream), self.clock.seconds)
        gate = Gate(
            rules=[TokenRules("r", _MINTER.issuer, frozenset({"couchgate"}), frozenset({"ES256"}))],
            policy=Policy([_RULE]),
            cors=Cors(["https://app.example.com"]),
            hosts=frozenset(),
            introduction=ProxyIntroduction(b"secret"),
            authority=AUTHORITY,
        )
        door = Door(gate, Facts, lambda _id, _kid: defer.succeed(None), lambda _credential, _address: defer.Deferred())
        self.site = GateSite(
            gate,
            RootResource(ReverseProxyResource(door, self.pool)),
            Limits(head_bytes=head_bytes),
            mode=mode,
            first_byte_seconds=300.0,
            upstream_idle_seconds=300.0,
            clock=self.clock,
            wall=lambda: NOW,
            count=lambda _request: None,
        )
        channel = GateChannel(self.site.site, Peer.of("192.0.2.7", secure=False))
        channel.wire = self.client = Paper(channel)
        channel.opened()
