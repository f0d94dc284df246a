"""`--version`: which version of the project this is, and which of the template's runtime it has."""

from __future__ import annotations

import hashlib
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import typer

import event_backbone
from event_backbone.cli.copier_answers import find_answers
from event_backbone.cli.output import print_line
from event_backbone.cli.project import project_of
from event_backbone.manifest import MANIFEST


def print_version(ctx: typer.Context, wanted: bool) -> None:
    """Print the versions and leave, if the option was given."""
    if wanted:
        name = project_of(ctx).name
        print_line(f"{name} {_project(name)}, event_backbone {_runtime()}, Python {platform.python_version()}")
        raise typer.Exit


def _project(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "(not installed)"


def _runtime() -> str:
    """Return the version of the template that the runtime came with.

    Where only packages are installed, as in an image, the answers file is missing; the digest of the manifest, as
    `sha256sum` shows it, then tells one version from another.
    """
    folder = Path(event_backbone.__file__).parent
    answers = find_answers(folder)
    if answers is not None and answers.version:
        return answers.version
    manifest = folder / MANIFEST
    if not manifest.is_file():
        return "of an unknown version"
    return f"with manifest {hashlib.sha256(manifest.read_bytes()).hexdigest()[:12]}"
