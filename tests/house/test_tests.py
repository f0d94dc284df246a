"""Rules of the tests: what teaches a reader imports only public packages."""

import ast
from pathlib import Path

import pytest

from tests.support.repository import ROOT

FUNDAMENTALS = sorted((ROOT / "tests" / "fundamentals").glob("*.py"))
FRONT_DOORS = {"event_backbone", "event_backbone.storage", "event_backbone.testing"}


def test_the_fundamentals_are_found() -> None:
    """The rule below would pass on an empty list."""
    assert ROOT / "tests" / "fundamentals" / "test_produce.py" in FUNDAMENTALS


@pytest.mark.parametrize("file", FUNDAMENTALS, ids=lambda file: file.name)
def test_the_fundamentals_import_as_a_user_does(file: Path) -> None:
    """From the packages that the reference describes, never from a module inside."""
    nodes = list(ast.walk(ast.parse(file.read_text(encoding="utf-8"))))
    modules = {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}
    modules |= {name.name for node in nodes if isinstance(node, ast.Import) for name in node.names}
    assert {name for name in modules if name.partition(".")[0] == "event_backbone"} <= FRONT_DOORS
