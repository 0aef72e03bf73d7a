"""The flight recorder in a gate's life, without the gate."""

from dataclasses import replace
from types import SimpleNamespace

from twisted.internet.task import Clock

from couchgate.life.recording import BEAT_SECONDS, Recording
from couchgate.recorder.records import LEAST_BYTES
from couchgate.recorder.report import report_of
from couchgate.recorder.runs import folder_of, look


class Reactor(Clock):
    """A clock that is never shut down."""

    def addSystemEventTrigger(self, phase, event, call):
        return (phase, event, call)

    def removeSystemEventTrigger(self, trigger):
        pass


class Beating:
    """A recorder that beats, of the smallest ring; `site.under_way` are the requests that it finds."""

    def __init__(self, folder):
        self._folder = folder
        self.reactor = Reactor()
        self.site = SimpleNamespace(under_way=[], connections=1, recorder=None)
        settings = SimpleNamespace(
            gate=SimpleNamespace(state_dir=folder, listeners=[]),
            recorder=SimpleNamespace(enabled=True, bytes=LEAST_BYTES),
            path=folder / "couchgate.toml",
            digest="",
        )
        watched = SimpleNamespace(
            settings=settings,
            keyring=SimpleNamespace(states=list),
            pool=SimpleNamespace(opened=0, reused=0, open=0),
            listening=lambda: [("tcp:1", self.site)],
        )
        self.service = Recording(watched, self.reactor, None)
        self.service.startService()
        self.flight = self.service.flight

    def beat(self):
        self.reactor.advance(BEAT_SECONDS)

    @property
    def run(self):
        (path,) = folder_of(self._folder).glob("*.ring")
        return look(path)

    @property
    def recording(self):
        return self.run.recording

    @property
    def report(self):
        """What is told if the process is ended now."""
        return report_of(replace(self.run, alive=False), "")
