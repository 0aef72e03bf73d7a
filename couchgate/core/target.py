"""The raw request target, classified as CouchDB would read it.

CouchDB (`chttpd:handle_request_int`) takes the raw target up to `?`, splits it on `/`, drops what is empty and
percent-decodes each segment once. Dots stay: `..` is a document like any other. The gate decides on that form and
forwards the client's bytes, so what is read here must be what CouchDB reads, or the answer is `never`.

- `+` is a space or a plus, as CouchDB is configured. No word below holds either, so a `+` cannot change a kind; but
  `a+b` would be two databases, and is `never`. `a%2Bb` says which one is meant. In `document`, `attachment` and
  `segments` a `+` is left as it came.
- `a%2Fb` in the first place is one database. In the second, `_design%2Fx` and `_local%2Fx` are the design and the
  local document. An attachment's name is everything after the document.
- `_users`, `_replicator` and `_global_changes` are databases with the usual kinds; `policy` gives them to a rule only
  that spells the name. Every other word with `_` in the first place is the server's, and so is `favicon.ico`.
- `shards/…` is `never`: CouchDB strips such a name in places (`mem3:dbname`) and means the database behind it.
- A document or attachment whose name begins with `_` and that is not in the table of kinds is `never`, and so are
  names that are not UTF-8: CouchDB stores neither. `HEAD` is `GET`; a method that an endpoint does not have, and any
  method but GET, HEAD, POST, PUT, DELETE and COPY, is `never`.
- Some endpoints of CouchDB ignore further segments (`_find/x` finds): here they are `never`.

Only what cannot be read at all raises: anything but a path, bytes that no target holds, `#`, a broken escape, an
escaped control character, a database name that is not UTF-8.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple
from urllib.parse import unquote_to_bytes

from couchgate.core import kinds
from couchgate.core.errors import BadRequest
from couchgate.core.kinds import Kind
from couchgate.core.memo import Memo

__all__ = ["SYSTEM_DATABASES", "Kind", "Target", "classify", "destination"]


class Target(NamedTuple):
    """A request target as the gate reads it.

    `document` is the id ("_design/x" and "_local/x" with their prefix), `attachment` a name with its slashes; each is
    None where there is none. `segments` are decoded. `endpoint` is one of a few words, for logs and metrics. `feed`: a
    `_changes` answer with a body. `judged`: the body can hold design documents. `copies`: COPY, whose Destination
    must be decided too.
    """

    kind: str
    database: str | None
    document: str | None
    attachment: str | None
    segments: tuple[bytes, ...]
    endpoint: str
    feed: bool = False
    judged: bool = False
    copies: bool = False


SYSTEM_DATABASES: Final = frozenset(("_users", "_replicator", "_global_changes"))

_VISIBLE = bytes(byte for byte in range(0x21, 0x7F) if byte != ord("#"))
_UNREADABLE = "The request target must be a path of visible ASCII, without '#'."
_BROKEN_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_CONTROL_ESCAPE = re.compile(rb"%(?:[01]|7[Ff])")
_LEGAL_DATABASE = re.compile(rb"(?!shards/)[a-z][a-z0-9_$()+/-]*")
_DESTINATION = re.compile(rb'([!"$-.0->@-~][!"$->@-~]*)(?:\?rev=[0-9]+-[0-9A-Za-z]+)?')
_SCHEME = re.compile(rb"[A-Za-z][A-Za-z0-9+.-]*://")

_KEPT: Memo[tuple[bytes, bytes], Target] = Memo(1024)
_KEPT_BYTES = 256  # of a path: it bounds what hostile targets can make the memo hold


def classify(method: bytes, raw: bytes) -> Target:
    """What `raw`, the request target as it was sent, is to CouchDB. Raises BadRequest for what cannot be read."""
    path, _, query = raw.partition(b"?")
    if query and query.translate(None, _VISIBLE):
        raise BadRequest(_UNREADABLE, code="target")
    if method not in kinds.METHODS:
        method = b""  # one stranger is like another
    key = (method, path)
    target = _KEPT[key]
    if target is None:
        if not path.startswith(b"/") or path.translate(None, _VISIBLE):
            raise BadRequest(_UNREADABLE, code="target")
        target = _classify(method, path)
        if len(path) <= _KEPT_BYTES:
            _KEPT.put(key, target)
    return target


def destination(database: str, value: bytes) -> Target:
    """Where a COPY inside `database` writes: `value` is its Destination, a relative id and perhaps `?rev=`.

    CouchDB (`couch_httpd_db:parse_copy_destination_header`) decodes the id once and does not split it. The kind is
    `write`, `design`, or `never` for another id with `_`, `_local/` too. Raises BadRequest for anything else.
    """
    match = _DESTINATION.fullmatch(value)
    if match is None or _SCHEME.match(value):
        raise BadRequest("The Destination must be a relative, percent-encoded document id.", code="destination")
    _check_escapes(match[1])
    name = unquote_to_bytes(match[1])
    segments = (database.encode(), name)
    text = _text(name)
    if text is None:
        return _never(segments, database)
    if name.startswith(b"_"):
        if name.startswith(b"_design/") and name != b"_design/":
            return Target(Kind.DESIGN, database, text, None, segments, "_design")
        return _never(segments, database)
    return Target(Kind.WRITE, database, text, None, segments, "document")


def _check_escapes(raw: bytes) -> None:
    if _BROKEN_ESCAPE.search(raw):
        raise BadRequest("A percent-escape is broken.", code="target_escape")
    if _CONTROL_ESCAPE.search(raw):
        raise BadRequest("A control character is escaped.", code="target_control")


def _text(name: bytes) -> str | None:
    try:
        return name.decode()
    except UnicodeDecodeError:
        return None


def _never(segments: tuple[bytes, ...], database: str | None = None) -> Target:
    return Target(Kind.NEVER, database, None, None, segments, "unknown")


def _kind(methods: kinds.Methods, method: bytes) -> str:
    return methods.get(kinds.GET if method == b"HEAD" else method, Kind.NEVER)


def _classify(method: bytes, path: bytes) -> Target:
    raw = [segment for segment in path.split(b"/") if segment]
    segments = tuple(raw)
    if b"%" in path:
        _check_escapes(path)
        segments = tuple(map(unquote_to_bytes, raw))
    if not segments:
        kind = _kind(kinds.WELCOME, method)
        return Target(kind, None, None, None, segments, "root")
    first = segments[0]
    name = _text(first)
    if name is None:
        raise BadRequest("The database name is not UTF-8.", code="target_encoding")
    if not method:
        return _never(segments)
    if name in SYSTEM_DATABASES:
        return _Inside(method, name, segments).classify()
    if first.startswith(b"_") or first == b"favicon.ico":
        return _outside(method, segments)
    if _LEGAL_DATABASE.fullmatch(first) is None or b"+" in raw[0]:
        return _never(segments)
    return _Inside(method, name, segments).classify()


def _outside(method: bytes, segments: tuple[bytes, ...]) -> Target:
    word = segments[0]
    if word == b"_gate":
        return Target(Kind.GATE, None, None, None, segments, "_gate")
    if word == b"_session":
        # CouchDB opens a session under /_session/anything too: no `server` rule may reach that.
        kind = Kind.SESSION if len(segments) == 1 else Kind.NEVER
        return Target(kind, None, None, None, segments, "_session")
    kind = Kind.NEVER if method == kinds.COPY else Kind.SERVER
    known = word.decode() if word in kinds.SERVER_WORDS else "other"
    return Target(kind, None, None, None, segments, "server:" + known)


class _Inside(NamedTuple):
    """A request for something in a database."""

    method: bytes
    database: str
    segments: tuple[bytes, ...]

    def classify(self) -> Target:
        if len(self.segments) == 1:
            kind = _kind(kinds.DATABASE, self.method)
            judged = self.method == kinds.POST
            return Target(kind, self.database, None, None, self.segments, "database", judged=judged)
        word = self.segments[1]
        if not word.startswith(b"_"):
            return self.document(b"", word, self.segments[2:])
        # One segment may hold the prefix and the name: `_design%2Fx`.
        prefix, slash, name = word.partition(b"/")
        tail = (name, *self.segments[2:]) if slash else self.segments[2:]
        if prefix == b"_design":
            return self.design(tail)
        if prefix == b"_local":
            return self.document(b"_local", tail[0], tail[1:]) if tail else self.never()
        if word == b"_partition":
            return self.partition()
        return self.endpoint(self.segments[1:], kinds.ENDPOINTS)

    def never(self) -> Target:
        return _never(self.segments, self.database)

    def document(self, prefix: bytes, name: bytes, parts: tuple[bytes, ...]) -> Target:
        """A document, or with `parts` its attachment. `prefix` is empty, `_design` or `_local`."""
        document = _text(name)
        attachment = _text(b"/".join(parts))
        if not document or attachment is None or attachment.startswith("_"):
            return self.never()
        endpoint = "document"
        if prefix:
            endpoint = prefix.decode()
            document = f"{endpoint}/{document}"
        if attachment:
            kind = _kind(kinds.ATTACHMENTS[prefix], self.method)
            return Target(kind, self.database, document, attachment, self.segments, "attachment")
        kind = _kind(kinds.DOCUMENTS[prefix], self.method)
        copies = self.method == kinds.COPY and kind != Kind.NEVER
        return Target(kind, self.database, document, None, self.segments, endpoint, copies=copies)

    def design(self, tail: tuple[bytes, ...]) -> Target:
        """`tail` is what follows `_design`: a name, and perhaps a word and its arguments, or an attachment."""
        if not tail:
            return self.never()
        if len(tail) == 1 or not tail[1].startswith(b"_"):
            return self.document(b"_design", tail[0], tail[1:])
        name = _text(tail[0])
        word, *arguments = tail[1:]
        methods = kinds.NOTHING
        if not arguments:
            methods = kinds.DESIGN_INFO if word == b"_info" else kinds.NOTHING
        elif word in kinds.FUNCTIONS:
            methods = kinds.FUNCTIONS[word]
        elif len(arguments) == 1:
            methods = kinds.VIEWS.get(word, kinds.NOTHING)
        elif word == b"_view" and arguments[1:] == [b"queries"]:
            methods = kinds.ASKS
        kind = _kind(methods, self.method)
        if not name or kind == Kind.NEVER:
            return self.never()
        return Target(kind, self.database, "_design/" + name, None, self.segments, word.decode())

    def partition(self) -> Target:
        parts = self.segments[2:]
        if len(parts) < 2 or parts[0].startswith(b"_") or _text(parts[0]) is None:
            return self.never()
        if parts[1] == b"_design":
            target = self.design(parts[2:])
            # Under a partition CouchDB has no design documents; of their words only the queries are in the table.
            return target if target.endpoint.encode() in kinds.VIEWS else self.never()
        return self.endpoint(parts[1:], kinds.PARTITIONED)

    def endpoint(self, parts: tuple[bytes, ...], table: dict[bytes, kinds.Methods]) -> Target:
        word, *arguments = parts
        methods = table.get(word, kinds.NOTHING)
        if methods and arguments:
            if word == b"_index":
                methods = kinds.INDEX_PARTS
            elif arguments == [b"queries"] and word in kinds.MULTIPLE:
                methods = kinds.MULTIPLE[word]
            else:
                methods = kinds.OF_ONE.get(word, kinds.NOTHING) if len(arguments) == 1 else kinds.NOTHING
        kind = _kind(methods, self.method)
        if kind == Kind.NEVER:
            return self.never()
        return Target(
            kind,
            self.database,
            None,
            None,
            self.segments,
            word.decode(),
            feed=word == b"_changes" and self.method != b"HEAD",
            judged=word == b"_bulk_docs",
        )
