"""The public names: the pinned ones are there, sorted, documented, and importable as the documentation writes them."""

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import event_backbone

ROOT = Path(__file__).parents[2]
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


def test_context_for_tests_is_a_function_also_after_its_module_was_imported() -> None:
    """A name that is offered lazily must not be hidden by a module of the same name."""
    code = "from event_backbone.testing import context; from event_backbone.testing import context; print(context())"
    ran = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": str(ROOT / "template" / "src")},
    )
    assert "Context" in ran.stdout


def test_nothing_optional_is_imported_at_the_front_door() -> None:
    """S3, the web API, the command line and the servers for tests cost nothing until they are used."""
    code = "import sys, event_backbone; print(*sys.modules)"
    ran = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": str(ROOT / "template" / "src")},
    )
    optional = {"boto3", "obstore", "fastapi", "typer", "rich", "moto"}
    assert not optional & set(ran.stdout.split())


def test_the_package_is_typed_licensed_and_explained() -> None:
    """What is rendered into other people's projects says what it is and under which terms."""
    home = Path(event_backbone.__file__).parent
    assert (home / "py.typed").is_file()
    assert (home / "LICENSE").read_text().startswith("MIT License")
    assert "do not edit" in (home / "README.md").read_text().lower()
