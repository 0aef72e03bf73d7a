"""Keys from files."""

import os

import pytest

from couchgate.facts.keyfile import FileKeys
from couchgate.interfaces import IKeySource


@pytest.fixture
def changes():
    return []


@pytest.fixture
def open_source(clock, changes):
    sources = []

    def opened(path, algorithms=("ES256",)):
        source = FileKeys(path, algorithms, clock, interval=2.0)
        source.changed = lambda: changes.append(source.current())
        sources.append(source)
        assert source.start().called
        return source

    yield opened
    for source in sources:
        source.stop()
    assert clock.getDelayedCalls() == []


def replace(path, data):
    """Put a new file in the place of the old one, as careful programs do."""
    fresh = path.with_suffix(".new")
    fresh.write_bytes(data)
    fresh.replace(path)


def warnings(log_events):
    return [event["problem"] for event in log_events if "problem" in event]


def test_it_is_a_key_source(tmp_path, clock):
    """A FileKeys provides IKeySource, every attribute of it."""
    from zope.interface.verify import verifyObject

    assert verifyObject(IKeySource, FileKeys(tmp_path / "keys", ("ES256",), clock))


@pytest.mark.parametrize("form", ["jwks", "pem", "secret"])
def test_every_form_of_key_file_is_read_at_start(tmp_path, open_source, make, changes, form):
    """A JWKS, PEM or an HMAC secret is there as soon as the source is started."""
    path = tmp_path / "keys"
    path.write_bytes({"jwks": make.jwks("one"), "pem": make.pem(), "secret": b"s" * 32 + b"\n"}[form])
    algorithm = "HS256" if form == "secret" else "ES256"
    source = open_source(path, (algorithm,))
    assert len(source.current().find(None, algorithm)) == 1
    assert source.problem is None
    assert changes == [source.current()]


def test_a_replaced_file_is_picked_up(tmp_path, open_source, clock, make, changes):
    """New keys in the file are in use after one interval."""
    path = tmp_path / "keys"
    path.write_bytes(make.jwks("one"))
    source = open_source(path)
    replace(path, make.jwks("two"))
    clock.advance(1.9)
    assert not source.current().find("two", "ES256")
    clock.advance(0.1)
    assert source.current().find("two", "ES256")
    assert not source.current().find("one", "ES256")
    assert changes == [changes[0], source.current()]


def test_a_file_written_in_place_is_picked_up(tmp_path, open_source, clock, make):
    """A write into the same inode counts as a change, even of the same length."""
    path = tmp_path / "keys"
    path.write_bytes(make.jwks("one"))
    source = open_source(path)
    before = path.stat()
    path.write_bytes(make.jwks("two").ljust(before.st_size)[: before.st_size])
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 1))
    assert path.stat().st_ino == before.st_ino
    assert path.stat().st_size == before.st_size
    clock.advance(2)
    assert source.current().find("two", "ES256")


def test_an_unknown_key_makes_it_look_at_once(tmp_path, open_source, make):
    """`refresh` sees a changed file without waiting for the interval."""
    path = tmp_path / "keys"
    path.write_bytes(make.jwks("one"))
    source = open_source(path)
    replace(path, make.jwks("two"))
    assert source.refresh("two").called
    assert source.current().find("two", "ES256")


@pytest.mark.parametrize(
    "junk", [b"", b"{", b"<html>", b"\xff" * 40, b"[" * 100_000, b'{"keys": []}', b"x" * (1 << 21)]
)
def test_a_broken_file_keeps_the_last_good_keys(tmp_path, open_source, clock, make, changes, log_events, junk):
    """A changed file that holds no keys leaves the old ones in use, and is reported in exactly one line."""
    path = tmp_path / "keys"
    path.write_bytes(make.jwks("one"))
    source = open_source(path)
    good = source.current()
    replace(path, junk)
    clock.pump([2.0] * 5)
    assert source.current() is good
    assert changes == [good]
    assert str(path) in source.problem
    assert warnings(log_events) == [source.problem]


