"""The last good key sets on disk."""

import errno
import json
import os
import stat
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pytest_twisted import ensureDeferred
from twisted.internet.defer import Deferred, execute
from twisted.internet.threads import deferToThreadPool

from couchgate.facts import keystore
from couchgate.facts.bounded import bounded_agent
from couchgate.facts.jwks import JwksUrl
from couchgate.facts.keystore import KeyStore
from couchgate.facts.keyurl import LoadedSet, UrlKeys

NOW = 1763700000.0


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "keys"


@pytest.fixture
def store(folder):
    return KeyStore(folder, execute)


@pytest.fixture
def open_source(reactor, clock, store):
    """Makes sources by URL that share the store; their wall clock is `wall`."""
    sources = []

    def opened(url, wall=NOW, **options):
        loader = JwksUrl(url, bounded_agent(reactor, 1 << 20), clock)
        shelf = store.shelf("url", url, "ES256")
        sources.append(UrlKeys(loader, ("ES256",), clock, shelf=shelf, wall=lambda: wall, **options))
        return sources[-1]

    yield opened
    for source in sources:
        source.stop()
    assert clock.getDelayedCalls() == []


def warned(log_events):
    return [event for event in log_events if event["log_level"].name == "warn" and " kept " in event["log_format"]]


def test_what_was_written_is_read_by_the_next_process(folder, store):
    """A set comes back with its time, byte for byte; the folder and the file are the gate's alone."""
    loaded = LoadedSet(b'{"keys":\n\n[]}\n', NOW + 0.25)
    store.shelf("url", "https://id.example.com/").write(loaded)
    assert KeyStore(folder, execute).shelf("url", "https://id.example.com/").read() == loaded
    (path,) = folder.iterdir()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_changed_setting_never_finds_another_s_set(store):
    """What describes a set is told apart exactly: its parts, their order and their bounds."""
    store.shelf("url", "ab", "c").write(LoadedSet(b"{}", NOW))
    for other in (("url", "a", "bc"), ("url", "abc"), ("oidc", "ab", "c"), ("url", "c", "ab"), ("url", "ab", "c", "")):
        assert store.shelf(*other).read() is None


def test_a_new_set_replaces_the_old_file_in_one_step(folder, store):
    """The old file is never written into: whoever has it open reads the old set to its end."""
    shelf = store.shelf("x")
    shelf.write(LoadedSet(b"old", NOW))
    (path,) = folder.iterdir()
    with path.open("rb") as reader:
        shelf.write(LoadedSet(b"new", NOW + 1))
        assert reader.read().endswith(b"\nold")
    assert shelf.read() == LoadedSet(b"new", NOW + 1)
    assert list(folder.iterdir()) == [path]


def test_one_file_is_written_at_a_time_and_the_newest_only(folder):
    """While the disk is slow, what is newer takes the place of what still waits."""
    runs = []

    def slowly(write):
        runs.append((write, Deferred()))
        return runs[-1][1]

    shelf = KeyStore(folder, slowly).shelf("x")
    for number in range(5):
        shelf.write(LoadedSet(b"%d" % number, NOW + number))
    assert len(runs) == 1
    for _ in range(2):
        write, done = runs[-1]
        done.callback(write())
    assert len(runs) == 2
    assert shelf.read() == LoadedSet(b"4", NOW + 4)


@ensureDeferred
async def test_it_works_in_the_reactor_s_threads(folder, reactor):
    """The gate's own way of writing leaves the same file."""
    done = []

    def run(write):
        done.append(deferToThreadPool(reactor, reactor.getThreadPool(), write))
        return done[0]

    shelf = KeyStore(folder, run).shelf("x")
    shelf.write(LoadedSet(b"{}", NOW))
    await done[0]
    assert shelf.read() == LoadedSet(b"{}", NOW)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_a_disk_that_takes_nothing_is_one_warning(folder, store, monkeypatch, log_events, number):
    """The gate goes on, says it once (again after a success), keeps the old file and leaves nothing half written."""
    shelf = store.shelf("x")
    shelf.write(LoadedSet(b"old", NOW))

    def full(_descriptor):
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patched:
        patched.setattr(keystore.os, "fsync", full)
        for _ in range(3):
            shelf.write(LoadedSet(b"new", NOW))
    (event,) = warned(log_events)
    assert os.strerror(number) in event["reason"]
    assert shelf.read() == LoadedSet(b"old", NOW)
    assert len(list(folder.iterdir())) == 1
    shelf.write(LoadedSet(b"new", NOW))
    with monkeypatch.context() as patched:
        patched.setattr(keystore.os, "fsync", full)
        shelf.write(LoadedSet(b"newer", NOW))
    assert len(warned(log_events)) == 2


def test_a_folder_that_cannot_be_made_is_one_warning(tmp_path, log_events):
    """A state folder that is gone, or a file in its place, costs a warning and nothing else."""
    (tmp_path / "file").write_bytes(b"")
    for folder in (tmp_path / "gone" / "keys", tmp_path / "file"):
        shelf = KeyStore(folder, execute).shelf("x")
        shelf.write(LoadedSet(b"{}", NOW))
        assert shelf.read() is None
    assert len([event for event in warned(log_events) if "reason" in event]) == 2


