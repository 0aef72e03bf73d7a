"""The `couchgate` command, for people: try it (`demo`), check a settings file (`check`), make a token (`token`).

The gate itself is started by `twistd -n couchgate`. What goes wrong is one sentence on stderr that begins with
"couchgate:", and an exit status that is not zero; never a traceback. Status 2 is a command line that cannot be read.
"""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm

from couchgate.commands import CommandError, arguments
from couchgate.core import gate
from couchgate.core.errors import GateError
from couchgate.core.keys import KeySet, UnusableKeys
from couchgate.core.principal import principal_of
from couchgate.core.token import TokenRules, verify
from couchgate.core.verifier import HMAC_ALGORITHMS, PUBLIC_ALGORITHMS
from couchgate.settings import IssuerSettings, Settings, SettingsError, load
from couchgate.system import write_what_can_be_written
from couchgate.testing import ABSENT, Minter

_ALGORITHMS = (*sorted(HMAC_ALGORITHMS), *sorted(PUBLIC_ALGORITHMS))
_SIBLINGS = {"RS256": ("RS", "PS"), "HS256": ("HS",)}  # the other algorithms of a key, by its natural one
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_LONGEST_SECONDS = 3660 * _UNITS["d"]

_ABOUT = """\
couchgate stands in front of Apache CouchDB and lets in only requests with a
valid JSON Web Token. PouchDB talks to it as if it were CouchDB.

  couchgate demo                              try it: a database, the gate, a token
  couchgate check --config couchgate.toml     is this settings file right?
  couchgate explain GET /notes-alice          would it be let in, and why not?
  couchgate doctor                            are CouchDB and the issuers as it needs?
  couchgate postmortem                        how did the last run of the gate end?
  couchgate probe                             which mode lives on this host?
  twistd -n couchgate --config couchgate.toml run the gate
"""
_DEMO = """\
Start a CouchDB-compatible database and the gate in front of it, make a key
and a token, send requests through, and stay up until Ctrl-C.
"""
_DEMO_EXAMPLE = """\
examples:
  couchgate demo
  couchgate demo --upstream http://127.0.0.1:5984 --basic admin:password.txt
"""
_CHECK = """\
Read a settings file, and every key and secret file that it names, and say
what is wrong or doubtful. Nothing is started, written or connected to.

Exit status 0: the gate can run with it; warnings do not count. 1: it cannot.
"""
_CHECK_EXAMPLE = """\
example:
  couchgate check --config /etc/couchgate/couchgate.toml
"""
_TOKEN = """\
Make a token for development, signed with a private key that you hold, and
print it. The issuer's public key, or the same secret, belongs in the
settings as "keys". The key of a real issuer has no place on this machine.
"""
_TOKEN_EXAMPLE = """\
examples:
  openssl genpkey -algorithm ed25519 -out dev.pem
  openssl pkey -in dev.pem -pubout -out dev.pub.pem
  couchgate token --key dev.pem --issuer https://id.example.com/ \\
      --audience couchgate --sub alice --roles editor,reader --expires 8h

  with issuer, audience and claim names from the settings:
  couchgate token --key dev.pem --config couchgate.toml --sub alice

  curl -H "Authorization: Bearer $(couchgate token ...)" http://localhost:5985/
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line `argv` (without the program's name; default: this process's) and return the exit status."""
    write_what_can_be_written()
    parser = _parser()
    args = parser.parse_args(argv)
    if args.command is None:
        parser.print_help()
        return 0
    run: Callable[[argparse.Namespace], int] = args.run
    try:
        return run(args)
    except (SettingsError, CommandError) as error:
        sys.stderr.write(f"couchgate: {error}\n")
        return 1


