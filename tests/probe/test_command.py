"""The command line of `couchgate probe`: what it needs, and what it says where it cannot go on."""

import pytest

from couchgate.cli import main
from couchgate.commands import probe as command
from couchgate.probe import browser, pouchdb

UPSTREAM = ("--upstream", "http://127.0.0.1:9")


@pytest.fixture
def probe(tmp_path, monkeypatch, capsys):
    """Runs the command here, with files in a folder of the test; the status and what it says."""
    script = tmp_path / "pouchdb.js"
    script.write_text("")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(pouchdb, "script", lambda: script)
    monkeypatch.setattr(command, "interrupt_on_signals", lambda: None)
    for name in ("PAGE_SECONDS", "PAGE_SECONDS_BY_HAND"):
        monkeypatch.setattr(command, name, 0.2)
    for name in ("BROWSER", "DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)

    def run(*arguments):
        status = main(["probe", *UPSTREAM, *map(str, arguments)])
        return status, capsys.readouterr().err

    return run


def test_without_a_browser_it_says_what_to_open_and_gives_up(probe):
    """Whether asked for or for want of a display."""
    for arguments in (("--browser", "none"), ()):
        status, said = probe(*arguments)
        assert status == 1
        assert "Open http://127.0.0.1:" in said
        assert said.splitlines()[-1] == (
            "couchgate: no browser has opened the page within 0.2 s; try --browser none, and open it yourself"
        )


def test_the_usual_browser_is_opened_on_the_page(probe, monkeypatch):
    """By its address, which has the secret in it."""
    opened = []
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setattr("webbrowser.open", lambda url: opened.append(url) or True)
    assert "Your browser opens" in probe()[1]
    (url,) = opened
    assert url.startswith("http://127.0.0.1:")
    assert len(url.split("/")[3]) >= 24


def test_a_browser_that_cannot_be_opened_is_none(monkeypatch):
    """And no program is run in the terminal where there is no display."""

    def fail(url):
        raise browser.webbrowser.Error("no browser")

    monkeypatch.setattr("webbrowser.open", fail)
    monkeypatch.setenv("DISPLAY", ":0")
    assert browser.open_usual("http://127.0.0.1/") is False
    for name in ("BROWSER", "DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("webbrowser.open", lambda url: True)
    assert browser.open_usual("http://127.0.0.1/") is False


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--browser", "/no/such/browser"), "couchgate: /no/such/browser: No such file or directory"),
        (("--markdown", "none/x.md"), "couchgate: none/x.md.new: No such file or directory"),
        (("--upstream", "couchdb"), "couchgate: --upstream must be a URL such as http://127.0.0.1:5984, without"),
        (("--basic", "admin:none.txt"), "couchgate: --basic: there is no file none.txt."),
        (("--dir", "pouchdb.js"), "File exists"),
    ],
)
def test_what_is_missing_is_said_in_one_sentence(probe, arguments, said):
    """With what it is about, and nothing is left running."""
    status, output = probe(*arguments)
    assert status == 1
    assert said in output.splitlines()[-1]


@pytest.mark.parametrize("arguments", [("--seconds", "0"), ("--seconds", "nan"), ("--requests", "0"), ("--only", "x")])
def test_what_cannot_be_meant_is_refused(probe, arguments):
    """As a command line that cannot be read."""
    with pytest.raises(SystemExit) as refused:
        probe(*arguments)
    assert refused.value.code == 2
