"""The raw target is read as CouchDB reads it, or refused."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from couchgate.core.errors import BadRequest, GateError
from couchgate.core.target import Kind, classify, destination

# What COUCHDB's table of kinds says, written once more, as routes. `$db` a legal database, `$doc` a name without `_`
# in front, `$name` any name, `$any` any segment, `$att` one or more segments that make an attachment's name, `$more`
# one or more segments. The prefixes `_design/` and `_local/` are taken apart before.
ROUTES = """
read GET $db                            | write POST $db                        | admin PUT,DELETE $db
read GET $db $doc                       | write PUT,POST,DELETE,COPY $db $doc
read GET $db $doc $att                  | write PUT,POST,DELETE $db $doc $att
read GET $db _design $name              | design PUT,POST,DELETE,COPY $db _design $name
read GET $db _design $name $att         | design PUT,POST,DELETE $db _design $name $att
read GET,PUT,DELETE $db _local $name
read GET,POST $db _all_docs             | read POST $db _all_docs queries
read GET,POST $db _design_docs          | read POST $db _design_docs queries
read GET,POST $db _changes              | read POST $db _bulk_get
read POST $db _revs_diff                | read POST $db _missing_revs           | read POST $db _find
read GET,POST $db _design $name _view $any   | read POST $db _design $name _view $any queries
read GET,POST $db _design $name _search $any | read GET,POST $db _design $name _nouveau $any
read GET,POST $db _partition $doc _all_docs  | read POST $db _partition $doc _all_docs queries
read POST $db _partition $doc _find          | design POST $db _partition $doc _explain
read GET,POST $db _partition $doc _design $name _view $any
read POST $db _partition $doc _design $name _view $any queries
read GET,POST $db _partition $doc _design $name _search $any
read GET,POST $db _partition $doc _design $name _nouveau $any
write POST $db _bulk_docs               | write POST $db _ensure_full_commit
read GET $db _index                     | design POST $db _index                | design POST,DELETE $db _index $more
design POST $db _explain                | design GET $db _design $name _info
design GET,POST $db _design $name _show $more
design GET,POST $db _design $name _list $more
design GET,POST,PUT $db _design $name _update $more
security GET,PUT $db _security
admin POST $db _compact                 | admin POST $db _compact $any
admin POST $db _view_cleanup            | admin POST $db _search_cleanup        | admin POST $db _nouveau_cleanup
admin POST $db _purge                   | admin GET $db _purged_infos           | admin GET,PUT $db _purged_infos_limit
admin GET,PUT $db _auto_purge           | read GET $db _revs_limit              | admin PUT $db _revs_limit
admin GET $db _shards                   | admin GET $db _shards $any            | admin GET,DELETE $db _time_seq
admin GET,POST $db _local_docs          | admin POST $db _local_docs queries
"""


def _routes():
    for line in re.split(r"[|\n]", ROUTES):
        if line.strip():
            kind, methods, *template = line.split()
            yield kind, methods.split(","), template


def _fits(template, segments):
    for index, part in enumerate(template):
        if part in {"$att", "$more"}:
            rest = b"/".join(segments[index:])
            return bool(rest) and (part == "$more" or (not rest.startswith(b"_") and _utf8(rest)))
        if index == len(segments):
            return False
        segment = segments[index]
        if part == "$doc":
            fits = not segment.startswith(b"_") and _utf8(segment)
        elif part == "$name":
            fits = bool(segment) and _utf8(segment)
        else:
            fits = part in {"$any", "$db"} or part.encode() == segment
        if not fits:
            return False
    return len(template) == len(segments)


def _utf8(value):
    return value == value.decode("utf-8", "ignore").encode()


def oracle_segments(raw, *, plus):
    """CouchDB's path splitting, by COUCHDB's page: split, drop the empty, decode each once."""

    def decode(segment):
        segment = segment.replace(b"+", b" ") if plus else segment
        return re.sub(rb"%(..)", lambda escape: bytes([int(escape[1], 16)]), segment, flags=re.DOTALL)

    return [decode(segment) for segment in raw.split(b"?")[0].split(b"/") if segment]


def oracle(method, segments):
    """The kind and the database of decoded segments, by COUCHDB's table."""
    method = "GET" if method == b"HEAD" else method.decode("latin-1")
    if not segments:
        return ("welcome" if method == "GET" else "never"), None
    if method not in {"GET", "POST", "PUT", "DELETE", "COPY"}:
        return "never", None
    first = segments[0]
    system = first in {b"_users", b"_replicator", b"_global_changes"}
    if not system and (first.startswith(b"_") or first == b"favicon.ico"):
        if first == b"_gate":
            return "gate", None
        if first == b"_session":
            return ("session" if len(segments) == 1 else "never"), None
        return ("never" if method == "COPY" else "server"), None
    if not system and (first.startswith(b"shards/") or not re.fullmatch(rb"[a-z][a-z0-9_$()+/-]*", first)):
        return "never", None
    inner = list(segments)
    if len(inner) > 1:
        for prefix in (b"_design/", b"_local/"):
            if inner[1].startswith(prefix):
                inner[1:2] = [prefix[:-1], inner[1][len(prefix) :]]
    for kind, methods, template in _routes():
        if method in methods and _fits(template, inner):
            return kind, first.decode()
    return "never", None