def test_what_nobody_can_want_any_more_is_removed(folder, store):
    """Sets of settings of long ago, and halves that a killed gate left, go; what is young or not the gate's stays."""
    folder.mkdir()
    name = "0" * 64
    ages = {f"{name}.jwks": 9, "1" * 64 + ".jwks": 7, f"{name}.17.new": 1, f"{name}.18.new": 0, "notes.txt": 99}
    for file, days in ages.items():
        (folder / file).write_bytes(b"")
        os.utime(folder / file, (time.time() - days * 86400,) * 2)
    store.shelf("x").write(LoadedSet(b"{}", NOW))
    left = {path.name for path in folder.iterdir()}
    assert left & ages.keys() == {"1" * 64 + ".jwks", f"{name}.18.new", "notes.txt"}


@pytest.mark.parametrize(
    "junk",
    [
        b"",
        b"\n",
        b"{}",
        b"[" * 100_000,
        b'{"loaded_at": "now"}\n{}',
        b'{"loaded_at": true}\n{}',
        b'{"loaded_at": NaN}\n{}',
        b'{"loaded_at": 1e999}\n{}',
        b'{"loaded_at": -1}\n{}',
        b'{"loaded_at": ' + b"9" * 400 + b"}\n{}",
        b"\xff\xfe",
        b"x" * (1 << 21),
    ],
)
def test_garbage_in_the_file_is_reported_and_ignored(folder, store, log_events, junk):
    """Whatever the disk holds: no set, one warning that names the file, no exception."""
    shelf = store.shelf("x")
    shelf.write(LoadedSet(b"{}", NOW))
    (path,) = folder.iterdir()
    path.write_bytes(junk)
    assert shelf.read() is None
    (event,) = warned(log_events)
    assert event["path"] == str(path)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None)
@given(
    data=st.one_of(
        st.binary(max_size=300),
        st.builds(
            lambda value, rest: json.dumps({"loaded_at": value}).encode() + rest,
            st.one_of(st.floats(), st.integers(), st.text(), st.none()),
            st.binary(max_size=50),
        ),
    )
)
def test_no_bytes_on_disk_are_an_exception(folder, store, data):
    """For any bytes reading gives a set with a time that makes sense, or None."""
    shelf = store.shelf("x")
    shelf.write(LoadedSet(b"{}", NOW))
    (path,) = folder.iterdir()
    path.write_bytes(data)
    loaded = shelf.read()
    assert loaded is None or 0 <= loaded.loaded_at < 1e11


def test_what_is_no_file_is_not_waited_for(folder, store):
    """A FIFO in the place of the file does not stop the gate."""
    shelf = store.shelf("x")
    shelf.write(LoadedSet(b"{}", NOW))
    (path,) = folder.iterdir()
    path.unlink()
    os.mkfifo(path)
    assert shelf.read() is None


@ensureDeferred
async def test_a_restart_during_an_outage_has_keys(server, open_source):
    """The set of the last process serves at once, keeps its age, and the problem of the server shows."""
    first = open_source(server.url)
    await first.start()
    first.stop()
    server.status = 500
    second = open_source(server.url, wall=NOW + 3600)
    started = second.start()
    assert second.current().find("one", "ES256")
    assert second.loaded_at == NOW
    await started
    assert second.current().find("one", "ES256")
    assert "status 500" in second.problem


@ensureDeferred
async def test_kept_keys_end_when_they_are_too_old(server, open_source, clock):
    """`stale_seconds` counts from the last good load, not from the restart."""
    first = open_source(server.url)
    await first.start()
    first.stop()
    server.status = 500
    second = open_source(server.url, wall=NOW + 3000, stale_seconds=3600)
    await second.start()
    while clock.seconds() < 599:
        clock.advance(1)
        await second.start()
    assert second.current() is not None
    clock.advance(1)
    await second.start()
    assert second.current() is None


@pytest.mark.parametrize(("later", "used"), [(0, True), (86399, True), (86400, False), (-300, True), (-301, False)])
@ensureDeferred
async def test_keys_of_the_far_past_and_of_the_future_are_not_used(server, open_source, log_events, later, used):
    """A set that is too old is reported and unused, and so is one from the future, but for some minutes."""
    first = open_source(server.url)
    await first.start()
    first.stop()
    server.status = 500
    second = open_source(server.url, wall=NOW + later)
    await second.start()
    assert (second.current() is not None) == used
    assert len(warned(log_events)) == (not used)


@ensureDeferred
async def test_kept_keys_are_judged_like_the_server_s(server, open_source, folder, log_events):
    """A file with a good head and a bad set gives no keys; the server's next answer does, and mends the file."""
    first = open_source(server.url)
    await first.start()
    first.stop()
    (path,) = folder.iterdir()
    path.write_bytes(path.read_bytes().partition(b"\n")[0] + b'\n{"keys": [{"kty": "oct", "k": "c2VjcmV0"}]}')
    second = open_source(server.url)
    started = second.start()
    assert second.current() is None
    assert len(warned(log_events)) == 1
    await started
    assert second.current().find("one", "ES256")
    assert path.read_bytes().endswith(server.body)


@ensureDeferred
async def test_a_good_load_renews_the_time_of_the_kept_set(server, open_source, store):
    """The same set again is kept with its new time; a bad answer changes nothing on disk."""
    first = open_source(server.url)
    await first.start()
    first.stop()
    second = open_source(server.url, wall=NOW + 60)
    await second.start()
    shelf = store.shelf("url", server.url, "ES256")
    assert shelf.read() == LoadedSet(server.body, NOW + 60)
    good, server.body = server.body, b'{"keys": []}'
    await second.refresh("two")
    assert shelf.read() == LoadedSet(good, NOW + 60)
