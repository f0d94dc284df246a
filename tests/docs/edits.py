"""What a reader does in an editor: changes of Python files that the project already has."""

import ast
from collections.abc import Iterator
from pathlib import Path


def put_in_place(file: Path, text: str) -> None:
    """Replace each function and class that the file has, and put what is new before the next of them.

    Imports are added, or replace those of the same module.
    """
    new = ""
    for node, code in _statements(text):
        if isinstance(node, ast.Import | ast.ImportFrom):
            _put_import(file, node, code)
        elif found := [each for each in _top_level(file) if _name(each) is not None and _name(each) == _name(node)]:
            _replace(file, found[0], f"{new}{code}")
            new = ""
        else:
            new += f"{code}\n\n"
    assert not new, f"{file.name} has no place for {new!r}"


def put_below(file: Path, words: str, text: str) -> None:
    """Put the text below the one line that has these words."""
    lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
    found = [number for number, line in enumerate(lines) if words in line]
    assert len(found) == 1, f"{file.name} has {len(found)} lines with {words!r}"
    lines.insert(found[0] + 1, text)
    file.write_text("".join(lines), encoding="utf-8")


def _put_import(file: Path, node: ast.Import | ast.ImportFrom, code: str) -> None:
    present = [each for each in _top_level(file) if isinstance(each, ast.Import | ast.ImportFrom)]
    same = [each for each in present if isinstance(each, ast.ImportFrom) and each.module == getattr(node, "module", "")]
    if same:
        _replace(file, same[0], code)
    else:
        _replace(file, present[-1], f"{_code(file.read_text(encoding='utf-8'), present[-1])}{code}")


def _statements(text: str) -> Iterator[tuple[ast.stmt, str]]:
    for node in ast.parse(text).body:
        yield node, _code(text, node)


def _name(node: ast.stmt) -> str | None:
    return getattr(node, "name", None)


def _top_level(file: Path) -> list[ast.stmt]:
    return ast.parse(file.read_text(encoding="utf-8")).body


def _code(text: str, node: ast.stmt) -> str:
    start, end = _span(node)
    return "".join(text.splitlines(keepends=True)[start:end])


def _replace(file: Path, node: ast.stmt, code: str) -> None:
    lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
    start, end = _span(node)
    lines[start:end] = [code]
    file.write_text("".join(lines), encoding="utf-8")


def _span(node: ast.stmt) -> tuple[int, int]:
    """The lines of a statement, with its decorators."""
    decorators: list[ast.expr] = getattr(node, "decorator_list", [])
    assert node.end_lineno is not None
    return min([node.lineno, *(each.lineno for each in decorators)]) - 1, node.end_lineno