WORDS = sorted({word.encode() for word in ROUTES.split() if word.startswith("_") or word == "queries"})
SEGMENT = st.one_of(
    st.sampled_from([b"db", b"a/b", b"a+b", b"x", b"doc", b"..", b".", b"a.txt", b"caf\xc3\xa9", b"\xff", b"T:1"]),
    st.sampled_from(WORDS),
    st.sampled_from([b"_design/x", b"_design/", b"_local/x", b"_local/", b"_design/_view", b"_all_docs/queries"]),
    st.sampled_from([b"_users", b"_session", b"_gate", b"_up", b"_rewrite", b"_temp_view", b"_sync_shards", b"_x"]),
    st.sampled_from([b"favicon.ico", b"DB", b"shards/00000000-ffffffff/db", b"+db", b"_+", b" "]),
    st.binary(min_size=1, max_size=4).filter(lambda value: not any(byte < 32 or byte == 127 for byte in value)),
)
NAME = st.one_of(st.sampled_from([b"x", b"_x", b"a/b", b"a+b", b"_view", b"caf\xc3\xa9", b"queries", b"\xff"]), SEGMENT)
HOLES = {"$db": st.sampled_from([b"db", b"db", b"a/b", b"a+b", b"_users"])}
TEMPLATES = [
    [part.encode() if part[0] != "$" else HOLES.get(part, NAME) for part in template] for _, _, template in _routes()
]
METHOD = st.sampled_from([b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"COPY", b"OPTIONS", b"TRACE", b"get", b"MOVE"])


@st.composite
def raw_targets(draw):
    """A target of interesting segments, each byte as it is or escaped."""
    raw = b""
    # Either any segments, or those of a route, one of them perhaps replaced or added.
    segments = draw(st.one_of(st.lists(SEGMENT, max_size=7), st.sampled_from(TEMPLATES)))
    chosen = [segment if isinstance(segment, bytes) else draw(segment) for segment in segments]
    if chosen and draw(st.booleans()):
        at = draw(st.integers(0, len(chosen)))
        chosen[at : at + draw(st.integers(0, 1))] = [draw(SEGMENT)]
    for segment in chosen:
        raw += draw(st.sampled_from([b"/", b"//"]))
        escaped = draw(st.sampled_from([0, 0, 0, 1, 2]))
        for byte in segment:
            plain = 0x21 <= byte <= 0x7E and byte not in b"/%?#"
            if plain and not (escaped == 1 or (escaped == 2 and draw(st.booleans()))):
                raw += bytes([byte])
            else:
                raw += draw(st.sampled_from([b"%%%02X", b"%%%02x"])) % byte
    return (raw or b"/") + draw(st.sampled_from([b"", b"", b"/", b"?", b"?x=/_users", b"?a%zz"]))


