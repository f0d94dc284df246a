"""The promises have their tests in one folder, and the page that explains them names tests that exist."""

import ast
import re
from pathlib import Path

from tests.support.repository import ROOT

PAGE = ROOT / "docs" / "explanations" / "delivery-guarantees.md"
NUMBERS = [str(number) for number in range(1, 12)]


def _tests_in(file: Path) -> list[str]:
    """Return the names of a file's tests, methods included."""
    nodes = ast.walk(ast.parse(file.read_text(encoding="utf-8")))
    functions = [node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    return [name for name in functions if name.startswith("test_")]


TESTS = {file: _tests_in(file) for file in sorted((ROOT / "tests").rglob("*.py"))}
PROMISES = {file: names for file, names in TESTS.items() if file.parent.name == "promises"}


def _number_of(name: str) -> str:
    """Return the number of the promise that the name of a test, or of a file of tests, carries."""
    found = re.match(r"test_promise_(\d+)_", name)
    return found[1] if found else ""


def test_each_test_of_a_promise_carries_the_number_of_its_file() -> None:
    """So that a failing test says which promise is broken. Every promise has a file."""
    files = {file: names for file, names in PROMISES.items() if names}
    assert sorted({_number_of(file.name) for file in files}, key=int) == NUMBERS
    wrong = {name for file, names in files.items() for name in names if _number_of(name) != _number_of(file.name)}
    assert wrong == set()


def test_the_tests_of_promises_are_in_their_folder() -> None:
    """The tests of a promise are found without a search."""
    elsewhere = {name for file, names in TESTS.items() if file not in PROMISES for name in names if _number_of(name)}
    assert elsewhere == set()


def test_the_page_names_tests_that_exist() -> None:
    """For each promise at least one that carries its number."""
    sections = re.split(r"^## ", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    promises = {found[1]: text for text in sections if (found := re.match(r"(\d+)\. ", text))}
    assert list(promises) == NUMBERS
    written = {name for names in TESTS.values() for name in names}
    for number, text in promises.items():
        named = set(re.findall(r"`(test_\w+)`", text))
        assert named <= written
        assert number in {_number_of(name) for name in named}
