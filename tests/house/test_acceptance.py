"""The acceptance list names tests that exist, or a reason."""

import ast
import re
from pathlib import Path

TESTS = Path(__file__).parent.parent
PAGE = TESTS.parent / "docs" / "explanations" / "acceptance.md"
ROW = re.compile(r"\| (?P<number>\d+) \| (?P<what>[^|]+) \| (?P<here>[^|]+) \|")
TEST = re.compile(r"`(?P<path>[\w/]+\.py)::(?P<name>\w+)`")


def rows() -> dict[int, str]:
    """Return what stands in the last column, by number."""
    found = (ROW.fullmatch(line) for line in PAGE.read_text().splitlines())
    return {int(row["number"]): row["here"].strip() for row in found if row is not None}


def functions(path: Path) -> set[str]:
    """Return the names of all functions in a file."""
    tree = ast.parse(path.read_text())
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def test_there_is_a_row_for_each_of_the_48_items() -> None:
    """None was left out, and each says something."""
    assert list(rows()) == list(range(1, 49))
    assert all(rows().values())


def test_every_named_test_exists() -> None:
    """A test that was renamed is renamed here too."""
    named = {(test["path"], test["name"]) for here in rows().values() for test in TEST.finditer(here)}
    assert len(named) > 30
    assert [each for each in sorted(named) if each[1] not in functions(TESTS / each[0])] == []


def test_only_forwarding_waits() -> None:
    """What is put off is named, and nothing else is."""
    assert [number for number, here in rows().items() if "later release" in here] == [14, 15, 35, 36]
