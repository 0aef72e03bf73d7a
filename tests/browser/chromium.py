"""Headless Chromium, driven over a pipe in its own DevTools protocol.

The protocol is JSON, each message ended by a NUL byte, on the browser's file descriptors 3 and 4. A thread reads; every
command waits for its answer, and no longer than it says.
"""

import contextlib
import fcntl
import itertools
import json
import os
import re
import signal
import subprocess
import sys
import threading
from concurrent.futures import Future, InvalidStateError

COMMAND_SECONDS = 30
# Puts the two ends where Chromium looks for them, and becomes it.
EXEC = """
import os, sys
for end, number in (sys.argv[1], 3), (sys.argv[2], 4):
    os.dup2(int(end), number)
    os.close(int(end))
os.execv(sys.argv[3], sys.argv[3:])
"""
FLAGS = (
    "--headless",
    "--remote-debugging-pipe",
    "--no-sandbox",  # the tests may be root, in a container; the only pages are their own
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--no-proxy-server",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--password-store=basic",
    "--metrics-recording-only",
)


class BrowserError(Exception):
    """What the browser or a page in it said instead of an answer."""


class Chromium:
    """A running browser; `log` gets what it writes."""

    def __init__(self, program, directory):
        their_end, self._commands = os.pipe()
        self._answers, own_end = os.pipe()
        # Numbers from 10 on cannot be 3 or 4 themselves.
        reads, writes = (fcntl.fcntl(end, fcntl.F_DUPFD, 10) for end in (their_end, own_end))
        with (directory / "chromium.log").open("wb") as log:
            self.process = subprocess.Popen(
                [
                    sys.executable,
                    "-c",
                    EXEC,
                    str(reads),
                    str(writes),
                    program,
                    *FLAGS,
                    f"--user-data-dir={directory}/profile",
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=(reads, writes),
                start_new_session=True,
            )
        for end in (reads, writes, their_end, own_end):
            os.close(end)
        self._numbers = itertools.count(1)
        self._waiting = {}
        self._pages = {}
        self._lock = threading.Lock()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def command(self, method, session=None, seconds=COMMAND_SECONDS, **params):
        """The answer to one command. Raises BrowserError, TimeoutError."""
        number, answer = next(self._numbers), Future()
        message = {"id": number, "method": method, "params": params}
        if session is not None:
            message["sessionId"] = session
        self._waiting[number] = answer
        with self._lock:
            os.write(self._commands, json.dumps(message).encode() + b"\0")
        try:
            return answer.result(seconds)
        finally:
            del self._waiting[number]

    def page(self, url):
        """A new page at `url`, with a cache, storage and connections of its own."""
        context = self.command("Target.createBrowserContext")["browserContextId"]
        target = self.command("Target.createTarget", url="about:blank", browserContextId=context)["targetId"]
        session = self.command("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        page = self._pages[session] = Page(self, context, session)
        page.open(url)
        return page

    def forget(self, page):
        """Close a page, and all that it kept."""
        self.command("Target.disposeBrowserContext", browserContextId=page.context)
        del self._pages[page.session]

    def close(self):
        """End the browser and what it started."""
        with contextlib.suppress(BrowserError, TimeoutError, OSError):
            self.command("Browser.close", seconds=10)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        self._reader.join(10)
        os.close(self._commands)
        os.close(self._answers)

    def _read(self):
        data = b""
        while piece := os.read(self._answers, 65536):
            *messages, data = (data + piece).split(b"\0")
            for message in messages:
                self._take(json.loads(message))
        for answer in list(self._waiting.values()):
            with contextlib.suppress(InvalidStateError):
                answer.set_exception(BrowserError("the browser has ended"))

    def _take(self, message):
        if "id" not in message:
            page = self._pages.get(message.get("sessionId"))
            if page is not None:
                page.events.append((message["method"], message["params"]))
            return
        answer = self._waiting.get(message["id"])
        if answer is None:
            return  # nobody waits any longer
        with contextlib.suppress(InvalidStateError):
            if "error" in message:
                answer.set_exception(BrowserError(json.dumps(message["error"])))
            else:
                answer.set_result(message["result"])


class Page:
    """A page: `events` is all that the browser told of it, in order."""

    def __init__(self, browser, context, session):
        self._browser = browser
        self.context = context
        self.session = session
        self.events = []
        self.expected = []  # patterns of errors that a test brings about

    def command(self, method, **params):
        return self._browser.command(method, session=self.session, **params)

    def open(self, url):
        """Go to `url` and wait for the app in it."""
        for domain in ("Runtime", "Log", "Network", "Page"):
            self.command(f"{domain}.enable")
        self.command("Page.navigate", url=url)
        for _ in range(600):
            if any(method == "Page.loadEventFired" for method, _ in self.events):
                return
            threading.Event().wait(0.05)
        raise TimeoutError(f"{url} was not loaded")

    def call(self, name, *arguments, seconds=COMMAND_SECONDS):
        """What the function `name` of the page's app gives for these arguments, once it is there."""
        told = self.command(
            "Runtime.evaluate",
            expression=f"app.{name}(...{json.dumps(arguments)})",
            awaitPromise=True,
            returnByValue=True,
            seconds=seconds,
        )
        if "exceptionDetails" in told:
            raise BrowserError(json.dumps(told["exceptionDetails"])[:4000])
        return told["result"].get("value")

    @property
    def console(self):
        """The errors in the page's console, in order: those of scripts, and the browser's own."""
        lines = []
        for method, params in list(self.events):
            if method == "Runtime.consoleAPICalled" and params["type"] in ("error", "assert"):
                lines.append(" ".join(str(each.get("value", each.get("description"))) for each in params["args"]))
            elif method == "Runtime.exceptionThrown":
                details = params["exceptionDetails"]
                lines.append(f"{details['text']} {details.get('exception', {}).get('description', '')}".strip())
            elif method == "Log.entryAdded" and params["entry"]["level"] == "error":
                lines.append(f"{params['entry']['text']} {params['entry'].get('url', '')}".strip())
        return lines

    @property
    def unexpected(self):
        """The errors in the console that no test has brought about."""
        return [line for line in self.console if not any(re.search(each, line) for each in self.expected)]

    def close(self):
        self._browser.forget(self)
