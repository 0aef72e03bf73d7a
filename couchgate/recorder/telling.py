"""A report as a person reads it, and as a program does."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from couchgate.recorder.reading import plain
from couchgate.recorder.report import Report

_MOST_IN_FLIGHT = 20
CANNOT_TELL = (
    "SIGKILL, an endpoint sensor, the system's out-of-memory killer, os._exit (status 127, too), a crash of the "
    "interpreter and a power cut all leave the same ring: it cannot tell which it was."
)


def moment(seconds: float) -> str:
    """A time as `2026-11-21 12:00:00.123 UTC`."""
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3] + " UTC"
    except (OverflowError, ValueError, OSError):
        return "an unknown time"


def duration(seconds: float) -> str:
    """A duration in two units at most."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    whole = int(seconds)
    for size, name, lower, lower_name in ((86400, "d", 3600, "h"), (3600, "h", 60, "min")):
        if whole >= size:
            return f"{whole // size} {name} {whole % size // lower} {lower_name}"
    return f"{whole // 60} min {whole % 60} s"


def size(count: int) -> str:
    """Bytes in MB."""
    return f"{count / 1e6:.1f} MB" if count else "not known"


def ending(report: Report) -> str:
    """How it ended, in words."""
    if report.ending == "running":
        return "It is still running."
    if report.ending == "orderly":
        return "It was stopped in order."
    if report.ending == "exited":
        exception = f" The last exception that was recorded is {report.exception}." if report.exception else ""
        return (
            f"The interpreter ended by itself, and the gate had not been stopped: an exception or an exit.{exception}"
        )
    first = (
        "It was being stopped, and ended before that was complete, without coming to its own end."
        if report.stopping
        else "It ended from outside or at once: without a stop, an exception that ended it, or an exit."
    )
    rebooted = " The machine was started again since." if report.rebooted else ""
    return f"{first} {CANNOT_TELL}{rebooted}"


def one_line(report: Report) -> str:
    """When it ended and what it was doing, for the log of the next start."""
    requests = sum(not each.feed for each in report.in_flight)
    feeds = len(report.in_flight) - requests
    doubt = ", perhaps" if doubts(report) else ""
    doing = f"{_count(requests, 'request')} and {_count(feeds, 'feed')} under way{doubt}"
    last = f"; last recorded: {report.events[-1].text}" if report.events else ""
    how = "by itself" if report.ending == "exited" else "from outside or at once"
    return f"it ended {how} at about {moment(report.last)} after {duration(report.uptime)}, with {doing}{last}"


def text(report: Report) -> str:
    """The whole report."""
    about = report.recording
    listeners = ", ".join(f"{each['endpoint']} ({each['mode']})" for each in listeners_of(report)) or "not known"
    lines = [
        f"Run {report.run.id}, process {about.number_of('pid'):.0f}, couchgate {about.text_of('version') or '?'}",
        "",
        ending(report),
        "",
        f"started      {moment(report.started)}",
        f"last record  {moment(report.last)}, after {duration(report.uptime)}",
        f"listeners    {listeners}",
        f"settings     {about.text_of('settings') or 'not known'} (digest {about.text_of('digest') or '?'})",
        f"memory       {size(report.memory)} at the last beat{_peak(report)}",
        f"             {size(report.most_memory)} at most, in the time that the ring reaches back",
        f"ring         {report.run.path}",
        f"             {_count(len(about.records), 'record')} of the last {duration(report.covered)}{_gaps(report)}",
        "",
        "Connections",
        *(f"  {line}" for line in reuse_lines(report)),
        "",
        "Under way at the end",
        *(f"  {line}" for line in _in_flight(report)),
        "",
        f"The last {_count(len(report.seconds), 'second')}",
        "  before   accepted  let through  over  refused",
        *(
            f"  {-each.before - 1:4d} s {each.accepted:10d} {each.decided:12d} {each.ended:5d} {each.refused:8d}"
            for each in report.seconds
        ),
        "",
        "The last events, and rare ones before them",
        *(f"  {moment(each.wall)[11:-4]}  -{each.before:.3f} s  {each.text}" for each in report.events),
        "",
    ]
    return "\n".join(lines)


