"""A browser, a page in it, the gate in one mode, and the database behind it: each started once for a module."""

import http.client
import json
import shutil
import urllib.parse
import uuid
from pathlib import Path

import pytest

from couchgate.standin.install import cache_directory, npm_install
from couchgate.standin.start import start
from tests.browser.chromium import Chromium
from tests.browser.origin import Origin
from tests.integration.running import running_gate
from tests.integration.scripts import CLIENTS, Script, installed

HERE = Path(__file__).parent
MISSING = (
    "There is no Chromium here: install it (Debian: apt-get install --no-install-recommends chromium), "
    "or let tests/run do it as root or with passwordless sudo."
)


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """Headless Chromium."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.skip(MISSING)
    running = Chromium(program, tmp_path_factory.mktemp("chromium"))
    yield running
    running.close()


@pytest.fixture(scope="module")
def origin():
    """The app's own web server."""
    package = npm_install(cache_directory(HERE / "node"), HERE / "node")
    serving = Origin(
        {
            "/": HERE / "page/index.html",
            "/app.js": HERE / "page/app.js",
            "/corpus.mjs": CLIENTS / "corpus.mjs",
            "/pouchdb.min.js": package / "node_modules/pouchdb/dist/pouchdb.min.js",
        }
    )
    yield serving
    serving.close()


class Database:
    """The stand-in database, asked directly; it can be killed and come back, without what it knew."""

    def __init__(self, directory, script):
        self._directory = directory
        self._script = script
        self._running = start(directory)
        self.url = self._running.url
        self.port = int(self.url.rpartition(":")[2])

    def kill(self):
        self._running.stop(0)

    def come_back(self):
        self._running = start(self._directory, self.port)

    def put(self, name, document):
        """Write a document as another client of the database; its revision."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        path = f"/{name}/{urllib.parse.quote(document['_id'], safe='')}"
        connection.request("PUT", path, json.dumps(document), {"Content-Type": "application/json"})
        answer = json.load(connection.getresponse())
        connection.close()
        return answer["rev"]

    def snapshot(self, name):
        """All that it holds, as the page's `snapshot` tells it of the page's side."""
        return self._script("snapshot.mjs", gate=self.url, database=name, seconds=30)


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    running = Database(tmp_path_factory.mktemp("standin"), Script(installed(tmp_path_factory.mktemp("clients"))))
    yield running
    running.kill()


@pytest.fixture(scope="module", params=["keepalive", "close", "threaded"])
def gate(request, tmp_path_factory, database, origin):
    """A running gate that lets the app's origin in, once in each mode."""
    cors = f'[cors]\norigins = ["{origin.url}"]'
    with running_gate(tmp_path_factory.mktemp("gate"), database.url, request.param, cors) as running:
        running.mode = request.param
        yield running


@pytest.fixture
def page(browser, gate, origin):
    """A page of the app, with a good token."""
    origin.token = gate.minter.token
    opened = browser.page(origin.url + "/")
    opened.call("begin", gate.url)
    yield opened
    opened.close()


@pytest.fixture
def name():
    return f"db-{uuid.uuid4().hex[:12]}"
