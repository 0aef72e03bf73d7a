"""Rings that a test writes, without a gate."""

from types import SimpleNamespace

from couchgate.recorder.flight import Flight
from couchgate.recorder.reading import read
from couchgate.recorder.records import OLDEST, RECORD_BYTES, RING_AT
from couchgate.recorder.report import report_of
from couchgate.recorder.runs import Run, new_ring

SLOTS = 512
SIZE = RING_AT + SLOTS * RECORD_BYTES
TOLD = SLOTS - OLDEST  # how many records a full ring tells


def request(method=b"GET", endpoint="document", *, feed=False, **more):
    """A request as the faces have it."""
    what = {"code": "forwarded", "status": 200, "sent": 11, "received": 0, "upstream_seconds": 0.002, "started": 1.0}
    return SimpleNamespace(
        head=SimpleNamespace(method=method),
        target=SimpleNamespace(feed=feed),
        endpoint=endpoint,
        record=0,
        subject=0,
        **{**what, **more},
    )


def subject(flight, request):
    """What its records are about."""
    return flight.subject(request.head.method, request.endpoint, feed=request.target.feed)


def let_through(flight, request, connection=0):
    """The request goes to CouchDB."""
    request.subject = subject(flight, request)
    request.record = flight.decided(request.subject, connection)


def finish(flight, request):
    """The request is over."""
    what = (request.code, request.status, request.sent, request.received, request.upstream_seconds)
    flight.ended(request.record, subject(flight, request), *what)


class Written:
    """A ring in `folder`, and the flight that writes it."""

    def __init__(self, folder, size=SIZE, **about):
        self.ring = new_ring(folder, size, about)
        self.flight = Flight(self.ring)
        (self.path,) = folder.glob("run-*.ring")

    @property
    def data(self):
        return bytes(self.ring.map)

    @property
    def recording(self):
        return read(self.data)

    @property
    def report(self):
        """What is told if the process is ended now."""
        return report_of(Run(self.path, self.recording, alive=False), "")