@given(METHOD, raw_targets())
@example(b"GET", b"/a+b/doc")
@example(b"PUT", b"/db/_design%2Fx/att")
@example(b"GET", b"/db/_partition/%80/_all_docs")
def test_every_decision_is_what_couchdb_would_read_with_plus_either_way(method, raw):
    """A kind and a database are decided only where CouchDB reads the same, whatever it takes `+` for."""
    segments = [oracle_segments(raw, plus=plus) for plus in (False, True)]
    if segments[0] and not _utf8(segments[0][0]):
        with pytest.raises(BadRequest):
            classify(method, raw)
        return
    readings = {oracle(method, reading) for reading in segments}
    target = classify(method, raw)
    kind, database = readings.pop() if len(readings) == 1 else ("never", None)
    assert target.kind == kind
    assert list(target.segments) == segments[0]
    if kind != "never":
        assert target.database == database


@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"COPY", b"OPTIONS"])
def test_every_route_of_the_table_has_its_kind_for_every_method(method):
    """Each endpoint of the table, and each lengthened by a segment, has the table's kind for each method."""
    for _, _, template in _routes():
        route = "/".join("db" if part == "$db" else "x" if part[0] == "$" else part for part in template)
        for path in (f"/{route}", f"/{route}/y", f"/{route}/_y", f"/{route}/queries"):
            raw = path.encode()
            assert (raw, classify(method, raw).kind) == (raw, oracle(method, oracle_segments(raw, plus=False))[0])


@given(st.binary(max_size=12), st.binary(max_size=40).map(lambda tail: b"/" + tail))
@example(b"GET", b"/%")
@example(b"GET", b"/db/%ff%")
def test_arbitrary_bytes_are_classified_or_refused(method, raw):
    """Whatever bytes come as method and target, nothing but a GateError is raised."""
    try:
        target = classify(method, raw)
    except GateError:
        return
    assert target.kind == Kind.NEVER or method in {b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"COPY"}


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"*",
        b"db/doc",
        b"http://gate.example/_users",
        b"gate.example:443",
        b"/db#/_users",
        b"/db?x#y",
        b"/a b",
        b"/a\x7fb",
        b"/\xc3\xa9",
        b"/a\r\nb",
        b"/db/%zz",
        b"/db/%2",
        b"/db/%",
        b"/db/doc%00",
        b"/db/doc%0a",
        b"/db/doc%7F",
        b"/%ff/doc",
    ],
)
def test_what_cannot_be_read_is_refused(raw):
    """Another form than a path, foreign bytes, broken escapes and control characters are a 400."""
    with pytest.raises(BadRequest):
        classify(b"GET", raw)


