"""`couchgate reload`: ask a running gate to read its settings again, and say what came of it."""

from __future__ import annotations

import argparse
import sys
import time

from couchgate.commands import CommandError
from couchgate.life.mailbox import Mailbox
from couchgate.settings import load_state_dir

TAKE_SECONDS = 5.0  # a gate looks twice a second
PAUSE_SECONDS = 0.05


def run(args: argparse.Namespace) -> int:
    """Ask, wait and tell; the process's exit status. Raises CommandError, SettingsError."""
    folder = load_state_dir(args.config)
    mailbox = Mailbox(folder, args.config)
    try:
        nonce = _put(mailbox)
    except FileExistsError:
        raise CommandError(
            f"what lies at {mailbox.request} is no request and cannot be removed; remove it by hand and try again"
        ) from None
    except FileNotFoundError:
        raise CommandError(
            f"no gate has run with these settings yet: its folder {folder} does not exist; start one: twistd couchgate"
        ) from None
    except OSError as error:
        raise CommandError(
            f"{folder} cannot be written to ({error.strerror}); run this command as the user that the gate runs as"
        ) from None
    outcome, taken = None, False
    began = time.monotonic()
    try:
        while (outcome := mailbox.outcome(nonce)) is None:
            waited = time.monotonic() - began
            taken = not mailbox.waits(nonce)
            if waited > (args.wait if taken else min(args.wait, TAKE_SECONDS)):
                break
            time.sleep(PAUSE_SECONDS)
    finally:
        mailbox.withdraw(nonce)
    if outcome is None and taken:
        raise CommandError("the gate took the request and has not answered in time; its log says how the reload ended.")
    if outcome is None:
        raise CommandError(
            f"no gate looks into {folder}: none runs with these settings, or it was started with another "
            "gate.state_dir, a change of which takes a restart. Its log has a line 'couchgate listens on' if it runs."
        )
    ok, sentence = outcome
    if not ok:
        raise CommandError(sentence)
    sys.stdout.write(f"{sentence}\n")
    return 0


def _put(mailbox: Mailbox) -> str:
    """Ask, after the request of another command if one waits. Raises OSError."""
    patience = time.monotonic() + TAKE_SECONDS
    removed = False
    while True:
        try:
            return mailbox.put()
        except FileExistsError:
            if time.monotonic() > patience:
                if removed:
                    raise
                mailbox.withdraw()  # no gate wants it, and nobody waits for it any more
                removed = True
                patience += TAKE_SECONDS
            time.sleep(PAUSE_SECONDS)
