"""A request as a person writes it (a method, a URL, a few fields), made into the bytes that a client would send."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote, urlsplit

from couchgate.commands import CommandError

_VISIBLE = "".join(map(chr, range(0x21, 0x7F)))
_FIELD = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+)[ \t]*:[ \t]*(.*)", re.DOTALL)
_MOST_TOKEN = 1 << 20
_UNFIT = re.compile(r"[\x00-\x08\x0a-\x1f\x7f\ud800-\udfff]")  # and bytes of a command line that are no text


class Written(NamedTuple):
    """The bytes of the head, and whether the client speaks TLS."""

    head: bytes
    secure: bool


def written(method: str, url: str, fields: Sequence[str], token: str | None) -> Written:
    """The head of a request. `url` is a whole URL, or a path, which is then asked of `localhost`.

    What is not ASCII in the URL is percent-encoded, as browsers do it. `fields` are "Name: value". Raises CommandError.
    """
    if _UNFIT.search(method + url) or " " in method or not method:
        raise CommandError("METHOD and URL must be such as: GET https://gate.example.com/notes/_changes")
    host, secure, target = "localhost", False, url
    if not url.startswith("/"):
        host, secure, target = _parts(url)
    pairs = [_pair(field) for field in fields]
    if not any(name.lower() == "host" for name, _ in pairs):
        pairs.insert(0, ("Host", host))
    if token is not None:
        pairs.append(("Authorization", f"Bearer {credential(token)}"))
    lines = [f"{method} {quote(target, safe=_VISIBLE)} HTTP/1.1", *(f"{name}: {value}" for name, value in pairs)]
    return Written("\r\n".join([*lines, "", ""]).encode(), secure)


def _parts(url: str) -> tuple[str, bool, str]:
    try:
        parts = urlsplit(url)
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in ("http", "https") or not parts.netloc or "@" in parts.netloc:
        raise CommandError("URL must begin with http://, https:// or /, and hold no user name: tokens go by --token")
    rest = url.partition("://")[2][len(parts.netloc) :].partition("#")[0]  # browsers keep the fragment to themselves
    return parts.netloc, parts.scheme == "https", rest if rest.startswith("/") else f"/{rest}"


def _pair(field: str) -> tuple[str, str]:
    match = _FIELD.fullmatch(field)
    if match is None or _UNFIT.search(match[2]):
        raise CommandError("--header must be such as 'Origin: https://app.example.com', on one line")
    return match[1], match[2]


def credential(token: str) -> str:
    """The one word of `token`, without a "Bearer" before it. Raises CommandError."""
    token = token.strip()
    bare = token[7:].lstrip() if token[:7].lower() == "bearer " else token
    if not bare or not bare.isascii() or _UNFIT.search(bare) or " " in bare:
        raise CommandError("the token must be one word, as the issuer gave it; it is not shown here")
    return bare


def shown_token(args: argparse.Namespace) -> str | None:
    """The token of `--token` or `--token-file`, as it is written there. Raises CommandError."""
    if args.token_file is None:
        token: str | None = args.token
        return token
    try:
        if args.token_file == "-":
            return sys.stdin.read(_MOST_TOKEN)
        with Path(args.token_file).open(encoding="ascii") as file:
            return file.read(_MOST_TOKEN)
    except OSError as error:
        raise CommandError(f"--token-file {args.token_file}: {error.strerror}; it must hold the token") from error
    except UnicodeDecodeError:
        raise CommandError(f"--token-file {args.token_file}: this is no token, which is plain ASCII") from None
