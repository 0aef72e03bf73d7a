"""In place of a browser: does what the page would be told, in rounds, and lets the sensor look in each.

`driver.py SOCKET … URL`. It has four connections that it keeps where it may, with a preflight and a request in each
round, and two feeds that stay open.
"""

import contextlib
import http.client
import json
import secrets
import socket
import sys
import time
from urllib.parse import urlsplit

PAGE = secrets.token_hex(8)
KEPT, FEEDS = 4, 2
DATABASE = "/couchgate-probe-0"


class Traffic:
    def __init__(self, task, sensor):
        self.number, self.token, self.sensor = task["number"], task["token"], sensor
        self.authority = urlsplit(task["url"]).netloc
        self.kept = [http.client.HTTPConnection(self.authority, timeout=20) for _ in range(KEPT)]
        self.feeds = []
        self.answered = self.failed = 0

    def round(self):
        try:
            self.ask(self.kept[0], "PUT", DATABASE)
            while len(self.feeds) < FEEDS:
                self.feeds.append(self.feed())
            for method in ("OPTIONS", "GET"):
                for each in self.kept:
                    self.ask(each, method, DATABASE)
                self.look()
        except (OSError, http.client.HTTPException):
            self.failed += 1
            self.close()
            time.sleep(0.05)

    def ask(self, connection, method, path):
        headers = {"Origin": ORIGIN}
        if method == "OPTIONS":
            headers |= {"Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "authorization"}
        else:
            headers["Authorization"] = f"Bearer {self.token}"
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        answer.read()
        assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN
        assert answer.status in {200, 201, 204, 412}, answer.status
        self.answered += 1

    def feed(self):
        """An open feed. Its answer begins at once, but that of the control when it is over."""
        host, port = self.authority.split(":")
        sock = socket.create_connection((host, int(port)), 20)
        target = f"{DATABASE}/_changes?feed=longpoll&since=100000&heartbeat=10000"
        head = f"GET {target} HTTP/1.1\r\nHost: {self.authority}\r\nAuthorization: Bearer {self.token}\r\n\r\n"
        sock.sendall(head.encode())
        sock.settimeout(0.5)
        with contextlib.suppress(TimeoutError):
            sock.recv(4096, socket.MSG_PEEK)
        return sock

    def look(self):
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as asking:
            asking.connect(self.sensor)
            asking.recv(16)

    def close(self):
        for each in (*self.kept, *self.feeds):
            each.close()
        self.feeds = []


def tell(url, **said):
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=20)
    with contextlib.closing(connection):
        connection.request("POST", f"{parts.path}tell", json.dumps({"page": PAGE, **said}))
        return json.load(connection.getresponse())


def main(url, sensor):
    traffic = None
    while True:
        said = {}
        if traffic is not None:
            said = {"running": traffic.number, "answered": traffic.answered, "failed": traffic.failed}
        told = tell(url, **said)
        if told.get("over"):
            return
        task = told["task"]
        if traffic is not None and (task is None or task["number"] != traffic.number):
            traffic.close()
            traffic = None
        elif traffic is None and task is not None:
            traffic = Traffic(task, sensor)
        elif traffic is not None:
            traffic.round()
        else:
            time.sleep(0.05)


if __name__ == "__main__":
    ORIGIN = "http://" + urlsplit(sys.argv[-1]).netloc
    with contextlib.suppress(OSError):  # the probe has gone
        main(sys.argv[-1], sys.argv[1])
