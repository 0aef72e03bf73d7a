"""The web server of the app: another origin than the gate's. It gives the page's files, and tokens."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TYPES = {".html": "text/html", ".js": "text/javascript", ".mjs": "text/javascript"}


class Origin:
    """Serves `files` (path -> a file) on a free port; `token` makes what is given at `/token`."""

    def __init__(self, files):
        self.token = lambda: ""

        class Handler(BaseHTTPRequestHandler):
            def do_GET(handler):  # noqa: N805 - the outer self is the server
                file = files.get(handler.path)
                if handler.path == "/token":
                    handler.give("text/plain", self.token().encode())
                elif file is not None:
                    handler.give(TYPES[file.suffix], file.read_bytes())
                else:
                    handler.send_error(404)

            def give(handler, content_type, body):  # noqa: N805
                handler.send_response(200)
                handler.send_header("Content-Type", content_type)
                handler.send_header("Content-Length", str(len(body)))
                handler.end_headers()
                handler.wfile.write(body)

            def log_message(handler, *arguments):  # noqa: N805
                """Nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://localhost:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def close(self):
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
