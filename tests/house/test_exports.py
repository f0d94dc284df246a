"""The public names: the pinned ones are there, sorted, documented, and importable as the documentation writes them."""

import importlib
import re
from pathlib import Path

import pytest

import event_backbone
from tests.support.processes import printed_by
from tests.support.repository import ROOT

RUNTIME = ROOT / "template" / "src" / "event_backbone"
FRONT_DOORS = (
    "event_backbone",
    "event_backbone.archive",
    "event_backbone.otlp",
    "event_backbone.projection",
    "event_backbone.storage",
    "event_backbone.testing",
    "event_backbone.web",
)
IMPORT = re.compile(r"^\s*from (event_backbone[\w.]*) import (\([^)]*\)|[^\n]*)", re.MULTILINE)
PINNED = {
    "event_backbone": (
        "Backbone",
        "Consumer",
        "Context",
        "Contract",
        "EventKey",
        "Reject",
        "Retry",
        "RetryPolicy",
        "event",
    ),
    "event_backbone.archive": ("S3Archive",),
    "event_backbone.projection": ("Projection", "ProjectionStore", "SqliteStore"),
    "event_backbone.storage": ("CachedStorage", "RedisHashStorage", "S3Options", "S3Storage", "SplitStorage"),
    "event_backbone.testing": ("assert_round_trip", "context", "memory_backbone"),
}


@pytest.mark.parametrize(("module", "name"), [(module, name) for module, names in PINNED.items() for name in names])
def test_pinned_names_can_be_imported(module: str, name: str) -> None:
    """By ``from ... import ...``, and they are what they are called: a class or a function, no module."""
    found = getattr(importlib.import_module(module), name)
    assert callable(found)
    assert found.__doc__


@pytest.mark.parametrize("module", PINNED)
def test_all_lists_every_public_name_once_and_sorted(module: str) -> None:
    """``__all__`` is what the package offers."""
    names: list[str] = importlib.import_module(module).__all__
    assert set(PINNED[module]) <= set(names)
    assert names == sorted(set(names))
    assert all(hasattr(importlib.import_module(module), name) for name in names)


def _packages() -> list[str]:
    return sorted(package for file in RUNTIME.rglob("__init__.py") if (package := _package_of(file)))


def _package_of(file: Path) -> str | None:
    """Return the package whose ``__init__.py`` this is."""
    if file.name != "__init__.py" or RUNTIME.parent not in file.parents:
        return None
    return ".".join(file.parent.relative_to(RUNTIME.parent).parts)


def _imported() -> set[tuple[str, str]]:
    """Return every (module, name) that runtime, template, tests, examples, benchmarks or docs import."""
    folders = ("template", "tests", "examples", "benchmarks", "docs")
    files = [file for folder in folders for file in (ROOT / folder).rglob("*")]
    files = [file for file in files if file.suffix in {".py", ".jinja", ".md"}]
    found: set[tuple[str, str]] = set()
    for file in files:
        own = _package_of(file)
        for module, names in IMPORT.findall(file.read_text(encoding="utf-8")):
            if module != own:
                found.update((module, name) for name in re.findall(r"[A-Za-z_]\w*", names))
    return found


def test_every_name_of_an_inner_package_is_imported_from_there() -> None:
    """Only the public packages export names to users; an inner package exports what is imported from it here."""
    inner = [package for package in _packages() if package not in FRONT_DOORS]
    assert len(inner) > len(FRONT_DOORS)
    offered = {
        (package, name) for package in inner for name in getattr(importlib.import_module(package), "__all__", ())
    }
    assert sorted(offered - _imported()) == []


def test_every_documented_name_can_be_imported_from_a_front_door() -> None:
    """From the one whose table lists it; what is described in full is also listed in a table."""
    page = (ROOT / "docs" / "reference" / "python-api.md").read_text(encoding="utf-8")
    tables = dict(re.findall(r"^## (event_backbone[\w.]*)\n(.*?)(?=^## )", page, re.DOTALL | re.MULTILINE))
    assert tuple(tables) == FRONT_DOORS
    listed = {
        (door, name) for door, table in tables.items() for name in re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)
    }
    assert [each for each in sorted(listed) if each[1] not in importlib.import_module(each[0]).__all__] == []
    offered = {name for door in FRONT_DOORS for name in importlib.import_module(door).__all__}
    in_full = re.findall(r"^::: event_backbone\.(?:\w+\.)*(\w+)$", page, re.MULTILINE)
    assert in_full
    assert [name for name in in_full if name not in offered] == []


def test_rendered_tests_use_public_names_only() -> None:
    """An owner's tests then go on working, whatever moves inside."""
    used = [
        (module, name)
        for file in (ROOT / "template" / "tests").glob("*.jinja")
        for module, names in IMPORT.findall(file.read_text(encoding="utf-8"))
        for name in _names(names)
    ]
    assert ("event_backbone.testing", "S3Server") in used
    for module, name in used:
        assert module in FRONT_DOORS, (module, name)
        assert name in importlib.import_module(module).__all__, (module, name)


def _names(names: str) -> list[str]:
    """Return the names of an import, also those that a template chooses from."""
    chosen = re.sub(r"\{\{.*?\}\}", lambda found: " ".join(re.findall(r"'([^']*)'", found[0])), names)
    return re.findall(r"[A-Za-z_]\w*", chosen)


def test_context_for_tests_is_a_function_also_after_its_module_was_imported() -> None:
    """A name that is offered lazily must not be hidden by a module of the same name."""
    code = "from event_backbone.testing import context; from event_backbone.testing import context; print(context())"
    assert "Context" in printed_by(code)


def test_the_front_door_for_tests_needs_no_pytest() -> None:
    """Only the plugin with the fixtures imports it: servers and contexts work under any test runner."""
    names = ", ".join(importlib.import_module("event_backbone.testing").__all__)
    code = f"import sys; from event_backbone.testing import {names}; print(*sys.modules)"
    assert not {"pytest", "_pytest"} & set(printed_by(code).split())


def test_the_package_is_typed_licensed_and_explained() -> None:
    """What is rendered into other people's projects says what it is and under which terms."""
    home = Path(event_backbone.__file__).parent
    assert (home / "py.typed").is_file()
    assert (home / "LICENSE").read_text().startswith("MIT License")
    assert "do not edit" in (home / "README.md").read_text().lower()
