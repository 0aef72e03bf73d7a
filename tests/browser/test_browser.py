"""PouchDB 9 in Chromium, on a page of another origin, through the running gate in each of its modes."""

import base64
import uuid

import pytest

from tests.browser.chromium import BrowserError
from tests.web.sockets import eventually

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

# What there is to see of an outage: an open feed is cut, and everything else is refused.
OUTAGE = r"responded with a status of 50[234] |net::ERR_CONNECTION_RESET \S+/_changes\?"
REFUSED = r"responded with a status of 401 "


def equal(page, database, *names):
    """How much the page and the databases hold, once what the page wrote has arrived; they hold the same."""
    last = f"last/{uuid.uuid4()}"
    revs = [page.call("put", name, {"_id": last}) for name in names]
    for name, rev in zip(names, revs, strict=True):
        database.wait_for(name, last, rev)
    here = page.call("snapshot", *names)
    assert here == database.snapshot(*names)
    return [here[name]["counts"] for name in names]


def test_live_sync_leaves_the_page_and_the_database_equal(page, gate, database):
    """Documents with conflicts, deletions and attachments go up, others come down, each while the sync is open."""
    name = database.create()
    page.call("fill", name, 62)
    page.call("sync", name)
    text = {"content_type": "text/plain", "data": base64.b64encode(b"text" * 5000).decode()}
    for n in range(4):
        document = {"_id": f"outside/{n} ä", "n": n, "_attachments": {"a/b ö%2F.txt": text}}
        rev = database.put(name, document)
        page.call("arrived", name, document["_id"], rev)
        rev = page.call("put", name, {"_id": document["_id"], "_rev": rev, "n": -n})
        database.wait_for(name, document["_id"], rev)
    page.call("remove", name, "outside/3 ä")
    rev = database.put(name, {"_id": "big", "_attachments": {"100% + ü": text, "plain": text}})
    page.call("arrived", name, "big", rev)

    assert equal(page, database, name) == [
        {"documents": 68, "leaves": 70, "conflicts": 2, "deleted": 3, "attachments": 32}
    ]
    for attachment in ("100% + ü", "plain"):
        here, there = page.call("attachment", name, "big", attachment)
        assert here == there
    seen = {(line["method"], line["endpoint"]) for line in gate.access()}
    assert {("POST", "_bulk_get"), ("POST", "_bulk_docs"), ("OPTIONS", "preflight"), ("GET", "attachment")} <= seen
    assert page.call("seen")["trouble"] == []
    assert page.call("seen")["failed"] == page.call("seen")["refused"] == 0


def test_an_expired_token_is_renewed_in_the_middle_of_a_sync(page, gate, database, origin):
    """The feed of an expired token ends in order, the app reads the 401, takes a new token, and loses nothing."""
    name = database.create()
    page.expected.append(REFUSED)
    origin.token = lambda: gate.minter.token(expires_in=2)
    page.call("begin", gate.url)
    page.call("sync", name)
    for n in range(2):
        before = page.call("seen")["refused"]
        rev = database.put(name, {"_id": f"outside/{n}"})
        page.call("arrived", name, f"outside/{n}", rev)
        page.call("refused", before + 1)
        page.call("put", name, {"_id": f"inside/{n}"})

    assert equal(page, database, name)[0]["documents"] == 5
    seen = page.call("seen")
    assert (seen["trouble"], seen["failed"]) == ([], 0)


def test_a_database_that_is_killed_and_comes_back_is_synced_again(page, gate, database):
    """While there is no database the page gets answers that it can read; once it is back nothing is missing."""
    name = database.create()
    page.expected.append(OUTAGE)
    page.call("fill", name, 20)
    page.call("sync", name)
    equal(page, database, name)
    before, requests = len(gate.access()), page.call("seen")["requests"]

    database.kill()
    rev = page.call("put", name, {"_id": "inside"})
    database.put(name, {"_id": "outside"})
    page.call("requested", requests + 4)
    database.come_back()

    database.wait_for(name, "inside", rev)
    rev = database.put(name, {"_id": "later"})
    page.call("arrived", name, "later", rev)
    assert equal(page, database, name)[0]["documents"] == 25
    assert page.call("seen")["trouble"] == []
    assert any(line["status"] >= 500 for line in gate.access()[before:])


def test_six_databases_are_synced_at_once_over_the_six_connections_of_one_host(page, database):
    """Six open feeds would take every connection that the browser opens; writes get through all the same."""
    names = [database.create() for _ in range(6)]
    for name in names:
        page.call("fill", name, 8)
    page.call("sync", *names)
    revs = [database.put(name, {"_id": "outside"}) for name in names]
    for name, rev in zip(names, revs, strict=True):
        page.call("arrived", name, "outside", rev)

    assert {counts["documents"] for counts in equal(page, database, *names)} == {10}
    assert page.call("seen")["trouble"] == []


def test_a_sync_that_is_cancelled_leaves_nothing_behind(page, gate, database):
    """When the page gives up its feed, the gate lets go of the database at once."""
    name = database.create()
    before = len(gate.access())
    page.call("sync", name)
    equal(page, database, name)

    def given_up():
        return sum(
            line["reason"] == "client_gone" and line["endpoint"] == "_changes" for line in gate.access()[before:]
        )

    assert not given_up()
    page.call("stop", name)
    eventually(given_up)


def test_a_page_reads_answers_and_refusals_and_asks_before_once(page, gate, database):
    """Scripts see the status, the body and the fields they need, of refusals too; one preflight serves for an URL."""
    name = database.create()
    database.put(name, {"_id": "d", "_attachments": {"a": {"content_type": "text/html", "data": "YWJj"}}})
    before = len(gate.access())

    document = [page.call("ask", f"/{name}/d") for _ in range(3)][-1]
    attachment = page.call("ask", f"/{name}/d/a")
    head = page.call("ask", f"/{name}/d/a", {"method": "HEAD"})
    refused = page.call("ask", f"/{name}/d", {"headers": {"Authorization": "Bearer x.y.z"}})
    page.expected.append(REFUSED)

    assert (document["status"], "etag" in document["headers"]) == (200, True)
    assert (attachment["status"], attachment["body"]) == (200, "abc")
    assert attachment["headers"]["content-type"] == "text/html"
    assert (head["status"], head["body"]) == (200, "")
    assert (refused["status"], '"unauthorized"' in refused["body"]) == (401, True)
    assert refused["headers"]["www-authenticate"].startswith("Bearer")
    lines = eventually(lambda: len(lines := gate.access()[before:]) == 8 and lines)
    asked = [line["endpoint"] for line in lines]
    assert (asked.count("preflight"), asked.count("document"), asked.count("attachment")) == (2, 4, 2)


@pytest.mark.parametrize("way", ["ask", "askSandboxed"])
def test_a_page_of_another_origin_reads_nothing(browser, gate, database, stranger, origin, way):
    """An origin that the settings do not name, or `null`, is told by the browser's console, and reaches no database."""
    stranger.token = origin.token = gate.minter.token
    page = browser.page(f"{(stranger if way == 'ask' else origin).url}/")
    page.call("begin", gate.url)
    before = len(gate.access())

    with pytest.raises(BrowserError, match="Failed to fetch"):
        page.call(way, "/")

    if way == "ask":  # a frame without an origin has a console of its own
        eventually(lambda: any("blocked by CORS policy" in line for line in page.console))
    eventually(lambda: len(gate.access()) > before)
    assert [line["reason"] for line in gate.access()[before:]] == ["preflight_refused"]
    page.close()
