"""What the settings file says, as frozen values. Nothing here reads a file or judges a value; `load` did both.

Secrets are kept out of every repr: a `Settings` may be printed or logged.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from couchgate.core.limits import Limits
from couchgate.core.policy import Rule
from couchgate.core.token import TokenRules


class SettingsError(ValueError):
    """The settings cannot be used. Its text is one sentence for a person: file, key, and what would be right."""


@dataclass(frozen=True, slots=True)
class ListenerSettings:
    """One listener: a Twisted endpoint string, its mode, and whether it serves administrators.

    `mode` is "keepalive", "close" or "threaded".
    """

    endpoint: str
    mode: str
    admin: bool = False


@dataclass(frozen=True, slots=True)
class GateSettings:
    """`[gate]`. `hosts` are in lower case; an entry with a port ("host:port") fits that port only.

    `state_dir` is absolute. `drain_seconds`: how long a stopping gate waits for exchanges that are still running.
    """

    listeners: tuple[ListenerSettings, ...]
    hosts: frozenset[str]
    state_dir: Path
    drain_seconds: float = 10.0


@dataclass(frozen=True, slots=True)
class OwnSettings:
    """`[upstream.own]`: the name for the calls that the gate makes for itself."""

    username: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class TlsSettings:
    """TLS toward CouchDB. All certificates are in PEM.

    `server_name` is the DNS name or IP address that CouchDB's certificate must be for. `authorities` are those that
    may have signed it; none: the platform's. `certificate` is the gate's own chain, its own one first, with `key`.
    """

    server_name: str
    authorities: tuple[bytes, ...] = ()
    certificate: tuple[bytes, ...] = ()
    key: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class UpstreamSettings:
    """`[upstream]`: where CouchDB is and how it is told who asks.

    `secure`: by https, and then `tls` is there. `socket` is the absolute path of a Unix socket in place of `host` and
    `port`. `host` has no brackets around an IPv6 address; `authority` is what is sent as `Host`.
    `auth` is "proxy", "basic", "jwt" or "none". `secret` is there for proxy and jwt, `username` and `password` for
    basic. `hmac` ("sha256" or "sha1") is the digest of proxy. `connect_seconds` and `first_byte_seconds` bound the
    wait for a connection and for an answer to begin, `idle_seconds` the time in which CouchDB neither sends nor takes
    anything; `connections` is the most idle ones kept.
    """

    secure: bool
    host: str
    port: int
    authority: str
    auth: str
    secret: bytes | None = field(default=None, repr=False)
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    hmac: str = "sha256"
    own: OwnSettings | None = None
    connect_seconds: float = 5.0
    first_byte_seconds: float = 300.0
    idle_seconds: float = 300.0
    connections: int = 100
    tls: TlsSettings | None = None
    socket: str | None = None


@dataclass(frozen=True, slots=True)
class IssuerSettings:
    """One `[[issuers]]` table: how its tokens are judged, and where its keys are.

    `source` is "url" (`keys` is a JWKS address), "file" (an absolute path), "oidc" (the issuer), or the kind of another
    package's source (its argument), which is not known to be there. `stale_seconds` is for "url" and "oidc". `place` is
    how an error begins that is found later ("FILE: issuers[0]"); `folder` is where the file's relative paths start.
    """

    rules: TokenRules
    keys: str
    source: str
    stale_seconds: float
    place: str = field(compare=False)  # a reload may call the same file by another path
    folder: Path

    @property
    def key_settings(self) -> tuple[object, ...]:
        """All that the source of the keys is made from: issuers that are equal in this can share one."""
        return self.source, self.keys, self.rules.algorithms, self.rules.issuer, self.stale_seconds, self.folder


@dataclass(frozen=True, slots=True)
class CheckerSettings:
    """One checker of names and passwords: what twisted.cred.strcred calls "kind:argument".

    `issuer` is "auth:kind". `name_prefix` is put before every user name, and none may begin with one of
    `reserved_prefixes`, which belong to others.
    """

    kind: str
    argument: str = field(repr=False)  # the passwords themselves, in the kind "memory"
    issuer: str
    name_prefix: str
    reserved_prefixes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AuthSettings:
    """`[auth]`: who may come by HTTP Basic, and how long a feed of somebody with a password lives, in seconds.

    `token_as_password`: whether a token may stand in the password's place.
    """

    checkers: tuple[CheckerSettings, ...] = ()
    token_as_password: bool = False
    feed_seconds: float = 3600.0


@dataclass(frozen=True, slots=True)
class CorsSettings:
    """`[cors]`: the origins that a browser may call from, and whether Private Network Access is granted to them."""

    origins: tuple[str, ...] = ()
    private_network: bool = False


@dataclass(frozen=True, slots=True)
class AdminSettings:
    """`[admin]`: the role of administrators, and the issuers whose people may have it. An empty role is nobody's."""

    role: str = ""
    issuers: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class RecorderSettings:
    """`[recorder]`: whether there is a flight recorder, and the size of its ring in bytes."""

    enabled: bool = True
    bytes: int = 4 << 20


@dataclass(frozen=True, slots=True)
class Settings:
    """A whole settings file that is valid. `warnings` are sentences for the operator; none of them stops the gate.

    `access_log` is "stdout", "off" or an absolute path; `trace`: whether CouchDB and clients are told each request's
    id. `digest` changes with what the settings say; it tells nothing of them and nothing of the secrets they name.
    """

    path: Path
    gate: GateSettings
    upstream: UpstreamSettings
    issuers: tuple[IssuerSettings, ...]
    auth: AuthSettings
    cors: CorsSettings
    rules: tuple[Rule, ...]
    limits: Limits
    admin: AdminSettings
    access_log: str
    trace: bool
    warnings: tuple[str, ...]
    digest: str = ""
    recorder: RecorderSettings = RecorderSettings()
