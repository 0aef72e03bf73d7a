"""`couchgate probe`: find out which mode of the gate lives on this host, and write down what was seen."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import tempfile
import time
from pathlib import Path

from couchgate.commands import CommandError
from couchgate.demo import DemoError, ending, upstream_auth
from couchgate.probe import browser, interrupts, pouchdb
from couchgate.probe.advice import ALLOW_LIST, CONTROL, USE
from couchgate.probe.candidates import CANDIDATES, Bench
from couchgate.probe.desk import Desk
from couchgate.probe.pages import PageServer, serving
from couchgate.probe.progress import Progress
from couchgate.probe.run import Amount, Probe
from couchgate.probe.told import Outcome, as_json, markdown, text
from couchgate.recorder.reading import plain
from couchgate.standin.child import Child
from couchgate.standin.install import StandinError
from couchgate.standin.start import start as start_standin
from couchgate.system import BINARY, replace

NO_MODE = 3
CANNOT_TELL = 4
INTERRUPTED = 130
PAGE_SECONDS = 60
PAGE_SECONDS_BY_HAND = 600
_LOOK_SECONDS = 0.5
_NOTHING_SEEN = "Interrupted before anything was seen.\n"


def run(args: argparse.Namespace) -> int:
    """Probe and tell; the process's exit status. Raises CommandError."""
    interrupts.interrupt_once()
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
    desk, progress = Desk(), Progress(sys.stderr)
    probe = None
    try:
        probe, seconds = _prepared(args, names, desk, progress, stack)
        probe.run(names, seconds)
    except KeyboardInterrupt:
        if probe is None or not probe.rows:
            progress.say("")
            sys.stdout.write(_NOTHING_SEEN)
        raise
    finally:
        interrupts.ignore()
        if probe is not None and (probe.rows or probe.finished):
            _tell(args, probe.outcome(), desk, progress)
        interrupts.interrupt_once()
    return {USE: 0, ALLOW_LIST: NO_MODE}.get(probe.outcome().advice.verdict, CANNOT_TELL)


def _prepared(
    args: argparse.Namespace, names: list[str], desk: Desk, progress: Progress, stack: contextlib.ExitStack
) -> tuple[Probe, float]:
    """The probe, beside a page that is open, and how long to wait for a page. Raises CommandError."""
    auth = upstream_auth(args)
    _check(args)
    directory = _directory(args.dir, stack)
    progress.say("Preparing what the run needs. The first time npm installs it.")
    script = pouchdb.script()
    upstream = args.upstream or ""
    if not upstream and names != [CONTROL]:
        standin = start_standin(directory)
        stack.enter_context(ending(standin))
        upstream = standin.url
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
    return probe, _opened(args, server.url, directory, desk, progress, stack)


def _check(args: argparse.Namespace) -> None:
    """What can be known to fail is told before anything is started. Raises CommandError."""
    for option, path in (("--markdown", args.markdown), ("--json", args.json)):
        if not path.absolute().parent.is_dir():
            raise CommandError(f"{option}: there is no folder {path.parent}; make it, or name another file")
        if path.is_dir():
            raise CommandError(f"{option}: {path} is a folder; name a file")
    if args.browser not in {None, "none"} and browser.found(args.browser) is None:
        raise CommandError(f"--browser: there is no program {args.browser}; name a Chromium, Chrome or Edge, or none")


def _tell(args: argparse.Namespace, outcome: Outcome, desk: Desk, progress: Progress) -> None:
    """To the page, the terminal and the files."""
    desk.finish(f"The probe is over. {outcome.advice.why}" if outcome.finished else "")
    desk.wait(1)
    progress.say("" if outcome.finished else "\nInterrupted; this is what was seen so far.")
    sys.stdout.write(f"{text(outcome)}\n")
    sys.stdout.flush()
    _keep(args, outcome)
    sys.stdout.write(f"Written to {args.markdown} and {args.json}.\n")


def _directory(named: Path | None, stack: contextlib.ExitStack) -> Path:
    if named is not None:
        directory = named.absolute()
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise CommandError(f"--dir {named}: {error.strerror or error}; name another folder") from error
        return directory
    # On Windows a file of a process that has just ended may still be held for a moment.
    made = tempfile.TemporaryDirectory(prefix="couchgate-probe-", ignore_cleanup_errors=True)
    return Path(stack.enter_context(made))


def _opened(
    args: argparse.Namespace,
    url: str,
    directory: Path,
    desk: Desk,
    progress: Progress,
    stack: contextlib.ExitStack,
) -> float:
    """Let the browser open the page, or ask for it, until it is there; how long that may take. Raises CommandError."""
    started, seconds = None, PAGE_SECONDS
    again = "try --browser none, and open it yourself"
    if program := None if args.browser in {None, "none"} else browser.found(args.browser):
        started = browser.headless(program, url, directory)
        stack.enter_context(ending(started))
    elif args.browser is None and browser.open_usual(url):
        progress.say(f"Your browser opens {url} : leave that page open, in view.")
    else:
        progress.say(f"Open {url} in the browser, on this machine, and leave it open, in view.")
        seconds, again = PAGE_SECONDS_BY_HAND, "run the probe again, and open the address that it prints"
    progress.show("the page", "waiting for the browser")
    deadline = time.monotonic() + seconds
    while not desk.wait_for_page(min(_LOOK_SECONDS, seconds)):
        if started is not None and started.ended():
            raise CommandError(f"--browser: {args.browser} has ended before it opened the page: {_last(started)}")
        if time.monotonic() >= deadline:
            raise CommandError(f"no browser has opened the page within {seconds} s; {again}")
    return seconds


def _last(child: Child) -> str:
    lines = child.written().strip().splitlines() or [f"it says nothing (status {child.process.returncode})"]
    return plain(lines[-1][:300])


def _keep(args: argparse.Namespace, outcome: Outcome) -> None:
    """What is known is on disk at any time, because this process may be ended like the others. Raises CommandError."""
    for option, path, content in (
        ("--markdown", args.markdown, markdown(outcome)),
        ("--json", args.json, as_json(outcome)),
    ):
        try:
            _write(path, content)
        except OSError as error:
            reason = error.strerror or error
            raise CommandError(f"{option}: {path} cannot be written: {reason}; name another file") from error


def _write(path: Path, content: str) -> None:
    """For this user alone: it names paths of this machine. Raises OSError."""
    near = path.with_name(f"{path.name}.new")
    near.unlink(missing_ok=True)
    descriptor = os.open(near, os.O_WRONLY | os.O_CREAT | os.O_EXCL | BINARY, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace") as file:
        file.write(content)
    replace(near, path)


def _keep_if_possible(args: argparse.Namespace, outcome: Outcome) -> None:
    """On Windows a file that somebody looks at cannot be replaced: that must not end the probe."""
    with contextlib.suppress(CommandError):
        _keep(args, outcome)
