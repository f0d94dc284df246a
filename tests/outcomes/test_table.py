"""The table of docs/reference/outcomes.md names the tests of this folder, and each of them."""

import ast
import re
from pathlib import Path

TABLE = Path(__file__).parents[2] / "docs" / "reference" / "outcomes.md"


def test_the_table_and_the_tests_say_the_same() -> None:
    """Every row names its test, and every test has its row."""
    rows = re.findall(r"^\|.*\| `(test_\w+)` \|$", TABLE.read_text(encoding="utf-8"), re.MULTILINE)
    tests = [
        node.name
        for file in Path(__file__).parent.glob("test_*.py")
        for node in ast.parse(file.read_text(encoding="utf-8")).body
        if isinstance(node, ast.AsyncFunctionDef) and node.name.startswith("test_")
    ]
    assert len(rows) > 20
    assert sorted(rows) == sorted(tests)
