"""The command lines of the commands here. Light: what a command needs is loaded when it runs."""

from __future__ import annotations

import argparse
import math
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

_EXPLAIN = """\
Say how the gate would decide about a request, step by step: by the same code,
with the settings in FILE and the issuer's keys as they are now. Nothing is
sent to CouchDB or to the gate.

With --request-id: how a request was decided that is in the access log.

Exit status 0: it would be let through, or answered by the gate. 3: it would be
refused. 1: that cannot be told.
"""
_EXPLAIN_EXAMPLE = """\
examples:
  couchgate explain --token-file token.txt GET https://gate.example.com/notes-alice
  couchgate explain --token-file - PUT /notes-alice/x < token.txt
  couchgate explain --header 'Origin: https://app.example.com' \\
      --header 'Access-Control-Request-Method: PUT' OPTIONS /notes-alice
  couchgate explain --request-id 1f0c9a5be3a94c7f8d2b6a4e7c9d0b11
"""
_RELOAD = """\
Let the gate that runs with these settings read them again, and wait until it
obeys them. What is wrong with them is told, and then nothing changes.

Exit status 0: it obeys them. 1: nothing was changed, or no gate answered.
"""
_RELOAD_EXAMPLE = """\
example:
  couchgate check --config couchgate.toml && couchgate reload --config couchgate.toml
"""

_DOCTOR = """\
Ask CouchDB, with the gate's own credentials, and the issuers' key servers
whether what the gate relies on is so, and say what is not, with the lines that
mend it. Only GET requests are sent, and nothing is changed anywhere.

Exit status 0: no errors; warnings do not count. 1: there are errors.
"""
_DOCTOR_EXAMPLE = """\
example:
  couchgate doctor --config /etc/couchgate/couchgate.toml
"""
_POSTMORTEM = """\
Say how the last run of the gate ended, and what it was doing: what its flight
recorder has left, also when it was killed. What ended it is not known there.

With --markdown: also write what a security team needs for an allow-list entry.
"""
_POSTMORTEM_EXAMPLE = """\
examples:
  couchgate postmortem --config couchgate.toml
  couchgate postmortem --state-dir /var/lib/couchgate --markdown sensor.md
"""
_PROBE = """\
Find out which mode of the gate lives on this host, where an endpoint sensor may
end it: start a server that relays nothing, the gate in each mode and, if FastAPI,
uvicorn and httpx are installed, a relay made of them, one after the other. Let a
browser sync with each by PouchDB, and tell what became of it.

Exit status 0: a mode can be named. 3: none lived. 4: that cannot be told. 1: the
probe could not run. 130: interrupted, with a table of what was seen,
or a sentence if nothing was.
"""
_PROBE_EXAMPLE = """\
examples:
  couchgate probe
  couchgate probe --seconds 300 --browser "C:\\Program Files\\Google\\Chrome\\Application\\chrome.exe"
  couchgate probe --browser none --only threaded --only close
"""


def register(commands: Any) -> None:
    """Add the commands to those of `couchgate`; `commands` is what `add_subparsers` gave."""
    _register_explain(commands)
    _register_doctor(commands)
    _register_reload(commands)
    _register_postmortem(commands)
    _register_probe(commands)


