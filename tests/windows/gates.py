"""A gate on the pretended Windows, and the CouchDB that it stands before."""

import re
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from couchgate.testing import Minter
from tests.web.sockets import PATIENCE, Client, eventually

TWISTD = "from twisted.scripts.twistd import run; run()"
MODES = ("keepalive", "close", "threaded")
CTRL_C, CTRL_BREAK = 2, 21  # what the pretence hears in their place
LISTENS = re.compile(r"couchgate listens on .*port=(\d+)\) \((\w+)\)")


class _Answers(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self._answer(self.server.jwks if self.path == "/jwks" else b'{"method": "GET"}')

    def do_PUT(self):
        self._answer(b'{"read": %d}' % len(self.rfile.read(int(self.headers["Content-Length"]))))

    def _answer(self, text):
        self.send_response(201 if self.command == "PUT" else 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_):
        """Nobody reads it."""


class CouchDB:
    """Answers whatever is asked; and serves the issuer's keys at `keys`. It is at `url`; nobody is at `nowhere`."""

    def __init__(self, minter):
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _Answers)
        self._server.jwks = minter.jwks()
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self.keys = f"{self.url}/jwks"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self):
        self._server.shutdown()
        self._server.server_close()


class WindowsGate:
    """`twistd -n couchgate` in `folder`, with a listener for each mode, by `ports`; the first is for administrators."""

    def __init__(self, folder, environment):
        self.folder = folder
        self.minter = Minter("ES256")
        self.couchdb = CouchDB(self.minter)
        self.settings = folder / "couchgate.toml"
        self._environment = environment
        self.process = None

    def write(self, url):
        """Settings with CouchDB at `url`."""
        listeners = ", ".join(
            f'{{endpoint = "tcp:0:interface=127.0.0.1:backlog={50 + number}", mode = "{mode}", '
            f"admin = {str(not number).lower()}}}"
            for number, mode in enumerate(MODES)
        )
        self.settings.write_text(
            f'[gate]\nlisteners = [{listeners}]\nstate_dir = "state"\n'
            f'[upstream]\nurl = "{url}"\nauth = "none"\n'
            '[[issuers]]\nissuer = "https://id.example.com/"\naudiences = ["couchgate"]\nalgorithms = ["ES256"]\n'
            f'keys = "{self.couchdb.keys}"\n'
            '[[rules]]\ndatabases = ["db"]\nallow = ["read", "write"]\n[log]\naccess = "access.log"\n'
        )

    def start(self):
        """Start it, and wait until it serves; its log begins anew."""
        with (self.folder / "gate.log").open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", TWISTD, "-n", "couchgate", "--config", self.settings],
                cwd=self.folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        eventually(lambda: self._alive() and len(LISTENS.findall(self.log())) == len(MODES), 20)
        self.ports = {mode: int(port) for port, mode in LISTENS.findall(self.log())}
        eventually(lambda: self.ask("keepalive", target="/_gate/ready", token=False)[0] == 200, 20)

    def _alive(self):
        assert self.process.poll() is None, self.log()
        return True

    def log(self):
        return (self.folder / "gate.log").read_bytes().decode("cp1252")

    def rings(self):
        """What its recorders have left."""
        return list((self.folder / "state" / "recorder").iterdir())

    def ask(self, mode, method="GET", target="/db/doc", body=b"", *, token=True):
        """What one request is answered: status and body."""
        lines = [f"{method} {target} HTTP/1.1", "Host: localhost"]
        if token:
            lines.append(f"Authorization: Bearer {self.minter.token()}")
        if body:
            lines.append(f"Content-Length: {len(body)}")
        client = Client(self.ports[mode])
        client.send("\r\n".join([*lines, "", ""]).encode(), body)
        answer = client.message()
        client.close()
        return answer.status, answer.body

    def end(self, number):
        """End it by a signal; its exit status."""
        self.process.send_signal(number)
        return self.process.wait(PATIENCE)

    def close(self):
        """Leave nothing behind."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
        self.couchdb.close()
