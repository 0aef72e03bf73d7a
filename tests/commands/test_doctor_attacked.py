"""`couchgate doctor` in front of something that means it harm: it ends, tells, and speaks to no terminal."""

import gzip
import json
import subprocess
import sys
import threading

import pytest

from tests.web.sockets import Upstream

PROGRAM = "import sys; from couchgate.cli import main; sys.exit(main())"
OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
ODD = {
    "couchdb": "\x1b[31m",
    "version": "3.5\x1b[2J\u009b",
    "userCtx": {"name": "\x1b]0;x\x07\u202e", "roles": ["\x1b", "_admin", {}]},
    "info": {"authentication_handlers": ["\x1b[1m", [], "proxy"]},
}


def whole(body, more=b""):
    return OK + more + b"Content-Length: %d\r\n\r\n" % len(body) + body


ANSWERS = {
    "garbage": bytes(range(256)) * 20,
    "a bomb": whole(gzip.compress(bytes(30_000_000), 1), b"Content-Encoding: gzip\r\n"),
    "huge": whole(b"[" + b"1," * 20_000_000 + b"1]"),
    "escape sequences and wrong types": whole(json.dumps(ODD).encode()),
    "deep": whole(b"[" * 200_000),
    "long numbers": whole(b'{"version":' + b"9" * 9000 + b"}"),
    "a list": whole(b"[1]"),
    "nulls": whole(b'{"couchdb":null,"version":null,"userCtx":null,"info":null}'),
    "no date": whole(b"{}", b"Date: Mon, 99 Foo 99999999999999 99:99:99 \x9b\r\n"),
    "a date out of reach": whole(b"{}", b"Date: Fri, 31 Dec 9999 23:59:59 -2359\r\n"),
    "another protocol": b"HTTP/1.1 101 Switching\r\n\r\n",
    "never final": b"HTTP/1.1 100 Continue\r\n\r\n" * 10_000,
}


@pytest.fixture
def answering():
    """`answering(data)`: something that sends `data` to whoever asks; its URL."""
    listening, over = Upstream(), threading.Event()

    def begin(data):
        def serve():
            while not over.is_set():
                try:
                    peer = listening.accept()
                    peer.head()
                    peer.send(data)
                    peer.half_close()
                except (OSError, AssertionError):
                    continue  # it has gone, or the test is over

        threading.Thread(target=serve, daemon=True).start()
        return listening.url

    yield begin
    over.set()
    listening.close()


@pytest.mark.parametrize("answer", ANSWERS)
def test_whatever_answers_in_couchdbs_place_the_doctor_ends_well(folder, answering, answer):
    """Findings in plain text, none of them that all is well, and no traceback."""
    (folder.path / "own.password").write_text("pw")
    (folder.path / "own.password").chmod(0o600)
    own = '[upstream.own]\nusername = "couchgate"\npassword_file = "own.password"\n[[issuers]]'
    folder.settings(("http://127.0.0.1:5984", answering(ANSWERS[answer])), ("[[issuers]]", own))
    command = [sys.executable, "-c", PROGRAM, "doctor", "--config", str(folder.config)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (1, "")
    assert "error " in done.stdout
    assert done.stdout.replace("\n", "").isprintable()
    assert folder.secret not in done.stdout
