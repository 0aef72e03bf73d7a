"""Files that somebody has open, on (a pretended) Windows: nobody renames or removes them there."""

import json

RUN = """
import json, os, sys, threading, time
from pathlib import Path
from couchgate import system

def raised(act):
    try:
        act()
    except OSError as error:
        return type(error).__name__

folder = Path(sys.argv[1])
new, old, other = folder / "new", folder / "old", folder / "other"

def written():
    new.write_bytes(b"new")
    old.write_bytes(b"old")

written()
with old.open("rb"):
    for_good = raised(lambda: system.replace(new, old)), old.read_bytes().decode()
held = old.open("rb")
looked = threading.Event()
real = os.replace
def replace(*paths):
    try:
        real(*paths)
    except PermissionError:
        held.close()  # who had it lets go once it was in the way
        looked.set()
        raise
os.replace = replace
for_a_moment = raised(lambda: system.replace(new, old)), old.read_bytes().decode(), looked.is_set()
written()
taken = raised(lambda: system.rename_new(new, old)), raised(lambda: system.rename_new(new, other))

def opened():
    return os.open(old, os.O_RDWR | system.BINARY)

first, second = opened(), opened()
locks = [system.lock(first, wait=False), system.lock(second, wait=False), system.held(second)]
os.close(first)
locks.append(system.held(second))
there = os.read(second, 9).decode()
print(json.dumps([for_good, for_a_moment, taken, locks, there]))
"""


def test_files_that_are_in_use_are_waited_for_a_moment(python, tmp_path):
    """Replacing one is tried again and fails in the end; a taken name is not taken twice; a lock moves no reader."""
    done = python(RUN, tmp_path)
    assert done.returncode == 0, done.stderr.decode()
    for_good, for_a_moment, taken, locks, there = json.loads(done.stdout)
    assert for_good == ["PermissionError", "old"]
    assert for_a_moment == [None, "new", True]
    assert taken == ["FileExistsError", None]
    assert locks == [True, False, True, False]
    assert there == "old"
