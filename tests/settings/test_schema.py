"""The schema for editors, the reference and the readers say the same."""

import json
import re
import tomllib
from pathlib import Path

import jsonschema
import pytest

from couchgate.settings import SettingsError, schema
from couchgate.settings.load import KEYS
from couchgate.settings.schema import text

CHECKOUT = Path(__file__).parents[2]
DOCS = CHECKOUT / "docs"
REFERENCE = (DOCS / "settings.md").read_text("utf-8")
SCHEMA = json.loads((DOCS / "settings.schema.json").read_text("utf-8"))
ROW = re.compile(r"^\| `([a-z_]+(?:\.[a-z_]+)+)` \| (.*) \|$", re.MULTILINE)
ROWS = {key: cells.split(" | ") for key, cells in ROW.findall(REFERENCE)}
TOML = re.compile(r"^```toml\n(.*?)^```", re.MULTILINE | re.DOTALL)
SMALLEST = TOML.findall(REFERENCE)[0]


def leaves(node, name=""):
    """Every single value of the schema by its dotted key, and whether it must be written."""
    node = node.get("items", node)
    for key, inner in node["properties"].items():
        full = f"{name}.{key}" if name else key
        if full in KEYS:
            yield from leaves(inner, full)
        else:
            yield full, (inner, key in node.get("required", ()))


LEAVES = dict(leaves(SCHEMA))


def examples():
    """Every TOML in the documents and in tap, as (name, text)."""
    for path in (*sorted(DOCS.rglob("*.md")), CHECKOUT / "README.md"):
        for index, block in enumerate(TOML.findall(path.read_text("utf-8"))):
            yield pytest.param(block, id=f"{path.name}-{index}")
    for path in sorted((CHECKOUT / "tap").glob("*.toml")):
        yield pytest.param(path.read_text("utf-8"), id=path.name)


def test_the_file_is_what_is_generated():
    """After a change of settings: python -m couchgate.settings.schema."""
    assert (DOCS / "settings.schema.json").read_text("utf-8") == text(REFERENCE)


def test_the_schema_is_one():
    """It is a valid schema of its dialect."""
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def test_the_reference_has_the_same_keys():
    """Each key of the schema has its row in the reference, and the other way round."""
    assert set(LEAVES) == set(ROWS)
    assert len(LEAVES) > 40


@pytest.mark.parametrize("key", sorted(LEAVES))
def test_the_reference_has_the_same_default_and_bounds(key):
    """A default that is a value is the same value; what must be written has none; bounds stand in the row."""
    what, required = LEAVES[key]
    default, row = ROWS[key][0], " ".join(ROWS[key][1:])
    literal = re.fullmatch(r"`([\[\"0-9tf].*)`", default)
    if "default" in what:
        assert literal, default
        assert tomllib.loads(f"x = {literal[1]}")["x"] == what["default"]
    else:
        assert literal is None, default
    assert not required or default == "must be written"
    if "minimum" in what:
        high = what["maximum"]
        assert f"{what['minimum']:g} to {'2^50' if high == 1 << 50 else high}" in row
    assert what["description"] or not row


@pytest.mark.parametrize("example", list(examples()))
def test_every_example_is_valid(example):
    """The examples validate; what one leaves out is taken from the smallest file."""
    whole = {**tomllib.loads(SMALLEST), **tomllib.loads(example)}
    jsonschema.Draft202012Validator(SCHEMA).validate(whole)


def test_a_file_with_everything_is_valid(everything):
    """What the loader's own tests load validates, too."""
    jsonschema.Draft202012Validator(SCHEMA).validate(tomllib.loads(everything))


@pytest.mark.parametrize(
    "wrong",
    [
        "[gate]\nmoed = 'close'", "[gate]\nmode = 'closed'", "[gate]\nhosts = 'a'", "[limits]\nhead_bytes = 1",
        "[upstream]\nauth = 'proxy'", "[[rules]]\ndatabases = ['a']\nallow = ['reed']", "[log]\naccess = ''",
    ],
)  # fmt: skip
def test_what_is_wrong_is_seen_in_the_editor(wrong):
    """Unknown keys, words, types, bounds and missing keys are errors of the schema as they are of the loader."""
    whole = {**tomllib.loads(SMALLEST), **tomllib.loads(wrong)}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(SCHEMA).validate(whole)


def test_a_key_that_no_probe_leads_to_is_an_error(monkeypatch):
    """Nobody can add a key and forget the schema."""
    monkeypatch.setitem(schema.KEYS, "log", ("access", "trace", "colour"))
    with pytest.raises(LookupError, match=r"log\.colour"):
        text(REFERENCE)


def test_a_probe_that_is_wrong_is_an_error(monkeypatch):
    """Probes are settings that the loader takes."""
    monkeypatch.setattr(schema, "probes", lambda: iter([{}]))
    with pytest.raises(SettingsError):
        text(REFERENCE)
