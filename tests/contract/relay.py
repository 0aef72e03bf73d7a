"""The relay that is known to have survived: stdlib, a thread for each connection, new sockets, then closed."""

import http.client
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Relay(BaseHTTPRequestHandler):
    def do_GET(self):
        upstream = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]))
        upstream.request("GET", self.path, headers={"Connection": "close"})
        answer = upstream.getresponse()
        body = answer.read()
        upstream.close()
        self.send_response(answer.status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        """Quiet."""


server = ThreadingHTTPServer(("127.0.0.1", 0), Relay)
sys.stdout.write(f"{server.server_address[1]}\n")
sys.stdout.flush()
server.serve_forever()
