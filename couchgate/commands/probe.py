"""`couchgate probe`: find out which mode of the gate lives on this host, and write down what was seen."""

from __future__ import annotations

import argparse
import contextlib
import sys
import tempfile
from pathlib import Path

from couchgate.commands import CommandError
from couchgate.demo import DemoError, ending, interrupt_on_signals, upstream_auth
from couchgate.probe import browser, pouchdb
from couchgate.probe.advice import ALLOW_LIST, USE
from couchgate.probe.candidates import CANDIDATES, Bench
from couchgate.probe.desk import Desk
from couchgate.probe.pages import PageServer, serving
from couchgate.probe.progress import Progress
from couchgate.probe.run import Amount, Probe
from couchgate.probe.told import Outcome, as_json, markdown, text
from couchgate.standin.install import StandinError
from couchgate.standin.start import start as start_standin
from couchgate.system import replace

NO_MODE = 3
CANNOT_TELL = 4
INTERRUPTED = 130
PAGE_SECONDS = 60
PAGE_SECONDS_BY_HAND = 600


def run(args: argparse.Namespace) -> int:
    """Probe and tell; the process's exit status. Raises CommandError."""
    interrupt_on_signals()
    names = [name for name in CANDIDATES if not args.only or name in args.only]
    try:
        with contextlib.ExitStack() as stack:
            return _run(args, names, stack)
    except KeyboardInterrupt:
        return INTERRUPTED
    except (DemoError, StandinError) as error:
        raise CommandError(str(error)) from error
    except OSError as error:
        raise CommandError(f"{error.filename or 'the system'}: {error.strerror or error}") from error


def _run(args: argparse.Namespace, names: list[str], stack: contextlib.ExitStack) -> int:
    auth = upstream_auth(args)
    progress = Progress(sys.stderr)
    directory = _directory(args.dir, stack)
    progress.say("Preparing: PouchDB for the page, and a database. The first time npm installs them.")
    script = pouchdb.script()
    upstream = args.upstream
    if upstream is None:
        standin = start_standin(directory)
        stack.enter_context(ending(standin))
        upstream = standin.url
    desk = Desk()
    server = PageServer(desk, script)
    stack.enter_context(serving(server))
    probe = Probe(
        desk,
        Bench(directory, upstream, auth, server.origin),
        Amount(args.seconds, args.requests),
        progress,
        lambda outcome: _keep_if_possible(args, outcome),
    )
    _keep(args, probe.outcome())
    seconds = _open(args, server.url, directory, progress, stack)
    progress.show("the page", "waiting for the browser")
    if not desk.wait_for_page(seconds):
        raise CommandError(
            f"no browser has opened the page within {seconds} s; try --browser none, and open it yourself"
        )
    try:
        probe.run(names, seconds)
    finally:
        outcome = probe.outcome()
        desk.finish(f"The probe is over. {outcome.advice.why}" if outcome.finished else "")
        desk.wait(1)
        progress.say("" if outcome.finished else "\nInterrupted; this is what was seen so far.")
        sys.stdout.write(f"{text(outcome)}\n")
        _keep(args, outcome)
        sys.stdout.write(f"Written to {args.markdown} and {args.json}.\n")
    return {USE: 0, ALLOW_LIST: NO_MODE}.get(outcome.advice.verdict, CANNOT_TELL)


def _directory(named: Path | None, stack: contextlib.ExitStack) -> Path:
    if named is not None:
        directory = named.absolute()
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        return directory
    # On Windows a file of a process that has just ended may still be held for a moment.
    made = tempfile.TemporaryDirectory(prefix="couchgate-probe-", ignore_cleanup_errors=True)
    return Path(stack.enter_context(made))


def _open(
    args: argparse.Namespace, url: str, directory: Path, progress: Progress, stack: contextlib.ExitStack
) -> float:
    """Let the browser open the page, or ask for it; how long it may take."""
    if args.browser not in {None, "none"}:
        stack.enter_context(browser.headless(args.browser, url, directory))
        return PAGE_SECONDS
    if args.browser is None and browser.open_usual(url):
        progress.say(f"Your browser opens {url} : leave that page open, in view.")
        return PAGE_SECONDS
    progress.say(f"Open {url} in the browser, on this machine, and leave it open, in view.")
    return PAGE_SECONDS_BY_HAND


def _keep(args: argparse.Namespace, outcome: Outcome) -> None:
    """What is known is on disk at any time, because this process may be ended like the others."""
    for path, content in ((args.markdown, markdown(outcome)), (args.json, as_json(outcome))):
        near = path.with_name(f"{path.name}.new")
        near.write_text(content, "utf-8", errors="backslashreplace")
        replace(near, path)


def _keep_if_possible(args: argparse.Namespace, outcome: Outcome) -> None:
    """On Windows a file that somebody looks at cannot be replaced: that must not end the probe."""
    with contextlib.suppress(OSError):
        _keep(args, outcome)
