"""Modules and functions are small: in the runtime, and in everything around it."""

import ast
from pathlib import Path

import pytest

from tests.support.repository import ROOT

FOLDERS = ("template/src/event_backbone", "tests", "benchmarks", "examples")
FILES = sorted(file for folder in FOLDERS for file in (ROOT / folder).rglob("*.py"))
LARGEST_MODULE_LINES = 300
LARGEST_FUNCTION_LINES = 40


def test_the_files_are_found() -> None:
    """The rule below would pass on an empty list."""
    assert {ROOT / "template/src/event_backbone/errors.py", ROOT / "benchmarks/measure.py", Path(__file__)} <= set(
        FILES
    )


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_modules_and_functions_are_small(file: Path) -> None:
    """A module fits in one's head, a function on a screen; what is larger is split, not excused here."""
    text = file.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= LARGEST_MODULE_LINES
    functions = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    large = {
        node.name: length
        for node in functions
        if node.end_lineno is not None and (length := node.end_lineno - node.lineno + 1) > LARGEST_FUNCTION_LINES
    }
    assert not large
