"""A browser, a page in it, the gate in one mode, and the database behind it: each started once for a module."""

import contextlib
import http.client
import json
import shutil
import socket
import subprocess
import sys
import urllib.parse
import uuid
from pathlib import Path

import pytest

from couchgate.probe import pouchdb
from couchgate.standin.start import start
from tests.browser.chromium import Chromium
from tests.browser.origin import Origin
from tests.integration.running import running_gate
from tests.integration.scripts import CLIENTS, Script, installed
from tests.ports import free_port
from tests.web.sockets import eventually

HERE = Path(__file__).parent
MISSING = (
    "There is no Chromium here: install it (Debian: apt-get install --no-install-recommends chromium), "
    "or let tests/run do it as root or with passwordless sudo."
)
# A port that is passed on to another.
FRONT = """
import sys
from twisted.internet import reactor
from twisted.protocols.portforward import ProxyFactory
reactor.listenTCP(int(sys.argv[1]), ProxyFactory("127.0.0.1", int(sys.argv[2])), interface="127.0.0.1")
reactor.run()
"""
# What PouchDB asks for and finds missing in any first replication: a checkpoint.
NEW = r"status of 404 \(Not Found\) \S+/_local/\S+$"


def program():
    """The path of a Chromium; without one the test is skipped."""
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        pytest.skip(MISSING)
    return found


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """Headless Chromium."""
    running = Chromium(program(), tmp_path_factory.mktemp("chromium"))
    yield running
    running.close()


@contextlib.contextmanager
def _app():
    serving = Origin(
        {
            "/": HERE / "page/index.html",
            "/app.js": HERE / "page/app.js",
            "/corpus.mjs": CLIENTS / "corpus.mjs",
            "/pouchdb.min.js": pouchdb.script(),
        }
    )
    yield serving
    serving.close()


@pytest.fixture(scope="module")
def origin():
    """The app's own web server."""
    with _app() as serving:
        yield serving


@pytest.fixture(scope="module")
def stranger():
    """The web server of the same app, at an origin that the gate does not know."""
    with _app() as serving:
        yield serving


def answers(port):
    try:
        socket.create_connection(("127.0.0.1", port), 5).close()
    except ConnectionRefusedError:
        return False
    return True


class Database:
    """The stand-in database, and the process in front of it, which the gate takes for it: that one can be killed and
    come back. (The stand-in itself keeps its data in memory, and CouchDB does not lose them.)
    """

    def __init__(self, directory, script):
        self._script = script
        self._running = start(directory)
        self.url = self._running.url
        self.port = int(self.url.rpartition(":")[2])
        self.front_port = free_port()
        self.come_back()

    def come_back(self):
        self._front = subprocess.Popen([sys.executable, "-c", FRONT, str(self.front_port), str(self.port)])
        eventually(lambda: answers(self.front_port))

    def kill(self):
        self._front.kill()
        self._front.wait()

    def stop(self):
        self.kill()
        self._running.stop(0)

    def _put(self, path, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        with contextlib.closing(connection):
            connection.request("PUT", path, body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            assert answer.status == 201, answer.read()
            return json.load(answer)

    def create(self):
        """A new database; its name."""
        name = f"db-{uuid.uuid4().hex[:12]}"
        self._put(f"/{name}")
        return name

    def put(self, name, document):
        """Write a document as another client of the database; its revision."""
        return self._put(f"/{name}/{urllib.parse.quote(document['_id'], safe='')}", json.dumps(document))["rev"]

    def _get(self, path):
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)) as connection:
            connection.request("GET", path, headers={"Accept": "application/json"})
            return json.load(connection.getresponse())

    def count(self, name):
        """How many documents it holds."""
        return self._get(f"/{name}").get("doc_count")

    def wait_for(self, name, document, rev):
        """Wait until it holds this document, at this revision or, for None, at any."""

        def there():
            found = self._get(f"/{name}/{urllib.parse.quote(document, safe='')}").get("_rev")
            return found is not None and rev in (found, None)

        eventually(there)

    def snapshot(self, *names):
        """All that databases hold, as the page's `snapshot` tells it of the page's side."""
        return self._script("snapshot.mjs", gate=self.url, databases=names, seconds=30)


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    running = Database(tmp_path_factory.mktemp("standin"), Script(installed(tmp_path_factory.mktemp("clients"))))
    yield running
    running.stop()


@pytest.fixture(scope="module", params=["keepalive", "close", "threaded"])
def gate(request, tmp_path_factory, database, origin):
    """A running gate that lets the app's origin in, once in each mode."""
    directory, upstream = tmp_path_factory.mktemp("gate"), f"http://127.0.0.1:{database.front_port}"
    cors = f'[cors]\norigins = ["{origin.url}"]'
    with running_gate(directory, upstream, request.param, cors) as running:
        running.mode = request.param
        yield running


@pytest.fixture
def page(browser, gate, origin):
    """A page of the app, with a good token."""
    origin.token = gate.minter.token
    opened = browser.page(f"{origin.url}/")
    opened.expected.append(NEW)
    opened.call("begin", gate.url)
    yield opened
    opened.close()
    assert opened.unexpected == []
