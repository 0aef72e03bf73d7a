"""What the demo's gate is told: its settings file and its key, written into one directory."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from couchgate.system import BINARY
from couchgate.testing import Minter

ISSUER = "couchgate-demo"
AUDIENCE = "couchgate"
NAME = "demo"
DATABASE = "couchgate-demo"
ORIGINS = tuple(f"http://{host}:{port}" for host in ("localhost", "127.0.0.1") for port in (3000, 5173, 8080))


@dataclass(frozen=True, slots=True)
class UpstreamAuth:
    """How the gate tells CouchDB who it is: `auth` and its keys, as in `[upstream]` of the settings."""

    auth: str
    username: str | None = None
    password_file: Path | None = None
    secret_file: Path | None = None


@dataclass(frozen=True, slots=True, repr=False)
class DemoFiles:
    """What was written: the settings file, and the minter with the key that it trusts."""

    settings: Path
    minter: Minter


def write(
    directory: Path,
    upstream: str,
    auth: UpstreamAuth | None,
    port: int,
    origins: Sequence[str],
    *,
    mode: str = "keepalive",
    database: str = DATABASE,
) -> DemoFiles:
    """Write `couchgate.toml` and its key into `directory`; a key that is there already is kept.

    `auth` is None for a stand-in: there every database may be made and removed, in a CouchDB that holds a person's
    data only `database`, a pattern as in the settings. Raises OSError, and ValueError for a `key.pem` that is no P-256
    key.
    """
    minter = _minter(directory)
    everything = ["read", "write", "design", "admin"]
    rules = [(["*"], everything)]
    if auth is not None:
        rules = [([database], everything), (["*"], ["read", "write", "design"])]
    lines = [
        "[gate]",
        f'listen = ["tcp:{port}:interface=127.0.0.1"]',
        f"mode = {_toml(mode)}",
        'state_dir = "state"',
        "",
        "[upstream]",
        f"url = {_toml(upstream)}",
        *(f"{name} = {_toml(value)}" for name, value in _auth(auth)),
        "",
        "[[issuers]]",
        f"issuer = {_toml(ISSUER)}",
        f"audiences = {_toml([AUDIENCE])}",
        f"algorithms = {_toml([minter.algorithm])}",
        'keys = "key.pub.pem"',
        "",
        "[cors]",
        f"origins = {_toml(list(origins))}",
        *(
            line
            for databases, kinds in rules
            for line in ("", "[[rules]]", f"databases = {_toml(databases)}", f"allow = {_toml(kinds)}")
        ),
        "",
        "[log]",
        'access = "access.log"',
        "",
    ]
    settings = directory / "couchgate.toml"
    settings.write_text("\n".join(lines), encoding="utf-8")
    return DemoFiles(settings, minter)


def _auth(auth: UpstreamAuth | None) -> list[tuple[str, str]]:
    if auth is None:
        return [("auth", "none")]
    named = (("username", auth.username), ("password_file", auth.password_file), ("secret_file", auth.secret_file))
    return [("auth", auth.auth), *((name, str(value)) for name, value in named if value is not None)]


def _toml(value: str | list[str]) -> str:
    """A TOML basic string or an array of them; JSON's escapes are all TOML's too."""
    return json.dumps(value, ensure_ascii=False)


def _minter(directory: Path) -> Minter:
    path = directory / "key.pem"
    if path.exists():
        minter = Minter.load(path, "ES256", kid=None, issuer=ISSUER, audience=AUDIENCE)
    else:
        minter = Minter("ES256", kid=None, issuer=ISSUER, audience=AUDIENCE)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | BINARY, 0o600), "wb") as file:
            file.write(minter.private_pem())
    (directory / "key.pub.pem").write_bytes(minter.public_pem())
    return minter
