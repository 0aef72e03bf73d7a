"""How a gate is asked to reload: `couchgate reload` and SIGHUP. And signals to end, while it ends."""

import os
import pty
import shutil
import signal
import subprocess
import time
from argparse import Namespace

import pytest

from couchgate.commands import CommandError, reload
from couchgate.life.mailbox import Mailbox
from tests.reload.gates import ReloadedGate
from tests.web.live import HELLO, OK
from tests.web.sockets import PATIENCE, Upstream, eventually

CLOSED = '[[rules]]\ndatabases = ["other"]\nallow = ["read"]\n'


def test_the_command_tells_what_was_changed(gate):
    """Good settings: status 0 and a sentence with the keys that changed; they are in force when it ends."""
    gate.write(rules=CLOSED)
    done = gate.command()
    assert (done.returncode, done.stdout, done.stderr) == (0, f"Reloaded {gate.path}: rules changed.\n", "")
    assert gate.client().message().status == 403
    assert [each.name for each in (gate.folder / "state").iterdir()] == ["recorder"]  # neither request nor outcome


def test_the_command_tells_why_nothing_was_changed(gate, upstream):
    """Wrong settings: status 1 and the same sentence as in the log; and none is left when the file is no TOML."""
    gate.write(rules="[[rules]]\ncolour = 1\n")
    done = gate.command()
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"couchgate: Nothing was changed: {gate.path}: rules[0].colour")
    gate.path.write_text("[gate")
    done = gate.command()
    assert done.returncode == 1
    assert "is not valid TOML" in done.stderr
    client = gate.client()
    upstream.exchange(HELLO)
    assert client.message().status == 200


def test_the_command_tells_that_no_gate_answers(gate):
    """Without a gate it says so after a few seconds, and takes its request back."""
    gate.stop()
    done = gate.command()
    assert (done.returncode, done.stdout) == (1, "")
    assert "no gate looks into" in done.stderr
    assert [each.name for each in (gate.folder / "state").iterdir()] == ["recorder"]
    shutil.rmtree(gate.folder / "state")
    assert "no gate has run with these settings yet" in gate.command().stderr


def test_what_is_no_request_is_removed_and_told(gate):
    """Long, wrong or odd files in the place of a request neither reload nor stop the gate."""
    request = gate.mailbox.request
    for content in (b"", b"x" * 100_000, b"\xff" * 32, b"A" * 32):
        request.write_bytes(content)
        eventually(lambda: not request.exists())
    eventually(lambda: gate.log().count("was no request that couchgate reload writes") == 4)
    request.symlink_to(gate.path)
    time.sleep(0)
    assert request.is_symlink()
    request.unlink()
    assert "Reloaded" not in gate.log()
    assert gate.reload()[0]


@pytest.mark.parametrize("odd", ["a folder", "a pipe", "a link"])
def test_what_lies_in_the_place_of_a_request_does_not_hold_the_command(tmp_path, monkeypatch, odd):
    """What can be removed is removed, anything else is told; the command never waits for ever."""
    monkeypatch.setattr(reload, "TAKE_SECONDS", 0.2)
    (tmp_path / "state").mkdir()
    path = tmp_path / "couchgate.toml"
    path.write_text("[gate]\nstate_dir = 'state'\n")
    request = Mailbox(tmp_path / "state", path).request
    {"a folder": request.mkdir, "a pipe": lambda: os.mkfifo(request), "a link": lambda: request.symlink_to(path)}[odd]()
    with pytest.raises(CommandError, match="remove it by hand" if odd == "a folder" else "no gate looks into"):
        reload.run(Namespace(config=path, wait=0.2))
    assert path.exists()


def test_a_reload_that_the_end_of_the_gate_overtakes_changes_nothing(gate, upstream):
    """It is told so, whether it waits for keys at that moment or is asked for while the gate drains; what is under way
    is finished.
    """
    client = gate.client()
    peer = upstream.accept()
    peer.message()
    issuer = Upstream()
    gate.write(keys=f"{issuer.url}/keys")
    nonce = gate.mailbox.put()
    issuer.accept()
    gate.process.send_signal(signal.SIGTERM)
    said = [eventually(lambda: gate.mailbox.outcome(nonce))]
    nonce = gate.mailbox.put()
    said.append(eventually(lambda: gate.mailbox.outcome(nonce)))
    peer.send(HELLO)
    assert client.message().status == 200
    gate.process.wait(PATIENCE)
    issuer.close()
    assert said == [(False, "Nothing was changed: the gate is shutting down.")] * 2


def test_sighup_reloads(gate):
    """A SIGHUP reads the settings again; a wrong file is told in the log and nothing else."""
    gate.write(rules=CLOSED)
    gate.process.send_signal(signal.SIGHUP)
    eventually(lambda: f"Reloaded {gate.path}: rules changed." in gate.log())
    assert gate.client().message().status == 403
    gate.path.write_text("[gate")
    gate.process.send_signal(signal.SIGHUP)
    eventually(lambda: f"Nothing was changed: {gate.path}: " in gate.log())
    assert gate.client().message().status == 403


def test_flags_hold_after_a_reload(tmp_path, upstream):
    """What a flag of the start says, the settings file does not change."""
    gate = ReloadedGate(tmp_path, upstream.url, flags=["--access-log", "flagged.log"])
    try:
        assert gate.reload(rules=CLOSED)[0]
        assert gate.client().message().status == 403
        assert not gate.access_log.exists()
        eventually((tmp_path / "flagged.log").read_text)
    finally:
        gate.stop()


def test_a_gate_ends_with_its_terminal(tmp_path, upstream):
    """SIGHUP because the terminal was closed ends the gate in order; by hand it reloads it there, too."""
    master, slave = pty.openpty()
    gate = ReloadedGate(tmp_path, upstream.url, stdin=slave, session=True)
    try:
        os.close(slave)
        gate.process.send_signal(signal.SIGHUP)
        eventually(lambda: f"Reloaded {gate.path}: no setting has changed." in gate.log())
        os.close(master)
        gate.process.send_signal(signal.SIGHUP)
        gate.process.wait(PATIENCE)
    finally:
        gate.stop()
    assert gate.log().count("Reloaded") == 1
    assert "Main loop terminated" in gate.log()


def test_a_second_signal_ends_at_once(gate, upstream):
    """The drain is cut short with one line on the log and no traceback."""
    client = gate.client()
    peer = upstream.accept()
    peer.message()
    peer.send(OK[:-2], b"\r\n", b'{"ok"')
    client.until(b'{"ok"')
    gate.process.send_signal(signal.SIGTERM)
    eventually(lambda: gate.refuses(gate.port))
    began = time.monotonic()
    for _ in range(3):
        if gate.process.poll() is None:
            gate.process.send_signal(signal.SIGTERM)
            time.sleep(0.05)
    gate.process.wait(PATIENCE)
    assert time.monotonic() - began < 4  # of the drain's five seconds
    assert client.ending() == ("reset", b"")
    assert gate.log().count("SIGTERM again: what is left is cut") == 1
    assert gate.process.returncode == -signal.SIGTERM


def test_two_commands_at_once_are_both_answered(gate):
    """Each hears of a reload that began after it asked."""
    both = [
        subprocess.Popen(gate.command_line(), cwd=gate.folder, env=gate.environment, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    said = [each.communicate(timeout=60)[0] for each in both]
    assert said == [f"Reloaded {gate.path}: no setting has changed.\n"] * 2
