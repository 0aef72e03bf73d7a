"""Serves the page to the browser: a thread for each connection, HTTP/1.0, closed after the answer.

The probe's own process must not be what a sensor ends, so it is of the kind that is known to have survived: it relays
nothing and connects to nowhere. Whoever does not know the secret in the path gets nothing, because the page holds a
token; and a Host that is not ours is refused, so no other web page reaches it by a name of its own.
"""

from __future__ import annotations

import json
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from couchgate.probe.desk import Desk

_PAGE = Path(__file__).parent / "page"
_HTML = "text/html; charset=utf-8"
_SCRIPT = "text/javascript; charset=utf-8"
_JSON = "application/json"
_MOST_BODY = 1 << 16
_POLICY = (
    "default-src 'none'; script-src 'self'; worker-src 'self'; connect-src 'self' http://127.0.0.1:*; img-src data:"
)


class PageServer(ThreadingHTTPServer):
    """On a free port of 127.0.0.1. `origin` is that of its pages, `url` where the page is."""

    daemon_threads = True
    allow_reuse_address = False  # on Windows that lets others listen on the same port

    def __init__(self, desk: Desk, pouchdb: Path) -> None:
        """`pouchdb` is the script of PouchDB. Raises OSError."""
        super().__init__(("127.0.0.1", 0), _Handler)
        self.desk = desk
        self.authority = f"127.0.0.1:{self.server_address[1]}"
        self.origin = f"http://{self.authority}"
        self.base = f"/{secrets.token_urlsafe(18)}/"
        self.url = f"{self.origin}{self.base}"
        self.files = {
            "": (_HTML, _PAGE / "index.html"),
            "sync.js": (_SCRIPT, _PAGE / "sync.js"),
            "ticks.js": (_SCRIPT, _PAGE / "ticks.js"),
            "pouchdb.js": (_SCRIPT, pouchdb),
        }

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that leaves is nothing to tell a person."""


class _Handler(BaseHTTPRequestHandler):
    timeout = 20
    server: PageServer

    def do_GET(self) -> None:
        found = self.server.files.get(self._name())
        if found is None:
            self._answer(404, "text/plain", b"")
        else:
            self._answer(200, found[0], found[1].read_bytes())

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        if self._name() != "tell" or not length.isdigit() or int(length) > _MOST_BODY:
            self._answer(404, "text/plain", b"")
            return
        try:
            said = json.loads(self.rfile.read(int(length)))
        except (ValueError, RecursionError):
            said = None
        told = self.server.desk.tell(said if isinstance(said, dict) else {})
        self._answer(200, _JSON, json.dumps(told).encode())

    def _name(self) -> str:
        """What is asked for below the secret; a name that there is not where something else is wrong."""
        whole = self.path.encode("latin-1", "replace")
        base = self.server.base.encode()
        right = secrets.compare_digest(whole[: len(base)], base) and self.headers.get("Host") == self.server.authority
        return self.path[len(base) :] if right else "/"

    def _answer(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("Content-Security-Policy", _POLICY)
        self.send_header("Referrer-Policy", "no-referrer")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Quiet: the terminal is the person's."""


@contextmanager
def serving(server: PageServer) -> Iterator[None]:
    """The pages are served from a thread."""
    thread = threading.Thread(target=server.serve_forever, args=(0.1,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
