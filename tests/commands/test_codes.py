"""The table of reasons is whole: each word that the gate can log is in it, and no other."""

import ast
from pathlib import Path

import couchgate
from couchgate.commands.codes import CODES

PACKAGE = Path(couchgate.__file__).parent


def texts(node):
    """The texts that an expression can be."""
    if isinstance(node, ast.IfExp):
        return texts(node.body) | texts(node.orelse)
    return {node.value} if isinstance(node, ast.Constant) and isinstance(node.value, str) else set()


def said(path):
    """Every code in a file: `code="…"` in a call, `default_code = "…"`, and what is put into `….code` or `code`."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.keyword) and node.arg == "code":
            yield from texts(node.value)
        elif isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names = {getattr(target, "attr", getattr(target, "id", None)) for target in targets}
            if names & {"code", "default_code"}:
                yield from texts(node.value)


def test_every_code_is_explained_and_nothing_else():
    """What the sources say is what the table has."""
    codes = {code for path in PACKAGE.rglob("*.py") for code in said(path)}
    assert len(codes) > 60
    assert codes == set(CODES)


def test_explanations_are_sentences():
    """Each ends in a full stop, and none is long."""
    for meaning in CODES.values():
        for sentence in filter(None, meaning):
            assert sentence[0].isupper() or sentence[0] == "`"
            assert sentence.endswith(".")
            assert len(sentence) <= 160
