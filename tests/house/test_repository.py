"""Rules of the repository: it contains nothing of the machine it was written on, and nothing generated."""

import re
from pathlib import Path

import pytest

from tests.support.repository import ROOT, files

HOME_FOLDER = re.compile(rb"/(?:home|Users)/[a-z]|/root/")
INDEX_HOST = re.compile(rb"files\.python" + rb"hosted|registry\.npm" + rb"js|py" + rb"pi\.org/simple")
LOCK_FILES = {"uv.lock", "poetry.lock", "Pipfile.lock", "package-lock.json"}
SCRIPTS = (
    "scripts/_pythons",
    "scripts/check",
    "scripts/demo",
    "scripts/docs",
    "scripts/manifest",
    "scripts/release",
    "scripts/test",
    ".ci/run",
)


def test_the_repository_is_found() -> None:
    """The rules below would all pass on an empty list."""
    assert ROOT / "pyproject.toml" in files()


def test_no_path_of_a_machine_and_no_host_of_an_index() -> None:
    """What is committed works for everyone, wherever their packages come from."""
    found = [
        f"{path.relative_to(ROOT)}: {match.group().decode()}"
        for path in files()
        if path != Path(__file__)
        for match in (HOME_FOLDER.search(path.read_bytes()), INDEX_HOST.search(path.read_bytes()))
        if match
    ]
    assert not found


def test_no_lock_file() -> None:
    """A lock file would record the package hosts of the machine that wrote it; the bounds in pyproject.toml suffice."""
    assert not [path for path in files() if path.name in LOCK_FILES]


@pytest.mark.parametrize("name", SCRIPTS)
def test_scripts_are_executable(name: str) -> None:
    """A script is executable and names its interpreter."""
    script = ROOT / name
    assert script.stat().st_mode & 0o111
    assert script.read_bytes().startswith(b"#!/usr/bin/env bash\n")
