"""PouchDB 9 in Chromium, on a page of another origin, through the running gate in each of its modes."""

import time

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


def test_live_sync_carries_everything_both_ways(page, database, name):
    began = time.monotonic()
    def t(what):
        print(f"{time.monotonic() - began:.2f} {what}")
    page.call("fill", name, 120)
    t("fill")
    page.call("sync", name)
    rev = page.call("put", name, {"_id": "last"})
    t("put")
    for _ in range(200):
        try:
            here, there = page.call("snapshot", name), database.snapshot(name)
        except AssertionError as error:
            print(error)
            time.sleep(.1)
            continue
        if here == there:
            break
    t("equal")
    rev = database.put(name, {"_id": "from outside"})
    t("put outside")
    page.call("arrived", name, "from outside", rev)
    t("arrived")
    print(here["counts"], page.call("seen"))
    print(page.console)
    page.call("stop", name)
    t("stopped")
    assert 0