def reuse_lines(report: Report) -> list[str]:
    """How connections were used."""
    reuse = report.reuse
    per = f"{reuse.requests / reuse.accepted:.1f} for each" if reuse.accepted else "there was none"
    least = "" if reuse.complete else " (at least: the ring does not reach back to the last beat)"
    again = f"used again {_count(reuse.reused, 'time')} (to the last beat)"
    threaded = any(each["mode"] == "threaded" for each in listeners_of(report))
    besides = "; besides, one for each request of a threaded listener" if threaded else ""
    lines = [
        f"{_count(reuse.requests, 'request')} on {_count(reuse.accepted, 'connection')} of clients: {per}{least}",
        f"{_count(reuse.opened, 'connection')} to CouchDB, {again}{besides}",
    ]
    if report.busy is not None:
        clients, requests, feeds = report.busy
        under_way = f"{_count(requests, 'request')} under way, {feeds} of these feeds"
        lines.append(f"at the last beat: {_count(clients, 'client')}, {under_way}")
    return lines


def listeners_of(report: Report) -> list[dict[str, str]]:
    """The endpoint and the mode of each listener at the start."""
    listeners = report.recording.about.get("listeners")
    return [
        {key: plain(str(each.get(key, "?"))) for key in ("endpoint", "mode")}
        for each in (listeners if isinstance(listeners, list) else [])
        if isinstance(each, dict)
    ]


def as_json(report: Report) -> dict[str, Any]:
    """The whole report as JSON's values."""
    about = report.recording
    return {
        "run": report.run.id,
        "ring": str(report.run.path),
        "ending": report.ending,
        "says": ending(report),
        "started": report.started,
        "last": report.last,
        "uptime": report.uptime,
        "covered": report.covered,
        "records": len(about.records),
        "torn": about.torn,
        "missing": about.missing,
        "patchy": report.patchy,
        "overtaken": report.overtaken,
        "stopping": report.stopping,
        "exception": report.exception or None,
        "rebooted": report.rebooted,
        "version": about.text_of("version"),
        "settings": {"path": about.text_of("settings"), "digest": about.text_of("digest")},
        "listeners": listeners_of(report),
        "memory": {"last": report.memory or None, "most": report.most_memory or None},
        "connections": report.reuse._asdict(),
        "busy": None if report.busy is None else dict(zip(("clients", "requests", "feeds"), report.busy, strict=True)),
        "in_flight": [each._asdict() for each in report.in_flight],
        "seconds": [each._asdict() for each in report.seconds],
        "events": [each._asdict() for each in report.events],
    }


def _in_flight(report: Report) -> list[str]:
    reached = {True: ", connected to CouchDB", False: ", not yet connected to CouchDB", None: ""}
    lines = [
        f"request {each.id}: {each.method} {each.target}{', a feed' if each.feed else ''}, for {duration(each.age)}"
        f"{reached[each.connected] if each.decided else ', not yet decided'}"
        for each in report.in_flight[:_MOST_IN_FLIGHT]
    ]
    more = len(report.in_flight) - len(lines)
    if more:
        lines.append(f"and {more} more")
    return [*(lines or ["nothing"]), *doubts(report)]


def doubts(report: Report) -> list[str]:
    """Why what was under way is not told for certain; nothing where it is."""
    if report.patchy:
        return [f"not for certain: the file lacks {report.recording.torn + report.recording.missing} of its records"]
    if not report.overtaken:
        return []
    beat = "" if report.busy is None else f", which counted {_count(report.busy[1], 'request')}"
    return [f"not all, perhaps: the ring was written anew since the last beat{beat} (recorder.bytes is its size)"]


def _gaps(report: Report) -> str:
    about = report.recording
    gaps = [f"{count} {name}" for count, name in ((about.torn, "half written"), (about.missing, "missing")) if count]
    return f"; {' and '.join(gaps)}" if gaps else ""


def _peak(report: Report) -> str:
    return " (of this system the most so far is what can be told)" if report.recording.about.get("peak_memory") else ""


def _count(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
