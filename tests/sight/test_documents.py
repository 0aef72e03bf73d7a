"""docs/alerts.yml and docs/grafana.json speak of what a real gate exports; promtool agrees where it is to be had."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.web.live import HELLO, running_gate
from tests.web.sockets import Upstream

ROOT = Path(__file__).parents[2]
ALERTS = ROOT / "docs" / "alerts.yml"
DASHBOARD = json.loads((ROOT / "docs" / "grafana.json").read_text("utf-8"))
SUFFIXES = {"counter": ("_total",), "histogram": ("_bucket", "_count", "_sum")}
FOREIGN = {"instance", "job", "le"}  # of Prometheus' own, and of its histograms
PROMTOOL = shutil.which("promtool")


@pytest.fixture(scope="module")
def page():
    """The metrics page of a gate that has relayed, refused and followed something."""
    upstream = Upstream()
    with running_gate(upstream, admin=True) as gate:
        client = gate.client("GET", "/db/doc")
        peer, _ = upstream.exchange(HELLO)
        client.message()
        gate.client("GET", "/other/doc").message()
        gate.client("POST", "/db/_bulk_get", "Content-Length: 0", token=None).message()
        feed = gate.client("GET", "/db/_changes?feed=continuous")
        peer.message()
        peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n\n\r\n")
        feed.peek()
        peer.reset()
        feed.ending()
        page = gate.client("GET", "/_gate/metrics", token=None).message().body.decode()
    upstream.close()
    return page


def exported(page):
    """The names of all samples that can be, and of all labels that are."""
    families = list(text_string_to_metric_families(page))
    names = {family.name + suffix for family in families for suffix in SUFFIXES.get(family.type, ("",))}
    labels = {label for family in families for sample in family.samples for label in sample.labels}
    return names, labels


def alerts():
    """By alert: its lines after the name."""
    _, *blocks = re.split(r"^      - alert: ", ALERTS.read_text("utf-8"), flags=re.MULTILINE)
    return {block.split("\n", 1)[0]: block.split("\n", 1)[1] for block in blocks}


def expressions():
    """Every expression of both files."""
    for block in alerts().values():
        yield re.search(r"^        expr: (?:\|-\n)?(.*?)(?=^        \w)", block, re.MULTILINE | re.DOTALL)[1]
    for panel in DASHBOARD["panels"]:
        yield from (target["expr"] for target in panel.get("targets", ()))
    yield from (variable["definition"] for variable in DASHBOARD["templating"]["list"] if variable["type"] == "query")


def test_every_metric_and_label_that_is_asked_for_is_exported(page):
    """A renamed metric would leave an alert that never fires."""
    names, labels = exported(page)
    asked = list(expressions())
    assert len(asked) > 30
    for expression in asked:
        bare = re.sub(r'"[^"]*"', '""', expression)
        used = set(re.findall(r"\b(?:couchgate|process)_\w+", bare))
        assert used <= names, expression
        assert used or "up{" in expression
        selected = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)\s*\"", bare))
        grouped = {label.strip() for group in re.findall(r"\bby \(([^)]*)\)", bare) for label in group.split(",")}
        assert selected | grouped <= labels | FOREIGN, expression
        assert bare.count("(") == bare.count(")")
        assert bare.count("{") == bare.count("}")


def test_every_value_that_is_asked_for_can_be():
    """Reasons are codes of the gate's, states those of syncs."""
    sources = "".join(path.read_text("utf-8") for path in (ROOT / "couchgate").rglob("*.py"))
    codes = set(re.findall(r'(?:code=|default_code: ClassVar\[str\] = |default_code = )"(\w+)"', sources))
    for expression in expressions():
        for wanted in re.findall(r'reason=~?"([^"]*)"', expression):
            assert all(any(re.fullmatch(each, code) for code in codes) for each in wanted.split("|")), wanted
        for state in re.findall(r'[{,]state="([^"]*)"', expression):
            assert state in {"live", "denied", "backing_off", "quiet", "idle", "in_use"}


def test_every_alert_says_what_is_wrong_and_what_to_do():
    """A severity, a summary that names the gate or the issuer, a description; the operator's page knows each."""
    operations = (ROOT / "docs" / "operations.md").read_text("utf-8")
    found = alerts()
    assert len(found) == ALERTS.read_text("utf-8").count("alert:")
    for name, block in found.items():
        assert re.search(r"^        labels: \{severity: (critical|warning|info)\}$", block, re.MULTILINE), name
        summary = re.search(r'^          summary: "(.*)"$', block, re.MULTILINE)[1]
        assert "$labels.instance" in summary
        assert re.search(r'^          description: ".{20,}"$', block, re.MULTILINE), name
        assert f"`{name}`" in operations


def test_every_panel_has_a_place_and_a_query():
    """No two panels lie on each other, and each shows something."""
    places = set()
    for panel in DASHBOARD["panels"]:
        where = panel["gridPos"]
        cells = {(where["x"] + x, where["y"] + y) for x in range(where["w"]) for y in range(where["h"])}
        assert not cells & places, panel["title"]
        places |= cells
        assert panel["type"] == "row" or panel["targets"]
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


def test_every_metric_is_in_the_operators_table(page):
    """The table in docs/operations.md names each family of the gate's, and none besides."""
    families = {family.name + ("_total" if family.type == "counter" else "")
                for family in text_string_to_metric_families(page)}  # fmt: skip
    operations = (ROOT / "docs" / "operations.md").read_text("utf-8")
    rows = re.findall(r"^\| `(couchgate_\w+)", operations, re.MULTILINE)
    assert sorted(rows) == sorted(name for name in families if name.startswith("couchgate_"))


def test_names_and_units_are_as_prometheus_wants_them(page):
    """Base units, counters that end in _total, a help text each; promtool judges the same where it is installed."""
    for family in text_string_to_metric_families(page):
        assert family.documentation, family.name
        assert re.fullmatch(r"(couchgate|process)_[a-z0-9_]+", family.name)
        assert not re.search(r"_(milliseconds|ms|kilobytes|kb|minutes)(_|$)", family.name)
        for sample in family.samples:
            assert sample.name.endswith("_total") == (family.type == "counter")
    if PROMTOOL is not None:
        run = subprocess.run([PROMTOOL, "check", "metrics"], input=page, capture_output=True, text=True, check=False)
        assert (run.returncode, run.stdout + run.stderr) == (0, "")


def test_promtool_takes_the_rules_where_it_is_installed():
    """It parses every expression; without it, the other tests of this file are what there is."""
    assert alerts()
    if PROMTOOL is not None:
        run = subprocess.run([PROMTOOL, "check", "rules", ALERTS], capture_output=True, text=True, check=False)
        assert run.returncode == 0, run.stdout + run.stderr
        assert f"{len(alerts())} rules found" in run.stdout
