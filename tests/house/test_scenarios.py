"""The list of scenarios in tests/faults/README.md and the docstrings that refer to it agree."""

import ast
import re
from collections.abc import Iterator

from tests.support.repository import ROOT

LIST = ROOT / "tests" / "faults" / "README.md"


def _referred() -> Iterator[tuple[int, str]]:
    """Yield the number of each scenario that a docstring refers to, with the name of its test."""
    for file in (ROOT / "tests").rglob("test_*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                for numbers in re.findall(r"\bScenarios? (\d+(?: and \d+)?)", ast.get_docstring(node) or ""):
                    yield from ((int(number), node.name) for number in numbers.split(" and "))


def test_each_scenario_names_the_tests_that_refer_to_it() -> None:
    """In both directions: neither a number nor a row is left over."""
    rows = re.findall(r"^\| (\d+) \| .+ \| (.+) \|$", LIST.read_text(encoding="utf-8"), re.MULTILINE)
    listed = [(int(number), name) for number, tests in rows for name in re.findall(r"`(test_\w+)`", tests)]
    assert [int(number) for number, _ in rows] == list(range(1, len(rows) + 1))
    assert sorted(listed) == sorted(_referred())
