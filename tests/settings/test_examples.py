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
