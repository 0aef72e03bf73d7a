"""The control: Python's own threading server, which answers as CouchDB would and relays nothing.

`python -m couchgate.probe.control PORT ORIGIN`. It keeps no documents: it answers so that PouchDB goes on asking.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

LONGPOLL_SECONDS = 2.0
_MOST_BODY = 1 << 24
_HEADERS = {
    "Access-Control-Allow-Credentials": "true",
    "Access-Control-Allow-Headers": "authorization, content-type, accept",
    "Access-Control-Allow-Methods": "GET, HEAD, POST, PUT, DELETE",
    "Access-Control-Max-Age": "600",
    "Vary": "Origin",
}


def end_with_parent() -> None:
    """Let this process end when its standard input is closed: with the process that started it, however that ends."""

    def wait() -> None:
        while os.read(0, 4096):
            pass
        os._exit(0)

    threading.Thread(target=wait, daemon=True).start()


def answer(method: str, target: str, body: bytes) -> tuple[int, Any]:
    """Status and JSON value of CouchDB's answer; it takes its time where that is a feed. Raises ValueError."""
    parts = urlsplit(target)
    segments = [segment for segment in parts.path.split("/") if segment]
    if not segments:
        return 200, {"couchdb": "Welcome", "uuid": "couchgate-probe-control", "version": "3.5.0"}
    if method == "DELETE" or (method == "PUT" and len(segments) == 1):
        return 200, {"ok": True}
    if len(segments) == 1:
        return 200, {"db_name": segments[0], "update_seq": 0, "doc_count": 0}
    if method == "PUT":
        return 201, {"ok": True, "id": segments[-1], "rev": "1-0123456789abcdef0123456789abcdef"}
    if segments[1] == "_changes":
        if parse_qs(parts.query).get("feed") == ["longpoll"]:
            time.sleep(LONGPOLL_SECONDS)
        return 200, {"results": [], "last_seq": 0, "pending": 0}
    if segments[1] == "_revs_diff":
        return 200, {name: {"missing": revisions} for name, revisions in json.loads(body).items()}
    if segments[1] == "_bulk_docs":
        return 201, []
    if segments[1] == "_all_docs":
        return 200, {"total_rows": 0, "offset": 0, "rows": []}
    return 404, {"error": "not_found", "reason": "missing"}


class Handler(BaseHTTPRequestHandler):
    """One request for each connection, as `BaseHTTPRequestHandler` does where nothing else is said."""

    timeout = 60
    origin = ""

    def serve(self) -> None:
        """Any method."""
        length = self.headers.get("Content-Length", "0")
        if not length.isdigit() or int(length) > _MOST_BODY:
            self.send_error(413)
            return
        body = self.rfile.read(int(length))
        if self.command == "OPTIONS":
            status, value = 204, None
        else:
            try:
                status, value = answer(self.command, self.path, body)
            except (ValueError, AttributeError, RecursionError):
                status, value = 400, {"error": "bad_request", "reason": "The control cannot read this."}
        content = b"" if value is None else json.dumps(value).encode() + b"\n"
        self.send_response(status)
        self.send_header("Access-Control-Allow-Origin", self.origin)
        for name, text in _HEADERS.items():
            self.send_header(name, text)
        if value is not None:
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_OPTIONS = serve

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Quiet: what it writes is taken for a reason why it ended."""


class Server(ThreadingHTTPServer):
    """A thread for each connection."""

    daemon_threads = True
    allow_reuse_address = False  # on Windows that lets others listen on the same port

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that leaves is no fault."""


def main(port: int, origin: str) -> None:
    """Serve until the parent has gone."""
    end_with_parent()
    Handler.origin = origin
    Server(("127.0.0.1", port), Handler).serve_forever()


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