@pytest.mark.parametrize(
    ("method", "raw", "kind", "endpoint"),
    [
        (b"GET", b"/", "welcome", "root"),
        (b"HEAD", b"//?x", "welcome", "root"),
        (b"POST", b"/", "never", "root"),
        (b"POST", b"/%5fsession/", "session", "_session"),
        (b"GET", b"/_session/x", "never", "_session"),
        (b"GET", b"/_gate/metrics", "gate", "_gate"),
        (b"GET", b"//_all%5Fdbs/", "server", "server:_all_dbs"),
        (b"GET", b"/favicon.ico", "server", "server:favicon.ico"),
        (b"GET", b"/_no_such_word", "server", "server:other"),
        (b"COPY", b"/_node/_local", "never", "server:_node"),
        (b"GET", b"/%5Fusers/_all_docs", "read", "_all_docs"),
        (b"GET", b"/_users%20/_all_docs", "server", "server:other"),
        (b"GET", b"/_USERS/_all_docs", "server", "server:other"),
        (b"GET", b"/.%2e/_users", "never", "unknown"),
        (b"GET", b"/shards%2F00000000-ffffffff%2F_users/doc", "never", "unknown"),
        (b"GET", b"/db/../_users", "never", "unknown"),
        (b"GET", b"/db/..", "read", "document"),
        (b"GET", b"/db/..%2f_users", "read", "document"),
        (b"GET", b"/db/doc%ff", "never", "unknown"),
        (b"GET", b"/db/doc/%ff", "never", "unknown"),
        (b"GET", b"/db/_design/%ff/_info", "never", "unknown"),
        (b"GET", b"/db/_changes?feed=longpoll", "read", "_changes"),
        (b"GET", b"/db/_changes/x", "never", "unknown"),
        (b"DELETE", b"/db/_changes", "never", "unknown"),
        (b"POST", b"/db/_find/x", "never", "unknown"),
        (b"PUT", b"/db/_bulk_docs", "never", "unknown"),
        (b"GET", b"/db/_design/x/_rewrite/../../_users", "never", "unknown"),
        (b"GET", b"/db/_design/x/_view", "never", "unknown"),
        (b"GET", b"/db/_design/x/_view/v/w", "never", "unknown"),
        (b"GET", b"/db/_design", "never", "unknown"),
        (b"PUT", b"/db/_design%2F", "never", "unknown"),
        (b"PUT", b"/db/_local/x/att", "never", "attachment"),
        (b"COPY", b"/db/_local/x", "never", "_local"),
        (b"GET", b"/db/_local", "never", "unknown"),
        (b"GET", b"/db/_design/x/_info", "design", "_info"),
        (b"PUT", b"/db/_design/x/_update/f/doc", "design", "_update"),
        (b"POST", b"/db/_design/x/_view/v/queries", "read", "_view"),
        (b"GET", b"/db/_design/x/_search/i", "read", "_search"),
        (b"DELETE", b"/db/_index/_design/x/json/i", "design", "_index"),
        (b"POST", b"/db/_all_docs/queries", "read", "_all_docs"),
        (b"POST", b"/db/_compact/x", "admin", "_compact"),
        (b"GET", b"/db/_partition/p/_all_docs", "read", "_all_docs"),
        (b"GET", b"/db/_partition/p/_design/x/_view/v", "read", "_view"),
        (b"GET", b"/db/_partition/p/_index", "never", "unknown"),
        (b"GET", b"/db/_partition/p", "never", "unknown"),
        (b"GET", b"/db/_partition/_p/_all_docs", "never", "unknown"),
        (b"POST", b"/db/_partition/p/_design/x/_update/f", "never", "unknown"),
        (b"PUT", b"/db/_partition/p/_design/x", "never", "unknown"),
        (b"OPTIONS", b"/db/doc", "never", "unknown"),
        (b"TRACE", b"/db/doc", "never", "unknown"),
        (b"CONNECT", b"/db/doc", "never", "unknown"),
        (b"get", b"/db/doc", "never", "unknown"),
    ],
)
def test_kinds_at_the_edges(method, raw, kind, endpoint):
    """Disguised, lengthened and unknown targets get the kind that their canonical form has."""
    target = classify(method, raw)
    assert (target.kind, target.endpoint) == (kind, endpoint)


@pytest.mark.parametrize(
    ("raw", "database", "document", "attachment"),
    [
        (b"/a%2Fb/c%2fd/e/f%2Fg.txt", "a/b", "c/d", "e/f/g.txt"),
        (b"/db/_design%2Fx/a.html", "db", "_design/x", "a.html"),
        (b"/db/_design/x%2Fy", "db", "_design/x/y", None),
        (b"/db/_local/abc%3D%3D", "db", "_local/abc==", None),
        (b"/db/_local%2Fabc", "db", "_local/abc", None),
        (b"/db/caf%C3%A9+%2B", "db", "café++", None),
        (b"/a%2Bb", "a+b", None, None),
        (b"/db/_design/x/_view/v", "db", "_design/x", None),
    ],
)
def test_names_are_decoded_once(raw, database, document, attachment):
    """Database, document and attachment are the decoded names with their slashes."""
    target = classify(b"GET", raw)
    assert (target.database, target.document, target.attachment) == (database, document, attachment)