def _parser() -> argparse.ArgumentParser:
    from couchgate import demo  # noqa: PLC0415 - it brings the stand-in along, which nobody else needs

    prose = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("couchgate", description=_ABOUT, formatter_class=prose)
    parser.add_argument("--version", action="version", version=f"couchgate {version('couchgate')} ({_kind()})")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")

    trial = commands.add_parser(
        "demo",
        help="run a database and the gate on this machine, to try it",
        description=_DEMO,
        epilog=_DEMO_EXAMPLE,
        formatter_class=prose,
    )
    demo.add_arguments(trial)
    trial.set_defaults(run=demo.run)

    check = commands.add_parser(
        "check",
        help="say whether a settings file is right",
        description=_CHECK,
        epilog=_CHECK_EXAMPLE,
        formatter_class=prose,
    )
    check.add_argument(
        "--config", metavar="FILE", type=Path, default=Path("couchgate.toml"), help="default: couchgate.toml"
    )
    check.set_defaults(run=_check)

    token = commands.add_parser(
        "token",
        help="make a token for development",
        description=_TOKEN,
        epilog=_TOKEN_EXAMPLE,
        formatter_class=prose,
    )
    token.add_argument("--key", metavar="FILE", type=Path, required=True, help="a private key (PEM), or the HS secret")
    token.add_argument("--sub", metavar="NAME", required=True, help="whom the token names")
    token.add_argument("--config", metavar="FILE", type=Path, help="take what is not given from these settings")
    token.add_argument(
        "--issuer", metavar="TEXT", help='the "iss" claim; with --config it chooses the [[issuers]] table'
    )
    token.add_argument(
        "--audience", metavar="TEXT", action="append", help='the "aud" claim; may be given several times'
    )
    token.add_argument("--alg", choices=_ALGORITHMS, metavar="NAME", help="such as RS256 (default: the key's own)")
    token.add_argument("--roles", metavar="A,B", default="", help="roles, separated by commas")
    token.add_argument("--tenant", metavar="TEXT", help="the tenant")
    token.add_argument(
        "--expires", metavar="TIME", type=_seconds, default=3600, help="45s, 30m, 8h or 7d from now (default: 1h)"
    )
    token.add_argument("--kid", metavar="TEXT", help="the key's id, where the issuer's JWKS has one")
    token.set_defaults(run=_token)

    arguments.register(commands)
    return parser


def _kind() -> str:
    """Whether the modules on the way of a request are compiled (hatch_build.py)."""
    return "pure Python" if gate.__file__.endswith(".py") else "compiled"


def _check(args: argparse.Namespace) -> int:
    settings = load(args.config)
    _check_endpoints(settings)
    _check_checkers(settings)
    _check_key_sources(settings)
    for warning in settings.warnings:
        sys.stderr.write(f"couchgate: warning: {warning}\n")
    upstream = settings.upstream
    listeners = ", ".join(f"{listener.endpoint} ({listener.mode})" for listener in settings.gate.listeners)
    sys.stdout.write(
        f"{settings.path} is valid: listens on {listeners}; CouchDB is {'https' if upstream.secure else 'http'}://"
        f"{upstream.authority} ({upstream.auth}); issuers: {len(settings.issuers)}, rules: {len(settings.rules)}.\n"
    )
    return 0


def _check_endpoints(settings: Settings) -> None:
    """What only Twisted knows about endpoint strings: their kinds, and the certificates that they name."""
    from twisted.internet.endpoints import serverFromString  # noqa: PLC0415 - `token` runs without Twisted
    from twisted.internet.testing import MemoryReactor  # noqa: PLC0415

    for listener in settings.gate.listeners:
        if listener.endpoint.startswith("systemd:"):
            continue  # the sockets that it names are there only in the service
        try:
            serverFromString(MemoryReactor(), listener.endpoint)
        except Exception as error:  # each kind of endpoint raises its own
            raise CommandError(
                f"{settings.path}: gate.listen or gate.listeners names the endpoint {listener.endpoint!a}, "
                f"which Twisted cannot use: {str(error) or type(error).__name__}"
            ) from error


def _check_checkers(settings: Settings) -> None:
    """What only Twisted knows about checkers of passwords: which kinds are installed, and what they take."""
    if settings.auth.checkers:
        from twisted.internet.task import Clock  # noqa: PLC0415 - `token` runs without Twisted

        from couchgate.wiring import people_of  # noqa: PLC0415

        people_of(settings, Clock())


