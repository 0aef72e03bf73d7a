"""The command line of `couchgate probe`: what it needs, and what it says where it cannot go on."""

import pytest

from couchgate.cli import main
from couchgate.commands import probe as command
from couchgate.probe import browser, pouchdb
from couchgate.standin.install import StandinError, npm_install

UPSTREAM = ("--upstream", "http://127.0.0.1:9")


@pytest.fixture
def probe(tmp_path, monkeypatch, capsys):
    """Runs the command here, with files in a folder of the test; the status and what it says."""
    script = tmp_path / "pouchdb.js"
    script.write_text("")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(pouchdb, "script", lambda: script)
    for name in ("interrupt_once", "ignore"):
        monkeypatch.setattr(command.interrupts, name, lambda: None)
    for name in ("PAGE_SECONDS", "PAGE_SECONDS_BY_HAND"):
        monkeypatch.setattr(command, name, 0.2)
    for name in ("BROWSER", "DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)

    def run(*arguments, upstream=UPSTREAM):
        status = main(["probe", *upstream, *map(str, arguments)])
        printed, said = capsys.readouterr()
        run.printed = printed
        return status, said

    return run


def test_without_a_browser_it_says_what_to_open_and_gives_up(probe):
    """Whether asked for or for want of a display."""
    for arguments in (("--browser", "none"), ()):
        status, said = probe(*arguments)
        assert status == 1
        assert "Open http://127.0.0.1:" in said
        assert said.splitlines()[-1] == (
            "couchgate: no browser has opened the page within 0.2 s; "
            "run the probe again, and open the address that it prints"
        )


def test_an_interruption_before_the_first_server_is_one_sentence(probe, monkeypatch):
    """On standard output, with the status of every interruption, and without a table."""

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(command.Desk, "wait_for_page", interrupt)
    assert probe("--browser", "none")[0] == 130
    assert probe.printed == "Interrupted before anything was seen.\n"


def test_a_browser_that_ends_at_once_is_told_with_its_last_words(probe, tmp_path, monkeypatch):
    """It is not waited for."""
    monkeypatch.setattr(command, "PAGE_SECONDS", 60)
    program = tmp_path / "browser"
    program.write_text("#!/bin/sh\necho no display today >&2\nexit 3\n")
    program.chmod(0o700)
    status, said = probe("--browser", program)
    assert status == 1
    assert said.splitlines()[-1] == (
        f"couchgate: --browser: {program} has ended before it opened the page: no display today"
    )


def test_what_is_written_is_for_this_user_alone(probe, tmp_path):
    """Both files, in place of what was there."""
    (tmp_path / "couchgate-probe.md").write_text("old")
    probe("--browser", "none")
    for name in ("couchgate-probe.md", "couchgate-probe.json"):
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o600
        assert "old" not in (tmp_path / name).read_text()


def test_the_control_needs_no_database(probe, monkeypatch):
    """Alone it is run without one, and every other candidate with one."""
    started = []

    def start(_):
        started.append(True)
        raise StandinError("no database here")

    monkeypatch.setattr(command, "start_standin", start)
    assert "no browser has opened" in probe("--browser", "none", "--only", "control", upstream=())[1]
    assert not started
    assert "no database here" in probe("--browser", "none", "--only", "close", upstream=())[1]


def test_without_node_the_sentence_names_what_needs_it(monkeypatch, tmp_path):
    """Another database is no way out where the page's PouchDB is what lacks."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(StandinError, match="is needed for PouchDB for the page") as page:
        npm_install(tmp_path / "none", pouchdb.PACKAGE, what="PouchDB for the page", instead="")
    assert "--upstream" not in str(page.value)
    with pytest.raises(StandinError, match=r"for the stand-in database; .*--upstream URL"):
        npm_install(tmp_path / "none")


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
        (
            ("--browser", "/no/such/browser"),
            "couchgate: --browser: there is no program /no/such/browser; name a Chromium",
        ),
        (("--markdown", "none/x.md"), "couchgate: --markdown: there is no folder none; make it, or name another file"),
        (("--json", "."), "couchgate: --json: . is a folder; name a file"),
        (("--upstream", "couchdb"), "couchgate: --upstream must be a URL such as http://127.0.0.1:5984, without"),
        (("--basic", "admin:none.txt"), "couchgate: --basic: there is no file none.txt."),
        (("--dir", "pouchdb.js"), "couchgate: --dir pouchdb.js: File exists; name another folder"),
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