def test_marks_of_what_needs_more_than_a_rule():
    """Feeds, bodies to be judged and copies are marked, and nothing else is."""
    marked = {
        (method, raw): (target.feed, target.judged, target.copies)
        for method in (b"GET", b"HEAD", b"POST", b"PUT", b"COPY")
        for raw in (b"/db", b"/db/_changes", b"/db/_bulk_docs", b"/db/doc", b"/db/_design/x", b"/db/_local/x")
        if any((target := classify(method, raw))[6:])
    }
    assert marked == {
        (b"GET", b"/db/_changes"): (True, False, False),
        (b"POST", b"/db/_changes"): (True, False, False),
        (b"POST", b"/db"): (False, True, False),
        (b"POST", b"/db/_bulk_docs"): (False, True, False),
        (b"COPY", b"/db/doc"): (False, False, True),
        (b"COPY", b"/db/_design/x"): (False, False, True),
    }


def test_a_long_target_is_read_like_a_short_one():
    """A path that is too long to be remembered is classified all the same."""
    target = classify(b"GET", b"/db/" + b"x" * 5000)
    assert (target.kind, target.document) == ("read", "x" * 5000)


@pytest.mark.parametrize(
    ("value", "kind", "document"),
    [
        (b"d2", "write", "d2"),
        (b"d2?rev=3-0f", "write", "d2"),
        (b"a/b", "write", "a/b"),
        (b"a%2Fb", "write", "a/b"),
        (b"+_design/x", "write", "+_design/x"),
        (b"urn%3A%2F%2Fx", "write", "urn://x"),
        (b"_design/x", "design", "_design/x"),
        (b"_design%2Fx?rev=1-a", "design", "_design/x"),
        (b"%5Fdesign%2fx", "design", "_design/x"),
        (b"_design/", "never", None),
        (b"_design", "never", None),
        (b"_local/x", "never", None),
        (b"_local%2Fx", "never", None),
        (b"_users", "never", None),
        (b"%ff", "never", None),
    ],
)
def test_the_destination_of_a_copy_has_a_kind(value, kind, document):
    """COPY writes a document, or a design document however it is spelled, and no other id with `_`."""
    target = destination("db", value)
    assert (target.kind, target.database, target.document) == (kind, "db", document)


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"?rev=1-a",
        b"/db/d2",
        b"http://gate.example/db/d2",
        b"HTTPS://x",
        b"file:///x",
        b"d2?rev=",
        b"d2?rev=1-a&x=_design",
        b"d2?x=1-a",
        b"d2?rev=1-a?rev=2-b",
        b"d 2",
        b"d2#x",
        b"d\xc3\xa9",
        b"d%zz",
        b"d%00",
    ],
)
def test_an_odd_destination_is_refused(value):
    """A Destination that is not one relative, escaped id with at most a revision is a 400."""
    with pytest.raises(BadRequest):
        destination("db", value)


@given(st.one_of(st.binary(max_size=30), SEGMENT.map(lambda name: re.sub(rb"[^!-~]|#|\?", b"%C3%A9", name))))
def test_any_destination_is_decided_as_couchdb_reads_it_either_way(value):
    """A Destination that is not refused is a design document exactly if CouchDB would write one."""
    try:
        target = destination("db", value)
    except GateError:
        return
    for plus in (False, True):
        raw = value.split(b"?")[0].replace(b"+", b" ") if plus else value.split(b"?")[0]
        name = re.sub(rb"%(..)", lambda escape: bytes([int(escape[1], 16)]), raw)
        assert (target.kind == "design") == (name.startswith(b"_design/") and target.kind != "never")
        assert (target.kind == "write") == (not name.startswith(b"_") and _utf8(name))
