"""The table of kinds: what each of CouchDB's endpoints is to a rule, by method. Data only; `target` reads it.

A table maps methods to a kind. `HEAD` is `GET` and is not written; a method that is not in a table is `never`, and so
is a word that is in none. Paths are CouchDB 3.5's (chttpd, mango, mem3, dreyfus, nouveau: `*_httpd_handlers.erl`).
"""

from __future__ import annotations

from typing import Final


class Kind:
    """The kinds of target: the words of a rule's `allow`, and those that no rule speaks of."""

    WELCOME: Final = "welcome"
    SESSION: Final = "session"
    GATE: Final = "gate"
    READ: Final = "read"
    WRITE: Final = "write"
    DESIGN: Final = "design"
    SECURITY: Final = "security"
    ADMIN: Final = "admin"
    SERVER: Final = "server"
    NEVER: Final = "never"


Methods = dict[bytes, str]


def on(kind: str, *methods: bytes) -> Methods:
    """A table in which each of `methods` is `kind`."""
    return dict.fromkeys(methods, kind)


GET, POST, PUT, DELETE, COPY = b"GET", b"POST", b"PUT", b"DELETE", b"COPY"
METHODS = frozenset((GET, b"HEAD", POST, PUT, DELETE, COPY))
READS = on(Kind.READ, GET)
QUERIES = on(Kind.READ, GET, POST)
ASKS = on(Kind.READ, POST)

WELCOME = on(Kind.WELCOME, GET)
DATABASE = READS | on(Kind.WRITE, POST) | on(Kind.ADMIN, PUT, DELETE)
# By prefix: a document, a design document, a local document (where a read-only pull writes its checkpoint).
DOCUMENTS: dict[bytes, Methods] = {
    b"": READS | on(Kind.WRITE, POST, PUT, DELETE, COPY),
    b"_design": READS | on(Kind.DESIGN, POST, PUT, DELETE, COPY),
    b"_local": on(Kind.READ, GET, PUT, DELETE),
}
ATTACHMENTS: dict[bytes, Methods] = {
    b"": READS | on(Kind.WRITE, POST, PUT, DELETE),
    b"_design": READS | on(Kind.DESIGN, POST, PUT, DELETE),
    b"_local": {},
}

# /{db}/{word}
ENDPOINTS: dict[bytes, Methods] = {
    b"_all_docs": QUERIES,
    b"_design_docs": QUERIES,
    b"_changes": QUERIES,
    b"_bulk_get": ASKS,
    b"_revs_diff": ASKS,
    b"_missing_revs": ASKS,
    b"_find": ASKS,
    b"_bulk_docs": on(Kind.WRITE, POST),
    b"_ensure_full_commit": on(Kind.WRITE, POST),
    b"_index": READS | on(Kind.DESIGN, POST),
    b"_explain": on(Kind.DESIGN, POST),
    b"_security": on(Kind.SECURITY, GET, PUT),
    b"_compact": on(Kind.ADMIN, POST),
    b"_view_cleanup": on(Kind.ADMIN, POST),
    b"_search_cleanup": on(Kind.ADMIN, POST),
    b"_nouveau_cleanup": on(Kind.ADMIN, POST),
    b"_purge": on(Kind.ADMIN, POST),
    b"_purged_infos": on(Kind.ADMIN, GET),
    b"_purged_infos_limit": on(Kind.ADMIN, GET, PUT),
    b"_auto_purge": on(Kind.ADMIN, GET, PUT),
    b"_revs_limit": READS | on(Kind.ADMIN, PUT),
    b"_shards": on(Kind.ADMIN, GET),
    b"_local_docs": on(Kind.ADMIN, GET, POST),
    b"_time_seq": on(Kind.ADMIN, GET, DELETE),
}
# /{db}/{word}/queries
MULTIPLE: dict[bytes, Methods] = {
    b"_all_docs": ASKS,
    b"_design_docs": ASKS,
    b"_local_docs": on(Kind.ADMIN, POST),
}
# /{db}/{word}/{one segment}
OF_ONE: dict[bytes, Methods] = {b"_compact": on(Kind.ADMIN, POST), b"_shards": on(Kind.ADMIN, GET)}
# /{db}/_design/{name}/{word}/{one segment}
VIEWS: dict[bytes, Methods] = {b"_view": QUERIES, b"_search": QUERIES, b"_nouveau": QUERIES}
# /{db}/_design/{name}/{word}/{one or more segments}
FUNCTIONS: dict[bytes, Methods] = {
    b"_show": on(Kind.DESIGN, GET, POST),
    b"_list": on(Kind.DESIGN, GET, POST),
    b"_update": on(Kind.DESIGN, GET, POST, PUT),
}
INDEX_PARTS = on(Kind.DESIGN, POST, DELETE)
DESIGN_INFO = on(Kind.DESIGN, GET)
PARTITIONED: dict[bytes, Methods] = {word: ENDPOINTS[word] for word in (b"_all_docs", b"_find", b"_explain")}
NOTHING: Methods = {}

SERVER_WORDS = frozenset(
    b"_active_tasks _all_dbs _cluster_setup _config _db_updates _dbs_info _log _membership _node _nouveau_analyze"
    b" _prometheus _reload_query_servers _replicate _reshard _restart _scheduler _search_analyze _stats _up _utils"
    b" _uuids favicon.ico".split()
)
