"""The pretended Windows is one, as far as the other tests here rely on it."""

import json

ASK = """
import errno, importlib, json, os, select, signal, socket, sys
from pathlib import Path
from twisted.internet import reactor
from twisted.scripts import twistd
from couchgate.wire.lane import lane_of

def raised(act):
    try:
        act()
    except Exception as error:
        return type(error).__name__

folder = Path(sys.argv[1])
(folder / "a").write_bytes(b"a")
(folder / "b").write_bytes(b"b")
gone = {"os": ("fork", "getuid", "geteuid", "chown", "fchmod", "sysconf", "uname", "O_NONBLOCK"),
        "signal": ("SIGHUP", "SIGUSR1", "SIGKILL"), "socket": ("AF_UNIX", "SOCK_NONBLOCK"), "select": ("epoll", "poll")}
with open(folder / "a") as held:
    print(json.dumps({
        "imports": [raised(lambda: importlib.import_module(each))
                    for each in ("fcntl", "pwd", "grp", "resource", "termios")],
        "left": [name for module, names in gone.items() for name in names if hasattr(sys.modules[module], name)],
        "reactor": type(reactor).__name__,
        "runner": twistd._SomeApplicationRunner.__name__,
        "lane": lane_of(reactor) is None,
        "held": [raised((folder / "a").unlink), raised(lambda: (folder / "b").replace(folder / "a"))],
        "taken": raised(lambda: (folder / "b").rename(folder / "a")),
        "folder": raised(folder.read_bytes),
        "nothing": raised(lambda: select.select([], [], [], 0)),
        "encoding": sys.stdout.encoding,
    }))
"""


def test_the_pretended_windows_lacks_what_windows_lacks(python, tmp_path):
    """Modules, names, reactor, twistd's runner and the manners of files are those of Windows."""
    ran = python(ASK, tmp_path)
    assert ran.returncode == 0, ran.stderr.decode()
    assert json.loads(ran.stdout) == {
        "imports": ["ModuleNotFoundError"] * 5,
        "left": [],
        "reactor": "SelectReactor",
        "runner": "WindowsApplicationRunner",
        "lane": True,
        "held": ["PermissionError"] * 2,
        "taken": "FileExistsError",
        "folder": "PermissionError",
        "nothing": "OSError",
        "encoding": "cp1252",
    }
