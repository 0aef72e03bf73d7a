"""`twistd couchgate`: its options, and the service made of them. The only place that takes the global reactor."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.application.service import IService
from twisted.cred import strcred
from twisted.cred.credentials import IUsernamePassword
from twisted.python import usage

from couchgate.checkers import IToken
from couchgate.settings import Settings, SettingsError, load
from couchgate.system import write_what_can_be_written


class Options(usage.Options, strcred.AuthOptionMixin):
    """The command line of `twistd couchgate`; a flag overrides the same key of the settings file."""

    synopsis = "[--config FILE] [--auth KIND:ARGUMENT] [--listen ENDPOINT] [--upstream URL] [--mode MODE]"
    longdesc = "An authenticating reverse proxy in front of Apache CouchDB. Try 'couchgate demo' first."
    optParameters = [  # noqa: RUF012  # Twisted's convention
        ["config", "c", "couchgate.toml", "The settings file (TOML)."],
        ["listen", "l", None, "A Twisted endpoint to listen on, instead of [gate] listen."],
        ["mode", "m", None, "keepalive, close or threaded, instead of [gate] mode."],
        ["upstream", "u", None, "CouchDB's URL, instead of [upstream] url."],
        ["access-log", None, None, "stdout, off or a path, instead of [log] access."],
    ]
    supportedInterfaces = (IToken, IUsernamePassword)

    def __init__(self) -> None:
        super().__init__()
        write_what_can_be_written()  # before twistd takes stdout for its log
        self._issuer_files: list[Path] = []
        self._checkers: list[str] = []
        self._folder = Path.cwd()  # twistd may change to another later

    def opt_auth(self, description: str) -> None:
        """Let in more people: jwt:FILE (tokens of one more issuer), file:PATH (names and passwords) or another."""
        kind, _, argument = description.partition(":")
        if kind != "jwt":
            file = kind == "file" and argument
            self._checkers.append(f"file:{self._folder / argument}" if file else description)
            return
        # Not by a checker: the gate judges tokens itself, by the rules and keys that a checker of FILE would have.
        if not argument:
            raise SystemExit("couchgate: --auth jwt needs a file, as in --auth jwt:issuer.toml")
        self._issuer_files.append(Path(argument))

    def postOptions(self) -> None:
        """Read the settings. Wrong ones end the program with one sentence (SystemExit)."""
        try:
            self.settings = self._load(Path())
        except SettingsError as error:
            raise SystemExit(f"couchgate: {error}") from None

    def reload(self) -> Settings:
        """Read the settings again, with the same flags. Raises SettingsError."""
        return self._load(self._folder)

    def _load(self, folder: Path) -> Settings:
        flags = {"listen": "gate.listen", "mode": "gate.mode", "upstream": "upstream.url", "access-log": "log.access"}
        overrides = {key: str(self[flag]) for flag, key in flags.items() if self[flag] is not None}
        return load(folder / self["config"], overrides, [folder / file for file in self._issuer_files], self._checkers)


def makeService(options: Options) -> IService:
    """The gate as a Twisted service. A checker that Twisted does not have ends the program (SystemExit)."""
    from twisted.internet import reactor  # noqa: PLC0415, TID251  # here and nowhere else: --reactor was obeyed by now

    from couchgate.service import GateService  # noqa: PLC0415  # after the reactor is chosen

    try:
        service: Any = GateService(options.settings, reactor, options.reload)
    except SettingsError as error:  # what only plugins know: kinds of key sources, and of checkers
        raise SystemExit(f"couchgate: {error}") from None
    return service  # type: ignore[no-any-return]  # zope's interface