def _register_explain(commands: Any) -> None:
    parser = commands.add_parser(
        "explain",
        help="say how a request would be decided, or was, and why",
        description=_EXPLAIN,
        epilog=_EXPLAIN_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("method", metavar="METHOD", nargs="?", help="such as GET")
    parser.add_argument("url", metavar="URL", nargs="?", help="whole, or a path beginning with /")
    _add_config(parser)
    shown = parser.add_mutually_exclusive_group()
    shown.add_argument("--token", metavar="TOKEN", help="other users of this machine may see it while this runs")
    shown.add_argument("--token-file", metavar="FILE", help="a file with the token; - is standard input")
    parser.add_argument("--header", metavar="'NAME: VALUE'", action="append", default=[], help="may be repeated")
    parser.add_argument("--at", metavar="TIME", type=_time, help="as if it were 2026-11-21T12:00:00Z, or unix seconds")
    parser.add_argument("--keys", metavar="FILE", type=Path, help="the issuer's JWKS, instead of fetching it")
    parser.add_argument("--request-id", metavar="ID", help="the id of a request, from X-Request-ID or the access log")
    parser.add_argument(
        "--url",
        metavar="URL",
        dest="gate",
        help="with --request-id: ask the gate that runs there, with an admin's token",
    )
    parser.add_argument("--log", metavar="FILE", help="with --request-id: the access log; - is standard input")
    parser.set_defaults(run=_explain)


def _register_doctor(commands: Any) -> None:
    parser = commands.add_parser(
        "doctor",
        help="ask CouchDB and the issuers whether all is as the gate needs it",
        description=_DOCTOR,
        epilog=_DOCTOR_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_config(parser)
    parser.set_defaults(run=_doctor)


def _doctor(args: argparse.Namespace) -> int:
    from couchgate.commands import doctor  # noqa: PLC0415 - it loads Twisted

    return doctor.run(args)


def _register_reload(commands: Any) -> None:
    parser = commands.add_parser(
        "reload",
        help="let a running gate read its settings again",
        description=_RELOAD,
        epilog=_RELOAD_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--config",
        metavar="FILE",
        type=Path,
        default=Path("couchgate.toml"),
        help="the settings that the gate was started with (default: couchgate.toml)",
    )
    parser.add_argument(
        "--wait", metavar="SECONDS", type=float, default=60.0, help="how long the gate may take (default: 60)"
    )
    parser.set_defaults(run=_reload)


def _register_postmortem(commands: Any) -> None:
    parser = commands.add_parser(
        "postmortem",
        help="say how the last run of the gate ended, and what it was doing",
        description=_POSTMORTEM,
        epilog=_POSTMORTEM_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_config(parser)
    parser.add_argument("--state-dir", metavar="DIR", type=Path, help="gate.state_dir, in place of --config")
    parser.add_argument("--run", metavar="ID", dest="which", help="another run (default: the last one that is over)")
    parser.add_argument("--markdown", metavar="FILE", type=Path, help="write what a security team needs")
    parser.set_defaults(run=_postmortem)


def _register_probe(commands: Any) -> None:
    from couchgate.demo import add_upstream_arguments  # noqa: PLC0415 - with it comes the stand-in
    from couchgate.probe.candidates import CANDIDATES  # noqa: PLC0415

    parser = commands.add_parser(
        "probe",
        help="find out which mode of the gate lives on this host",
        description=_PROBE,
        epilog=_PROBE_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--seconds", metavar="N", type=_seconds, default=60.0, help="traffic for each server (default: 60)"
    )
    parser.add_argument(
        "--requests", metavar="N", type=_requests, default=0, help="go on to the next after so many answers"
    )
    parser.add_argument(
        "--browser",
        metavar="PROGRAM",
        help="a Chromium, Chrome or Edge to run without a window; none: print what to open (default: your browser)",
    )
    parser.add_argument("--only", metavar="NAME", action="append", choices=CANDIDATES, help=", ".join(CANDIDATES))
    parser.add_argument(
        "--markdown", metavar="FILE", type=Path, default=Path("couchgate-probe.md"), help="default: couchgate-probe.md"
    )
    parser.add_argument(
        "--json", metavar="FILE", type=Path, default=Path("couchgate-probe.json"), help="default: couchgate-probe.json"
    )
    parser.add_argument("--dir", metavar="DIR", type=Path, help="keep logs and flight recorders in DIR")
    add_upstream_arguments(parser)
    parser.set_defaults(run=_probe)


def _add_config(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--config", metavar="FILE", type=Path, default=Path("couchgate.toml"), help="default: couchgate.toml"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def _explain(args: argparse.Namespace) -> int:
    from couchgate.commands import explain, recorded  # noqa: PLC0415 - they load Twisted

    return recorded.run(args) if args.request_id is not None else explain.run(args)


def _reload(args: argparse.Namespace) -> int:
    from couchgate.commands import reload  # noqa: PLC0415 - nobody else needs it

    return reload.run(args)


def _postmortem(args: argparse.Namespace) -> int:
    from couchgate.commands import postmortem  # noqa: PLC0415 - nobody else needs it

    return postmortem.run(args)


def _probe(args: argparse.Namespace) -> int:
    from couchgate.commands import probe  # noqa: PLC0415 - nobody else needs it

    return probe.run(args)


def _seconds(text: str) -> float:
    seconds = float(text) if re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,3})?", text) else math.nan
    if not 1 <= seconds <= 86400:
        raise argparse.ArgumentTypeError(f"{text!a} is no number of seconds from 1 to 86400")
    return seconds


def _requests(text: str) -> int:
    if not re.fullmatch(r"[1-9][0-9]{0,8}", text):
        raise argparse.ArgumentTypeError(f"{text!a} is no number of requests from 1 on")
    return int(text)


def _time(text: str) -> float:
    try:
        return float(text) if re.fullmatch(r"[0-9]{1,12}(\.[0-9]+)?", text) else _instant(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!a} is no time such as 2026-11-21T12:00:00Z") from None


def _instant(text: str) -> float:
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
