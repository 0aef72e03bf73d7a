"""PouchDB 9 itself, through the running gate, in both modes of a listener."""

import signal
import time
import uuid
from functools import partial

import pytest

from couchgate.life.mailbox import Mailbox

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

FULL = {"documents": 2000, "leaves": 2040, "conflicts": 40, "deleted": 50, "attachments": 880}


def name():
    return f"db-{uuid.uuid4().hex[:12]}"


def endpoints(gate):
    return {(line["method"], line["endpoint"]) for line in gate.access()}


def test_two_thousand_documents_go_up_and_come_down_equal(gate, script):
    """2,000 documents with attachments, conflicts and deletions arrive revision by revision, in batches only."""
    result = script("replicate.mjs", gate=gate.url, token=gate.minter.token(), database=name(), documents=2000)

    assert (result["count"], result["found"]) == (0, [])
    assert result["counts"] == FULL
    assert result["push"] == result["pull"] == [2040, 0]
    assert result["again"] == 0
    assert result["attachments"] == {"compared": 39, "equal": True}
    assert (result["refused"], result["failed"]) == (0, 0)
    seen = endpoints(gate)
    assert {("POST", "_bulk_get"), ("POST", "_bulk_docs"), ("POST", "_revs_diff"), ("PUT", "_local")} <= seen
    assert ("GET", "document") not in seen  # what PouchDB does once `_bulk_get` has failed


def test_live_sync_carries_writes_both_ways(gate, script):
    """What one client writes in live sync reaches the other while the feed is open, in both directions."""
    result = script("live.mjs", gate=gate.url, token=gate.minter.token(), database=name())

    assert (result["count"], result["trouble"]) == (0, [])
    assert result["counts"]["documents"] == 11
    assert (result["refused"], result["failed"]) == (0, 0)


def test_an_expired_token_is_renewed_in_the_middle_of_a_sync(gate, script):
    """When a token expires its feeds end cleanly, a 401 makes the app renew it, and the sync loses nothing."""
    token = partial(gate.minter.token, expires_in=4)

    def refused_feeds():
        return sum(line["status"] == 401 and line["endpoint"] == "_changes" for line in gate.access())

    def quiet():
        before, deadline = refused_feeds(), time.monotonic() + 8
        while refused_feeds() < before + 2:
            assert time.monotonic() < deadline, "the feeds did not end with their token"
            time.sleep(0.05)

    result = script(
        "interrupted.mjs",
        {"token": token, "busy": lambda: None, "quiet": quiet},
        gate=gate.url,
        token=token(),
        database=name(),
        documents=200,
        events=["busy"] * 6 + ["quiet", "busy", "quiet"],
    )

    assert (result["count"], result["lost"], result["trouble"]) == (0, [], [])
    assert result["refused"] > 0
    assert result["failed"] == 0  # PouchDB 9 may lose changes when a feed is cut off instead of ended
    refusals = {line["reason"] for line in gate.access() if line["status"] == 401}
    assert refusals == {"token_expired"}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=["ended", "killed"])
def test_a_restart_of_the_gate_in_the_middle_of_a_sync_loses_nothing(gate, script, number):
    """The gate ends or is killed and starts again while two clients write: all sides are equal afterwards."""

    def restart():
        status = gate.end(number)
        gate.start()
        return status

    token = gate.minter.token()
    result = script(
        "interrupted.mjs",
        {"restart": restart},
        gate=gate.url,
        token=token,
        database=name(),
        documents=300,
        events=["restart", "restart"],
    )

    assert result["events"] == [-number] * 2
    assert (result["count"], result["lost"], result["trouble"]) == (0, [], [])
    assert result["refused"] == 0


def test_six_databases_sync_live_at_once(gate, script):
    """An app with six databases, each synced live by two clients, ends equal in all of them."""
    databases = [name() for _ in range(6)]
    result = script("six.mjs", gate=gate.url, token=gate.minter.token(), databases=databases, documents=50)

    assert [result["results"][database]["count"] for database in databases] == [0] * 6
    assert {result["results"][database]["counts"]["documents"] for database in databases} == {51}
    assert (result["trouble"], result["refused"], result["failed"]) == ([], 0, 0)


def test_queries_views_and_attachments_answer_as_couchdb_does(gate, script):
    """`_find`, views, keys, `_bulk_get`, attachments, 404 and 409 reach an app as the database said them."""
    result = script("query.mjs", gate=gate.url, token=gate.minter.token(), database=name())

    assert result["found"] == ["d/11", "d/13", "d/15", "d/17", "d/19"]
    assert result["view"] == [["even", 600], ["odd", 625]]
    assert result["keys"] == [1, "not_found"]
    assert result["bulk"] == [7, 8]
    assert result["attachment"] == [0, 1, 2, 255]
    assert result["left"] == []
    assert result["conflict"] == [409, "conflict"]
    assert result["missing"] == [404, "not_found", "missing"]
    assert result["documents"] == 52
    assert {("POST", "_find"), ("POST", "_index"), ("POST", "_bulk_get"), ("GET", "_view")} <= endpoints(gate)


def test_live_sync_goes_on_over_reloads_until_its_rule_is_taken_away(gate, script):
    """Reloads that leave a person's rights alone are not felt, also where decisions are remade; when the rule is gone,
    PouchDB's sync ends with `forbidden`.
    """
    settings = gate.directory / "couchgate.toml"
    text = settings.read_text()
    mailbox = Mailbox(gate.directory / "state", settings)
    hosts = iter(range(100))

    def reload(changed):
        settings.write_text(changed)
        nonce = mailbox.put()
        deadline = time.monotonic() + 20
        while (outcome := mailbox.outcome(nonce)) is None:
            assert time.monotonic() < deadline, gate.log()
            time.sleep(0.02)
        return outcome[0]

    result = script(
        "reloaded.mjs",
        {
            "keep": lambda: reload(text.replace("drain_seconds", f"hosts = ['h{next(hosts)}.example']\ndrain_seconds")),
            "close": lambda: reload(text.replace('databases = ["*"]', 'databases = ["other"]')),
        },
        gate=gate.url,
        token=gate.minter.token(),
        database=name(),
    )

    assert result["reloads"] == [True] * 6
    assert (result["before"], result["trouble"], result["failed"]) == (None, [], 0)
    assert result["ended"]["status"] == 403
    assert "forbidden" in result["ended"].values()
