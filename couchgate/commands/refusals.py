"""Asks the running gate for the refusals that it remembers (`/_gate/refusals`), for those with the admin role."""

from __future__ import annotations

import http.client
import json
from typing import Any
from urllib.parse import quote, urlsplit

from couchgate.commands import CommandError
from couchgate.commands.request import credential

_SECONDS = 10.0
_MOST = 1 << 20
_WHY = {
    401: "it wants the token of an administrator: give it by --token-file",
    403: "the token is not an administrator's: see [admin]",
    404: "it shows no such page here: see [admin], and listeners with admin = true",
    421: "it does not serve that Host: see [gate] hosts",
}


def refusals(url: str, wanted: str, token: str | None) -> list[dict[str, Any]]:
    """The refusals of the request `wanted`, at least one. `url` is the gate's, without a path. Raises CommandError."""
    try:
        parts = urlsplit(url)
        secure, host, port = parts.scheme == "https", parts.hostname, parts.port
    except ValueError:
        secure, host, port = False, None, None
    if not host or parts.scheme not in ("http", "https") or "@" in parts.netloc or parts.path not in ("", "/"):
        raise CommandError("--url must be the gate's, such as http://127.0.0.1:5985, without a path")
    kind = http.client.HTTPSConnection if secure else http.client.HTTPConnection
    connection = kind(host, port, timeout=_SECONDS)
    fields = {} if token is None else {"Authorization": f"Bearer {credential(token)}"}
    try:
        connection.request("GET", f"/_gate/refusals?id={quote(wanted)}", headers=fields)
        answer = connection.getresponse()
        body = answer.read(_MOST)
    except (OSError, http.client.HTTPException) as error:
        raise CommandError(f"the gate at {url} does not answer: {str(error) or type(error).__name__}") from error
    finally:
        connection.close()
    if answer.status != 200:
        why = _WHY.get(answer.status, "this is no page of couchgate")
        raise CommandError(f"the gate at {url} answers with status {answer.status}; {why}")
    return _entries(body, wanted)


def _entries(body: bytes, wanted: str) -> list[dict[str, Any]]:
    try:
        entries = json.loads(body)["refusals"]
    except (ValueError, TypeError, KeyError, RecursionError):
        raise CommandError("what answers at --url is no gate: it sent no list of refusals") from None
    found = [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []
    if not found:
        raise CommandError(f"the gate does not remember a refusal of the request {wanted}; the access log may have it")
    return found
