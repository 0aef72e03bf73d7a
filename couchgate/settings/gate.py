"""`[gate]`: where the gate listens, in which mode, and for which host names."""

from __future__ import annotations

from pathlib import Path

from couchgate.settings.files import refusal
from couchgate.settings.model import GateSettings, ListenerSettings
from couchgate.settings.network import endpoint, host_entry, relative_path, stays_here
from couchgate.settings.reader import Table, shown

GATE_KEYS = ("listen", "listeners", "mode", "hosts", "state_dir", "drain_seconds")
LISTENER_KEYS = ("endpoint", "mode", "admin")
_LISTEN = ("tcp:5985:interface=127.0.0.1",)
_MODES = ("keepalive", "close", "threaded")
_FOR_THREADS = ("tcp", "tcp6", "ssl", "unix", "systemd")  # kinds of endpoints that threads can serve
_MOST_DRAIN = 3600


def read_gate(table: Table) -> GateSettings:
    """The whole table."""
    mode = table.word("mode", _MODES, "keepalive")
    if table.has("listeners") and table.override("listen") is None:
        if table.has("listen"):
            raise table.error("listen", "and [[gate.listeners]] say the same twice; write only one of them")
        key = "listeners"
        listeners = tuple(_listener(each, mode) for each in table.tables("listeners", LISTENER_KEYS))
    else:
        key = "listen"
        written = enumerate(table.texts("listen", _LISTEN))
        listeners = tuple(_plain_listener(table, f"listen[{index}]", text, mode) for index, text in written)
    if not listeners:
        raise table.error(key, 'must not be empty; write an endpoint such as "tcp:5985:interface=127.0.0.1"')
    endpoints = [listener.endpoint for listener in listeners]
    for index, text in enumerate(endpoints):
        if text in endpoints[:index]:
            raise table.error(f"{key}[{index}]", f"repeats the endpoint {shown(text)}; it can be listened on once")
    drain_seconds = table.seconds("drain_seconds", 0, _MOST_DRAIN, 10)
    return GateSettings(listeners, _hosts(table), read_state_dir(table), drain_seconds)


def read_state_dir(table: Table) -> Path:
    """`state_dir` alone, as an absolute path."""
    state_dir = table.document.resolve(table.text("state_dir", "state"))
    try:
        in_the_way = state_dir.exists() and not state_dir.is_dir()
    except OSError as error:
        raise table.error("state_dir", f"names {state_dir}, {refusal(error)}; it must be a folder") from error
    if in_the_way:
        raise table.error("state_dir", f"names {state_dir}, which is a file; it must be a folder or not exist yet")
    return state_dir


def _listener(table: Table, mode: str) -> ListenerSettings:
    admin = table.flag("admin")
    text = _endpoint(table, "endpoint", table.text("endpoint"))
    if admin and not stays_here(text):
        table.warn(
            "admin",
            "shows metrics and refusals without a token to whoever reaches this endpoint, and other machines may: "
            "give it interface=127.0.0.1, make it a Unix socket, or see to it by other means",
        )
    return ListenerSettings(text, _fitting(table, "endpoint", text, table.word("mode", _MODES, mode)), admin)


def _plain_listener(table: Table, key: str, text: str, mode: str) -> ListenerSettings:
    return ListenerSettings(_endpoint(table, key, text), _fitting(table, key, text, mode))


def _fitting(table: Table, key: str, text: str, mode: str) -> str:
    """`mode`, if this endpoint can be served in it."""
    if mode == "threaded" and text.partition(":")[0].lower() not in _FOR_THREADS:
        kinds = ", ".join(_FOR_THREADS[:-1])
        raise table.error(
            key, f'cannot be served in mode "threaded", which is for {kinds} and {_FOR_THREADS[-1]}: not {shown(text)}'
        )
    return mode


def _endpoint(table: Table, key: str, text: str) -> str:
    try:
        endpoint(text)
    except ValueError as error:
        raise table.error(key, f"{error}, not {shown(text)}") from error
    if relative_path(text):
        table.warn(key, "names a file by a relative path, which starts where the gate is started; write it absolute")
    return text


def _hosts(table: Table) -> frozenset[str]:
    hosts = set()
    for index, text in enumerate(table.texts("hosts", ())):
        try:
            hosts.add(host_entry(text))
        except ValueError as error:
            raise table.error(f"hosts[{index}]", f"{error}, not {shown(text)}") from error
    return frozenset(hosts)