def test_a_mended_file_ends_the_problem(tmp_path, open_source, clock, make):
    """After a broken state the next good file is in use and the problem is gone."""
    path = tmp_path / "keys"
    path.write_bytes(b"half a f")
    source = open_source(path)
    assert source.current() is None
    assert source.problem
    replace(path, make.jwks("one"))
    clock.advance(2)
    assert source.current().find("one", "ES256")
    assert source.problem is None


def test_a_missing_file_is_a_problem_until_it_is_there(tmp_path, open_source, clock, make, log_events):
    """A file that is not there is one line in the log, and its keys count once it is."""
    path = tmp_path / "keys"
    source = open_source(path)
    clock.pump([2.0] * 3)
    assert source.current() is None
    assert warnings(log_events) == [source.problem]
    path.write_bytes(make.jwks("one"))
    clock.advance(2)
    assert source.current() is not None
    assert source.problem is None


def test_a_removed_file_keeps_the_keys(tmp_path, open_source, clock, make):
    """Keys outlive their file."""
    path = tmp_path / "keys"
    path.write_bytes(make.jwks("one"))
    source = open_source(path)
    path.unlink()
    clock.advance(2)
    assert source.current().find("one", "ES256")
    assert "No such file" in source.problem


def test_a_file_whose_folder_comes_back_is_no_problem_any_more(tmp_path, open_source, clock, make):
    """A file that was out of reach for a while and is the same as before ends the problem."""
    folder = tmp_path / "mounted"
    folder.mkdir()
    (folder / "keys").write_bytes(make.jwks("one"))
    source = open_source(folder / "keys")
    folder.rename(tmp_path / "away")
    clock.advance(2)
    assert source.problem
    (tmp_path / "away").rename(folder)
    clock.advance(2)
    assert source.problem is None


def test_the_same_keys_written_again_are_no_change(tmp_path, open_source, clock, make, changes):
    """The set keeps its identity when only the file's times change."""
    path = tmp_path / "keys"
    data = make.jwks("one")
    path.write_bytes(data)
    source = open_source(path)
    good = source.current()
    replace(path, data)
    clock.advance(2)
    assert source.current() is good
    assert changes == [good]


def test_what_is_no_file_is_refused_without_waiting(tmp_path, open_source):
    """A FIFO or a folder is a problem at once: the gate never waits for a writer."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    assert "not a regular file" in open_source(fifo).problem
    assert "not a regular file" in open_source(tmp_path).problem


def test_a_stopped_source_looks_no_more_and_can_start_again(tmp_path, clock, make):
    """After `stop` a change is not seen; after another `start` it is."""
    path = tmp_path / "keys"
    path.write_bytes(make.jwks("one"))
    source = FileKeys(path, ("ES256",), clock)
    source.start()
    source.stop()
    replace(path, make.jwks("two"))
    assert clock.getDelayedCalls() == []
    assert source.refresh("two").called
    assert not source.current().find("two", "ES256")
    source.start()
    assert source.current().find("two", "ES256")
    source.stop()


def test_neither_repr_nor_log_shows_a_secret(tmp_path, open_source, log_events, clock):
    """A secret that is too short is reported without its bytes."""
    path = tmp_path / "secret"
    path.write_bytes(b"hunter2-hunter2")
    source = open_source(path, ("HS256",))
    assert "HMAC" in source.problem
    assert "hunter2" not in source.problem + repr(source) + repr(log_events)


def test_what_it_tells_of_itself(tmp_path, clock, make):
    """Kind, last good look, attempts and failures are there to be read; a look at an unchanged file is none."""
    path = tmp_path / "keys"
    source = FileKeys(path, ("ES256",), clock, wall=lambda: 1763700000.0)
    assert (source.kind, source.loaded_at, source.attempts, source.failures) == ("file", None, 0, 0)
    source.start()
    assert (source.loaded_at, source.attempts, source.failures) == (None, 1, 1)
    path.write_bytes(make.jwks("one"))
    clock.pump([2.0] * 3)
    assert (source.loaded_at, source.attempts, source.failures) == (1763700000.0, 2, 1)
    source.stop()
