"""What a ring tells about its run, as facts. It says how a run ended, never who ended it: that is in no ring."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from couchgate.recorder import records
from couchgate.recorder.reading import Record, Recording, walls
from couchgate.recorder.runs import Run

LAST_SECONDS = 10
LAST_EVENTS = 40
LAST_RARE = 10
_MOST_GAPS = 64  # each thread that is ended between taking a number and writing leaves one; what a disk loses is more
_RARE = frozenset(
    (
        records.STARTED,
        records.KEYS,
        records.RELOADING,
        records.RELOADED,
        records.EXCEPTION,
        records.STOPPING,
    )
)
_SILENT = frozenset((records.BEAT, records.LINKS, records.OVER))
_METHODS = {index: name.decode() for name, index in records.METHODS.items()}


class Request(NamedTuple):
    """A request that was under way at the end. `age` is in seconds; `connected`: seen to have reached CouchDB.

    In the mode `keepalive` it is not recorded when CouchDB is reached: `connected` is None. What is not `decided`
    waited for keys, or for the word of who knows passwords.
    """

    id: int
    method: str
    target: str
    feed: bool
    age: float
    connected: bool | None
    decided: bool = True


class Second(NamedTuple):
    """What happened in one of the last seconds: `before` the end."""

    before: int
    accepted: int
    decided: int
    ended: int
    refused: int


class Event(NamedTuple):
    """One line of the timeline: seconds since the epoch, seconds before the end, and what happened."""

    wall: float
    before: float
    text: str


class Reuse(NamedTuple):
    """How connections were used since the start: by clients, and to CouchDB. Not `complete`: at least so."""

    accepted: int
    requests: int
    opened: int
    reused: int
    complete: bool


class Report(NamedTuple):
    """All of it. Times are in seconds since the epoch; `uptime` and `covered` (what the ring reaches back) in seconds.

    `ending` is "running", "orderly", "exited" or "killed". `busy` is what the last beat counted: clients connected,
    requests under way, feeds. `memory` and `most_memory` are in bytes, 0 if not known. `overtaken`: so much was written
    after the last beat that `in_flight` may lack what had begun before. `patchy`: the file lacks so many records that
    nothing about what was under way is certain.
    """

    run: Run
    ending: str
    started: float
    last: float
    uptime: float
    covered: float
    stopping: bool
    exception: str
    in_flight: Sequence[Request]
    seconds: Sequence[Second]
    events: Sequence[Event]
    reuse: Reuse
    busy: tuple[int, int, int] | None
    memory: int
    most_memory: int
    rebooted: bool
    overtaken: bool
    patchy: bool

    @property
    def recording(self) -> Recording:
        """What it is made from."""
        return self.run.recording


def report_of(run: Run, boot: str) -> Report:
    """The facts of `run`, read whole; `boot` is what `process.boot` says now."""
    recording = run.recording
    found, times = recording.records, walls(recording)
    known = [*recording.earlier, *found]
    last = found[-1].moment if found else recording.number_of("monotonic")
    kinds = {record.kind for record in found}
    kinds_with_type = (records.EXCEPTION, records.EXITED)
    exceptions = [recording.word(each.word) for each in found if each.kind in kinds_with_type and each.word]
    beats = [record.a for record in known if record.kind == records.BEAT]
    then = recording.text_of("boot")
    return Report(
        run=run,
        ending=_ending(run),
        started=recording.started,
        last=times[-1] if times else recording.started,
        uptime=max(last - recording.number_of("monotonic"), 0.0),
        covered=last - found[0].moment if found else 0.0,
        stopping=records.STOPPING in kinds,
        exception=exceptions[-1] if exceptions else "",
        in_flight=list(_in_flight(recording)),
        seconds=_seconds(found, last),
        events=_events(recording, times, last),
        reuse=_reuse(known),
        busy=_busy(known),
        memory=beats[-1] if beats else 0,
        most_memory=max(beats, default=0),
        rebooted=bool(then and boot and then != boot),
        overtaken=_overtaken(recording),
        patchy=recording.torn + recording.missing > _MOST_GAPS,
    )


def _ending(run: Run) -> str:
    if run.alive:
        return "running"
    return {records.END_ORDERLY: "orderly", records.END_EXITED: "exited"}.get(run.recording.end, "killed")


def _method(small: int) -> str:
    return _METHODS.get(small & ~records.FEED, "another method")


def _in_flight(recording: Recording) -> Iterator[Request]:
    """Decided, or seen and not yet decided, and not ended."""
    found = recording.records
    over = {record.ref for record in found if record.kind in (records.ENDED, records.OVER)}
    reached = {record.ref for record in found if record.kind == records.UPSTREAM}
    told = {record.number for record in found if record.kind == records.ACCEPTED and not record.small}
    last = found[-1].moment if found else 0.0
    known: dict[int, Request] = {}
    waiting: dict[int, Record] = {}  # by connection
    for each in found:
        if each.kind == records.HEAD_SEEN:
            waiting[each.ref] = each
        elif each.kind in (records.DECIDED, records.CLOSED):
            waiting.pop(each.ref, None)
        if each.kind == records.DECIDED:
            known_id, age = each.number, last - each.moment
            connected = known_id in reached if each.ref in told and each.ref else None
        elif each.kind == records.STILL:
            known_id, age, connected = each.ref, last - each.moment + each.b / 1000, None
        else:
            continue
        if known_id not in over and known_id not in known:
            feed = bool(each.small & records.FEED)
            target = recording.word(each.place)
            known[known_id] = Request(known_id, _method(each.small), target, feed, max(age, 0.0), connected)
    for each in waiting.values():
        if each.number not in over:
            age = max(last - each.moment, 0.0)
            known[each.number] = Request(
                each.number,
                _method(each.small),
                recording.word(each.place),
                feed=False,
                age=age,
                connected=None,
                decided=False,
            )
    yield from sorted(known.values())


def _seconds(found: Sequence[Record], last: float) -> list[Second]:
    """Those that the ring reaches back to as a whole; of a run that it has from the start the first one, too."""
    covered = last - found[0].moment if found else 0.0
    told = min(max(math.ceil(covered) if found and found[0].number == 1 else math.floor(covered), 1), LAST_SECONDS)
    counts = [[0, 0, 0, 0] for _ in range(told)]
    for each in reversed(found):
        before = math.floor(last - each.moment)
        if not 0 <= before < told:
            continue
        count = counts[before]
        count[0] += each.kind == records.ACCEPTED
        count[1] += each.kind == records.DECIDED
        count[2] += each.kind == records.ENDED
        count[3] += each.kind == records.ENDED and each.x < 0 and each.status >= 400
    return [Second(before, *counts[before]) for before in reversed(range(told))]


def _events(recording: Recording, times: Sequence[float], last: float) -> list[Event]:
    """The last of all, and before these the last of the rare ones, which a second of requests would drown."""
    events: list[Event] = []
    for record, wall in zip(reversed(recording.records), reversed(times), strict=True):
        if record.kind in _SILENT or (len(events) >= LAST_EVENTS and record.kind not in _RARE):
            continue
        events.append(Event(wall, max(last - record.moment, 0.0), event_text(recording, record)))
        if len(events) == LAST_EVENTS + LAST_RARE:
            break
    return events[::-1]


def _overtaken(recording: Recording) -> bool:
    """Each beat says how far back the records reach that tell what was under way then."""
    found = recording.records
    if not found or found[0].number == 1:
        return False
    beat = oldest = 0
    for each in found:
        if each.kind == records.BEAT:
            beat = each.number
        elif each.kind == records.LINKS and beat:
            oldest = beat - ((each.word << records.REACH) + each.place)
    return oldest < found[0].number


def _reuse(known: Sequence[Record]) -> Reuse:
    """The totals of the last beat, and what came after it."""
    accepted = requests = opened = reused = 0
    complete, before = True, 0
    for each in known:
        complete = complete and each.number == before + 1
        before = each.number
        if each.kind == records.BEAT:
            accepted, requests, complete = each.b, each.ref, True
        elif each.kind == records.LINKS:
            opened, reused = each.a, each.b
        elif each.kind == records.ACCEPTED:
            accepted += 1
        elif each.kind == records.ENDED:
            requests += 1
    return Reuse(accepted, requests, opened, reused, complete)


def _busy(known: Sequence[Record]) -> tuple[int, int, int] | None:
    beat = next((each for each in reversed(known) if each.kind == records.BEAT), None)
    links = next((each for each in reversed(known) if each.kind == records.LINKS), None)
    return None if beat is None or links is None else (links.ref, beat.place, beat.word)


def event_text(recording: Recording, record: Record) -> str:
    """A record as a person reads it."""
    kind, ref = record.kind, record.ref
    words: dict[int, Any] = {
        records.STARTED: "the gate started",
        records.ACCEPTED: f"connection {record.number} accepted",
        records.CLOSED: f"connection {ref} gone",
        records.RELOADING: "reload began",
        records.RELOADED: "settings reloaded" if record.small else "reload changed nothing",
        records.STOPPING: "stop began",
        records.STOPPED: "stopped in order",
    }
    if kind in words:
        return str(words[kind])
    word, place, method = recording.word(record.word), recording.word(record.place), _method(record.small)
    if kind == records.HEAD_SEEN:
        return f"request {record.number}: {method} {place} waits for its decision"
    if kind == records.DECIDED:
        feed = ", a feed" if record.small & records.FEED else ""
        return f"request {record.number}: {method} {place} let through{feed}"
    if kind == records.UPSTREAM:
        return f"request {ref}: connected to CouchDB"
    if kind == records.STILL:
        return f"request {ref}: {method} {place} under way for {record.b / 1000:.0f} s"
    if kind == records.ENDED:
        upstream = f", CouchDB took {record.x * 1000:.0f} ms" if record.x >= 0 else ""
        name = f"request {ref}" if ref else f"{method} {place}"
        return f"{name}: {record.status or 'no answer'} {word}, {record.b} bytes in, {record.a} out{upstream}"
    if kind == records.KEYS:
        failed = f", {record.b} of {record.a} loads have failed" if record.b else ""
        return f"keys of {word}: {ref} usable{failed}"
    if kind == records.EXCEPTION:
        return f"exception: {word}"
    return "the interpreter ended" + (f": {word}" if record.word else "")
