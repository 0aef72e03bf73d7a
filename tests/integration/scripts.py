"""The scripts of `node/`: PouchDB as an app in Node.js runs it."""

import json
import shutil
import subprocess
import threading
from pathlib import Path

from couchgate.standin.install import cache_directory, node, npm_install

CLIENTS = Path(__file__).parent / "node"


def installed(directory):
    """`directory`, with the scripts of `node/` and what they import."""
    for script in CLIENTS.glob("*.mjs"):
        shutil.copy(script, directory)
    (directory / "node_modules").symlink_to(npm_install(cache_directory(CLIENTS), CLIENTS) / "node_modules")
    return directory


class Script:
    """Runs a script of `node/`, answers what it asks, and gives its result."""

    def __init__(self, directory):
        self.directory = directory

    def __call__(self, name, answers=None, seconds=150, **config):
        """`answers` maps each question to a function that answers it; the script is ended after `seconds`."""
        process = subprocess.Popen(
            [node(), name, json.dumps(config)],
            cwd=self.directory,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        watchdog = threading.Timer(seconds, process.kill)
        watchdog.start()
        try:
            for line in process.stdout:
                message = json.loads(line)
                if "result" in message:
                    return message["result"]
                assert "ask" in message, message
                process.stdin.write(json.dumps(answers[message["ask"]]()) + "\n")
                process.stdin.flush()
            raise AssertionError(f"{name} ended without a result within {seconds} s")
        finally:
            watchdog.cancel()
            process.kill()
            process.communicate()
