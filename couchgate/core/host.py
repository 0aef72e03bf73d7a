"""Which `Host` a gate serves (RFC 9112 3.2): the loopback names and those of the settings, any other is a 421.

A web page must not reach a gate on localhost by a name of its own (DNS rebinding).
"""

from __future__ import annotations

from couchgate.core.errors import BadRequest, Misdirected

HOSTS_SEEN = 64  # spellings of served hosts, which differ in case and port
LOOPBACK = frozenset(("localhost", "127.0.0.1", "[::1]"))


class Hosts:
    """The names that are served. One with a port ("host:port") fits that port only, others any; all in lower case."""

    def __init__(self, names: frozenset[str]) -> None:
        self._names = names
        self._seen: set[bytes] = set()

    def check(self, values: tuple[bytes, ...]) -> bytes:
        """The one value of `Host`, if it is served. Raises BadRequest, Misdirected."""
        if len(values) == 1 and values[0] in self._seen:
            return values[0]
        if len(values) != 1:
            raise BadRequest("A request needs one Host.", code="host_count")
        try:
            host = values[0].decode("ascii").lower()
        except UnicodeDecodeError:
            raise BadRequest("The Host is malformed.", code="host_malformed") from None
        name, colon, port = host.rpartition(":")
        if not colon or host.endswith("]"):
            name, port = host, ""
        elif not port.isdigit():
            raise BadRequest("The Host is malformed.", code="host_malformed")
        if name in LOOPBACK or name in self._names or host in self._names:
            if len(self._seen) < HOSTS_SEEN:
                self._seen.add(values[0])
            return values[0]
        raise Misdirected("This gate does not serve that Host: name it in [gate] hosts.")
