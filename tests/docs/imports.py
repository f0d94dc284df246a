"""What an editor adds when a reader pastes code: the imports of the names in it."""

import ast
import importlib
from collections.abc import Iterator
from pathlib import Path

LIBRARIES = ("event_backbone", "event_backbone.testing", "datetime", "typing", "fastapi", "httpx")


def imports_for(code: str, package: Path) -> str:
    """The imports of what the code uses and does not define, from the project's package and the usual libraries."""
    tree = ast.parse(code)
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)} - set(_defined(tree))
    lines: list[str] = []
    for module, names in _offers(package):
        if found := sorted(used & names):
            lines.append(f"from {module} import {', '.join(found)}\n")
            used -= names
    return "".join(lines)


def _offers(package: Path) -> Iterator[tuple[str, set[str]]]:
    for file in sorted(package.glob("[a-z]*.py")):
        yield f"{package.name}.{file.stem}", set(_defined(ast.parse(file.read_text(encoding="utf-8"))))
    for library in LIBRARIES:
        module = importlib.import_module(library)
        yield library, set(getattr(module, "__all__", dir(module)))


def _defined(tree: ast.Module) -> Iterator[str]:
    for node in tree.body:
        if isinstance(node, ast.AsyncFunctionDef | ast.ClassDef | ast.FunctionDef):
            yield node.name
        elif isinstance(node, ast.Assign):
            yield from (each.id for each in node.targets if isinstance(each, ast.Name))
