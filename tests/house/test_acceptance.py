"""The acceptance list names tests that exist, or a reason."""

import ast
import re
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).parent.parent
PAGE = TESTS.parent / "docs" / "explanations" / "acceptance.md"
ROW = re.compile(r"\| (?P<number>\d+) \| (?P<what>[^|]+) \| (?P<here>[^|]+) \|")
TEST = re.compile(r"`(?P<path>[\w/]+\.py)::(?P<name>\w+)`")
COLLECTED = re.compile(r"tests/(?P<path>acceptance/\w+\.py)::(?P<name>\w+)\[(?P<parameters>.*)\]")

Named = set[tuple[str, str]]


def rows() -> dict[int, str]:
    """Return the last column, by number."""
    found = (ROW.fullmatch(line) for line in PAGE.read_text(encoding="utf-8").splitlines())
    return {int(row["number"]): row["here"].strip() for row in found if row is not None}


def named_in(*cells: str) -> Named:
    """Return path and name of each test that these cells name."""
    return {(test["path"], test["name"]) for cell in cells for test in TEST.finditer(cell)}


def functions(path: Path) -> set[str]:
    """Return the names of all functions in a file."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def test_there_is_a_row_for_each_of_the_48_items() -> None:
    """None is left out, and none is empty."""
    assert list(rows()) == list(range(1, 49))
    assert all(rows().values())


def test_every_named_test_exists() -> None:
    """A test that was renamed is renamed in the list too."""
    named = named_in(*rows().values())
    assert len(named) > 30
    assert [each for each in sorted(named) if each[1] not in functions(TESTS / each[0])] == []


def test_every_acceptance_test_is_named() -> None:
    """The list names every test of its folder."""
    named = named_in(*rows().values())
    tests = {
        (f"acceptance/{path.name}", name)
        for path in (TESTS / "acceptance").glob("test_*.py")
        for name in functions(path)
        if name.startswith("test_")
    }
    assert sorted(tests - named) == []


def test_nothing_waits() -> None:
    """Everything names a test, and nothing is postponed."""
    assert [number for number, here in rows().items() if "later release" in here or not named_in(here)] == []


def test_every_test_of_21_to_34_runs_on_s3() -> None:
    """Row 42 says so; pytest says with which parameters it runs them."""
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", "tests/acceptance"]
    done = subprocess.run(command, cwd=TESTS.parent, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    on_s3 = {
        (each["path"], each["name"])
        for each in COLLECTED.finditer(done.stdout)
        if "s3" in each["parameters"].split("-")
    }
    named = named_in(*(here for number, here in rows().items() if 21 <= number <= 34))
    assert len(named) > 20
    assert sorted(named - on_s3) == []
