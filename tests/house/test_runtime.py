"""Rules of the runtime: plain Python that is rendered as it is, with a known public package."""

import ast
import importlib
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import event_backbone
from tests.support.processes import printed_by
from tests.support.repository import ROOT

RUNTIME = ROOT / "template" / "src" / "event_backbone"
FILES = sorted(RUNTIME.rglob("*.py"))
STREAM_COMMAND = re.compile(
    r"\b(?:XADD|XREAD|XREADGROUP|XACK|XCLAIM|XAUTOCLAIM|XPENDING|XRANGE|XREVRANGE|XTRIM|XGROUP|XINFO)\b", re.IGNORECASE
)


def _name(file: Path) -> str:
    return str(file.relative_to(RUNTIME))


def _strings_and_names(file: Path) -> Iterator[str]:
    """The code of a module, without comments and docstrings."""
    tree = ast.parse(file.read_text())
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node.value
        elif isinstance(node, ast.Attribute):
            yield node.attr


def test_the_runtime_is_found() -> None:
    """The rules below would all pass on an empty list."""
    assert RUNTIME / "errors.py" in FILES


@pytest.mark.parametrize("file", FILES, ids=_name)
def test_no_template_language_in_the_runtime(file: Path) -> None:
    """The runtime is copied, not rendered: nothing in it may look like Jinja."""
    assert not re.search(r"\{\{|\{%|\{#", _without_f_string_braces(file))


@pytest.mark.parametrize("file", FILES, ids=_name)
def test_the_runtime_never_imports_its_own_public_package(file: Path) -> None:
    """Modules import each other by their whole path; only users import from the package itself."""
    if file == RUNTIME / "__init__.py":
        return
    modules = {path.stem for path in RUNTIME.iterdir()}
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}"
            assert node.module != "event_backbone" or {each.name for each in node.names} <= modules, (
                f"line {node.lineno}"
            )


@pytest.mark.parametrize("file", FILES, ids=_name)
def test_telemetry_is_wired_by_the_application(file: Path) -> None:
    """The runtime uses the OpenTelemetry API; the application chooses the SDK, with ``otlp`` if it likes."""
    assert "opentelemetry.sdk" not in file.read_text() or file.parent == RUNTIME / "otlp"


@pytest.mark.parametrize("file", FILES, ids=_name)
def test_only_the_stream_knows_stream_commands(file: Path) -> None:
    """Every stream command is in one package, so its rules are too."""
    # The demo looks at the stream with a separate client, because a program's own report proves nothing.
    if "stream" in file.relative_to(RUNTIME).parts or file == RUNTIME / "cli" / "demo" / "read_back.py":
        return
    used = [text for text in _strings_and_names(file) if STREAM_COMMAND.search(text)]
    assert not used


def test_the_front_door_is_sorted_and_complete() -> None:
    """Every name in ``__all__`` exists, once, in order."""
    names = list[str](vars(event_backbone)["__all__"])
    assert names == sorted(set(names))
    assert [name for name in names if not hasattr(event_backbone, name)] == []


def test_every_error_is_exported() -> None:
    """A user who writes ``except`` can import the error from the public package."""
    errors = importlib.import_module("event_backbone.errors")
    public = {name for name, value in vars(errors).items() if isinstance(value, type) and not name.startswith("_")}
    defined = {name for name in public if getattr(errors, name).__module__ == "event_backbone.errors"}
    assert defined <= set(vars(event_backbone)["__all__"])


def test_importing_the_runtime_loads_no_library_of_an_extra() -> None:
    """A service with Redis alone does not load S3, web and command line, and needs none of them installed."""
    every_name = "[getattr(event_backbone, name) for name in event_backbone.__all__]"
    script = f"import sys, event_backbone, event_backbone.storage; {every_name}; print(*sys.modules)"
    loaded = {name.partition(".")[0] for name in printed_by(script).split()}
    assert not loaded & {"boto3", "botocore", "fastapi", "moto", "obstore", "rich", "starlette", "typer", "uvicorn"}


def test_every_module_can_be_imported_alone() -> None:
    """No module needs another one to be imported first."""
    scripts = {"event_backbone.testing.s3_process"}
    for module in pkgutil.walk_packages([str(RUNTIME)], "event_backbone."):
        if module.name not in scripts and not module.name.endswith("__main__"):
            importlib.import_module(module.name)


def _without_f_string_braces(file: Path) -> str:
    """The text as written, except that an f-string may write a literal brace twice."""
    source = file.read_text()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.JoinedStr) and (segment := ast.get_source_segment(source, node)):
            source = source.replace(segment, segment.replace("{{", "").replace("}}", ""))
    return source
