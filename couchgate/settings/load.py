"""TOML -> `Settings`, validated once. The contract is docs/settings.md; every error names the file and the key.

The file is read whole, its tables are judged one after the other, and the first thing that is wrong ends it: half a
configuration never runs. Flags (`overrides`) take the place of single values and are judged by the same rules.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from couchgate.core.cors import Cors
from couchgate.core.limits import Limits
from couchgate.settings.admin import ADMIN_KEYS, read_admin
from couchgate.settings.auth import AUTH_KEYS, CHECKER_KEYS, flag_documents, keep_apart, read_auth
from couchgate.settings.files import MOST_BYTES, read_bounded, refusal
from couchgate.settings.gate import GATE_KEYS, LISTENER_KEYS, read_gate, read_state_dir
from couchgate.settings.issuers import CLAIM_KEYS, ISSUER_KEYS, read_issuers
from couchgate.settings.model import CorsSettings, IssuerSettings, Settings, SettingsError
from couchgate.settings.reader import Document, Table, clause
from couchgate.settings.recorder import RECORDER_KEYS, read_recorder
from couchgate.settings.rules import RULE_KEYS, read_rules
from couchgate.settings.upstream import OWN_KEYS, UPSTREAM_KEYS, read_upstream

# Every key there is, by table. Flags, the reference and the tests go by it.
KEYS: dict[str, tuple[str, ...]] = {
    "": ("gate", "upstream", "issuers", "auth", "cors", "rules", "limits", "admin", "log", "recorder"),
    "gate": GATE_KEYS,
    "gate.listeners": LISTENER_KEYS,
    "upstream": UPSTREAM_KEYS,
    "upstream.own": OWN_KEYS,
    "issuers": ISSUER_KEYS,
    "issuers.claims": CLAIM_KEYS,
    "auth": AUTH_KEYS,
    "auth.checkers": CHECKER_KEYS,
    "cors": ("origins", "private_network"),
    "rules": RULE_KEYS,
    "limits": (
        *("head_bytes", "header_count", "body_bytes", "head_seconds", "idle_seconds"),
        *("connections", "threads", "feeds", "lasting_feeds"),
    ),
    "admin": ADMIN_KEYS,
    "log": ("access", "trace"),
    "recorder": RECORDER_KEYS,
}
_FLAG_TABLES = ("gate", "upstream", "upstream.own", "auth", "cors", "limits", "admin", "log", "recorder")
_NO_FLAGS = {"own", "listeners", "checkers"}
_FLAGS = tuple(f"{table}.{key}" for table in _FLAG_TABLES for key in KEYS[table] if key not in _NO_FLAGS)
_MOST_SECONDS = 86400
_TOML_PLACE = re.compile(r"(.*) \(at (line \d+, column \d+|end of document)\)", re.DOTALL)


def load(
    path: Path,
    overrides: Mapping[str, str] | None = None,
    issuer_files: Sequence[Path] = (),
    checkers: Sequence[str] = (),
) -> Settings:
    """The settings in the TOML file `path`.

    `overrides` are flags: dotted key to text, such as `{"gate.mode": "close"}`; a list is separated by commas.
    `issuer_files` add an issuer each (see `load_issuer`), `checkers` a checker each ("kind:argument", as `--auth` takes
    it). They are judged together with those of the settings file.
    Secret and key files are read now, and nothing is written, resolved or connected. Raises `SettingsError`.
    """
    document = Document(path, overrides or {})
    return _read(document, _parse(document), [Document(file, {}) for file in issuer_files], flag_documents(checkers))


def _read(
    document: Document, data: dict[str, Any], more: Sequence[Document], checkers: Sequence[Document] = ()
) -> Settings:
    """The settings that the parsed file `data` holds, with the issuers in `more` and these `checkers`."""
    for flag in document.overrides:
        if flag not in _FLAGS:
            near = difflib.get_close_matches(flag, _FLAGS, n=1)
            hint = f"did you mean {near[0]}?" if near else "only single values outside [[lists]] can be"
            raise document.error(ascii(flag).strip("'"), f"cannot be given as a flag; {hint}")
    top = document.top(data, KEYS[""])
    gate = read_gate(top.table("gate", KEYS["gate"]))
    upstream = read_upstream(top.table("upstream", KEYS["upstream"]))
    tables = top.tables("issuers", KEYS["issuers"])
    for issuer_file in more:
        tables += (_issuer_table(issuer_file),)
    auth_table = top.table("auth", KEYS["auth"])
    auth = read_auth(auth_table, checkers)
    if not tables and not auth.checkers:
        raise top.error("issuers", "is missing; write at least one [[issuers]] table, or no token is ever valid")
    issuers = read_issuers(tables, (each.name_prefix for each in auth.checkers))
    auth = keep_apart(auth_table, auth, issuers)
    rules = read_rules(top.tables("rules", KEYS["rules"]), issuers, auth)
    if not rules:
        top.warn("rules", "is missing, so nobody may use any database; write at least one [[rules]] table")
    cors = _cors(top.table("cors", KEYS["cors"]))
    limits = _limits(top.table("limits", KEYS["limits"]))
    admin = read_admin(top.table("admin", KEYS["admin"]), issuers)
    log = top.table("log", KEYS["log"])
    access_log, trace = _access_log(log), log.flag("trace", default=True)
    recorder = read_recorder(top.table("recorder", KEYS["recorder"]))
    warnings = tuple(warning for each in (document, *more, *checkers) for warning in each.warnings)
    return Settings(
        document.path, gate, upstream, issuers, auth, cors, rules, limits, admin, access_log, trace, warnings,
        _digest([data, document.overrides, *map(_parse, more), *(each.overrides for each in checkers)]), recorder,
    )  # fmt: skip


def _digest(parts: Sequence[Mapping[str, Any]]) -> str:
    return hashlib.sha256(json.dumps([*map(dict, parts)], sort_keys=True, default=str).encode()).hexdigest()[:16]


def load_state_dir(path: Path) -> Path:
    """Only `gate.state_dir` of the settings file `path`; the other tables are not judged. Raises `SettingsError`."""
    document = Document(path, {})
    top = Table(document, "", _parse(document), KEYS[""])
    return read_state_dir(top.table("gate", KEYS["gate"]))


def load_issuer(path: Path) -> IssuerSettings:
    """The issuer in a TOML file with one `[[issuers]]` table and nothing else, as `--auth jwt:PATH` takes it.

    Raises `SettingsError`.
    """
    (issuer,) = read_issuers((_issuer_table(Document(path, {})),))
    return issuer


def _issuer_table(document: Document) -> Table:
    top = document.top(_parse(document), ("issuers",))
    tables = top.tables("issuers", KEYS["issuers"])
    if len(tables) != 1:
        raise top.error("issuers", f"must be one [[issuers]] table, not {len(tables)}; write a file for each issuer")
    return tables[0]


def _parse(document: Document) -> dict[str, Any]:
    path = document.path
    try:
        data, _ = read_bounded(path)
    except OSError as error:
        raise SettingsError(
            f"{path}: the settings file is one {refusal(error)}; name a TOML file that can be read"
        ) from error
    except ValueError as error:
        raise SettingsError(f"{str(path)!a}: this is no path of a settings file") from error
    if len(data) > MOST_BYTES:
        raise SettingsError(f"{path}: the file is larger than {MOST_BYTES} bytes, so it is no settings file")
    try:
        return tomllib.loads(data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise SettingsError(f"{path}: line {line} is not UTF-8; save the file as UTF-8 text") from error
    except RecursionError as error:
        raise SettingsError(f"{path}: the values are nested too deeply; this is no settings file") from error
    except ValueError as error:
        place = _TOML_PLACE.fullmatch(str(error))
        where, what = (place[2], place[1]) if place else ("a number", "it has too many digits")
        raise SettingsError(f"{path}: {where} is not valid TOML: {what}{_backslash(what)}") from error


def _backslash(what: str) -> str:
    """The way out for a path of Windows in double quotes: TOML takes its backslashes for escapes."""
    escape = what.startswith(("Unescaped", "Invalid hex value"))
    return r"; write a text with backslashes in single quotes, such as 'C:\gate\state'" if escape else ""


def _cors(table: Table) -> CorsSettings:
    settings = CorsSettings(table.texts("origins", ()), table.flag("private_network"))
    for index, origin in enumerate(settings.origins):
        try:
            Cors((origin,))
        except ValueError as error:
            raise table.error(f"origins[{index}]", f"is no origin that can be allowed: {clause(error)}") from error
    return settings


def _limits(table: Table) -> Limits:
    return Limits(
        head_bytes=table.whole("head_bytes", 1024, 1 << 20, 32768),
        header_count=table.whole("header_count", 8, 10_000, 100),
        body_bytes=table.whole("body_bytes", 0, 1 << 50, 4294967296),
        head_seconds=table.seconds("head_seconds", 0.1, _MOST_SECONDS, 10),
        idle_seconds=table.seconds("idle_seconds", 0.1, _MOST_SECONDS, 75),
        connections=table.whole("connections", 1, 1_000_000, 10_000),
        threads=table.whole("threads", 1, 10_000, 256),
        feeds=table.whole("feeds", 1, 1_000_000, 100),
        lasting_feeds=table.whole("lasting_feeds", 0, 1_000_000, 5),
    )


def _access_log(table: Table) -> str:
    access = table.text("access", "stdout")
    if access in {"stdout", "off"}:
        return access
    path = table.document.resolve(access)
    try:
        fits = path.parent.is_dir() and not path.is_dir()
    except OSError as error:
        raise table.error("access", f"names {path}, {refusal(error)}; it must be a file in a folder") from error
    if not fits:
        raise table.error("access", f'must be "stdout", "off" or a file in a folder that exists, not {path}')
    return str(path)