def _check_key_sources(settings: Settings) -> None:
    """What only other packages know about keys: their kinds of sources, and the arguments of these."""
    from couchgate.wiring import check_key_source  # noqa: PLC0415 - `token` runs without Twisted

    for issuer in settings.issuers:
        check_key_source(issuer)


def _token(args: argparse.Namespace) -> int:
    issuer = _issuer(args) if args.config else None
    if issuer is None:
        if not args.issuer or not args.audience:
            raise CommandError("token needs --issuer and --audience, or --config to take them from")
        rules = TokenRules("", args.issuer, frozenset(args.audience), frozenset(_ALGORITHMS))
    else:
        rules = issuer.rules
    minter = _minter(args, rules)
    roles = [role for role in (part.strip() for part in args.roles.split(",")) if role]
    claims: dict[str, Any] = {rules.claims.name: args.sub}
    if roles:
        claims[rules.claims.roles] = roles
    if args.tenant:
        claims[rules.claims.tenant] = args.tenant
    token = minter.token(claims.pop("sub", args.sub), expires_in=args.expires, **claims)
    if issuer is not None and issuer.source == "file":
        _note_refusal(token, issuer)
    sys.stdout.write(f"{token}\n")
    return 0


def _issuer(args: argparse.Namespace) -> IssuerSettings:
    """The `[[issuers]]` table that `--issuer` and `--audience` leave."""
    asked = set(args.audience or ())
    fitting = [
        issuer
        for issuer in load(args.config).issuers
        if args.issuer in {None, issuer.rules.issuer}
        and (not issuer.rules.audiences or asked <= issuer.rules.audiences)
    ]
    if len(fitting) == 1:
        return fitting[0]
    how_many = "none" if not fitting else "more than one"
    raise CommandError(f"{args.config}: {how_many} of the [[issuers]] fits; choose by --issuer and --audience")


def _minter(args: argparse.Namespace, rules: TokenRules) -> Minter:
    """The signer with `--key`, for an algorithm that the key can do and the rules allow."""
    path: Path = args.key
    try:
        secret = b"-----BEGIN" not in path.read_bytes()
        natural = "HS256" if secret else Minter.load(path).algorithm
    except OSError as error:
        raise CommandError(f"--key {path}: {error.strerror}; it must name a private key or a secret") from error
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise CommandError(
            f"--key {path}: it must hold one private key in PEM without a password, or a secret"
        ) from error
    able = [natural, *(name for name in _ALGORITHMS if name[:2] in _SIBLINGS.get(natural, ()))]
    fitting = [name for name in able if name in ({args.alg} if args.alg else rules.algorithms)]
    if not fitting:
        wanted = args.alg or ", ".join(sorted(rules.algorithms))
        raise CommandError(f"--key {path}: this key is for {' or '.join(dict.fromkeys(able))}, not for {wanted}")
    audience: list[str] = args.audience or sorted(rules.audiences)
    only_one = audience[0] if len(audience) == 1 else audience
    minter = Minter.load(path, fitting[0], kid=args.kid, issuer=rules.issuer, audience=only_one or ABSENT)
    try:
        KeySet.from_jwks(minter.jwks(), [minter.algorithm])
    except UnusableKeys as error:
        raise CommandError(f"--key {path}: the gate would refuse this key: {error}") from error
    return minter


def _note_refusal(token: str, issuer: IssuerSettings) -> None:
    """Say so when the gate would not take the token: most often the key is not the one that the settings name."""
    rules = issuer.rules
    try:
        keys = KeySet.parse_file(Path(issuer.keys).read_bytes(), rules.algorithms)
        principal_of(verify(token.encode(), [rules], {rules.id: keys}, time.time()).claims, rules)
    except GateError as error:
        sys.stderr.write(f"couchgate: warning: a gate with these settings refuses this token: {error.reason}\n")


def _seconds(text: str) -> int:
    match = re.fullmatch(r"([0-9]{1,9})([smhd]?)", text)
    seconds = int(match[1]) * _UNITS[match[2] or "s"] if match else 0
    if not 0 < seconds <= _LONGEST_SECONDS:
        raise argparse.ArgumentTypeError(f"{text!a} is no time such as 45s, 30m, 8h or 7d")
    return seconds
