"""The settings in the documents are settings: whoever copies them is not refused."""

import re
from pathlib import Path

import pytest

from couchgate.settings import load

CHECKOUT = Path(__file__).resolve().parents[2]
PAGES = ("README.md", "docs/guide.md", "docs/settings.md")


def whole(page):
    """Each TOML block of `page` that has both CouchDB and an issuer."""
    blocks = re.findall(r"^```toml\n(.*?)^```$", (CHECKOUT / page).read_text("utf-8"), re.MULTILINE | re.DOTALL)
    return [block for block in blocks if "[upstream]" in block and "[[issuers]]" in block]


@pytest.mark.parametrize("page", PAGES)
def test_whole_settings_in_a_page_are_valid(page, tmp_path):
    """Settings that a page shows whole load without an error or a warning, beside a private secret file."""
    examples = whole(page)
    assert examples
    (tmp_path / "proxy.secret").write_text("0123456789abcdef" * 4)
    (tmp_path / "proxy.secret").chmod(0o600)
    path = tmp_path / "couchgate.toml"
    for example in examples:
        path.write_text(example, "utf-8")
        assert load(path).warnings == ()


def test_the_issuers_in_the_guide_are_valid(tmp_path):
    """Each table for a well-known identity provider loads; only an empty list of audiences is warned of."""
    blocks = re.findall(
        r"^```toml\n(\[\[issuers\]\].*?)^```$",
        (CHECKOUT / "docs/guide.md").read_text("utf-8"),
        re.MULTILINE | re.DOTALL,
    )
    path = tmp_path / "couchgate.toml"
    warned = []
    for block in blocks:
        upstream = "[upstream]\nurl = 'http://127.0.0.1:5984'\nauth = 'none'\n"
        rule = '[[rules]]\ndatabases = ["userdb-{name:hex}"]\nallow = ["read", "write"]\n'
        path.write_text(f"{upstream}{block}{rule}", "utf-8")
        settings = load(path)
        assert settings.issuers[0].source == "oidc"
        warned.append([warning for warning in settings.warnings if "audiences" in warning])
    assert [len(each) for each in warned] == [1, 0, 0]
