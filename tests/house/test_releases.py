"""Releases: each is listed with its commit, described in the changelog, and made by one script that checks first."""

import os
import re
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
from packaging.version import Version

from event_backbone.manifest import MANIFEST, manifest_text
from tests.support.releases import Release, ReleaseMissing, extract, file_of, have, releases
from tests.support.repository import ROOT

PARTS = ["### In your project", "### In the template"]
UNRELEASED = "Unreleased"
FIRST_RELEASE = "0.2.0"
FIRST_TO_COME = f"{FIRST_RELEASE} will be the first release."
GIT = {
    "GIT_AUTHOR_EMAIL": "tests@example.com",
    "GIT_AUTHOR_NAME": "Tests",
    "GIT_COMMITTER_EMAIL": "tests@example.com",
    "GIT_COMMITTER_NAME": "Tests",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
}


def _described(changelog: str) -> dict[str, str]:
    """What a changelog says about each version, newest first, and about what is not released yet."""
    parts = re.split(rf"(?m)^## ({UNRELEASED}|\S+ - \d{{4}}-\d{{2}}-\d{{2}})$", changelog)
    versions = [heading.partition(" - ")[0] for heading in parts[1::2]]
    return dict(zip(versions, parts[2::2], strict=True))


def test_nothing_is_released_before_0_2_0() -> None:
    """Until then the list is empty, and the changelog says so; from then on it begins with 0.2.0, and is demanded."""
    described = _described((ROOT / "CHANGELOG.md").read_text(encoding="utf-8"))
    if found := releases():
        assert found[0].version == FIRST_RELEASE
    else:
        assert list(described) in ([UNRELEASED], [FIRST_RELEASE])
    announced = [version for version, text in described.items() if FIRST_TO_COME in text]
    assert announced == ([UNRELEASED] if list(described) == [UNRELEASED] else [])


def test_releases_are_listed_in_order() -> None:
    """Oldest first, each version and each commit once."""
    found = releases()
    assert all(Version(before.version) < Version(after.version) for before, after in pairwise(found))
    assert len({each.commit for each in found}) == len(found)


def test_every_release_is_available_and_described() -> None:
    """Its commit is here or at the origin, its changelog has it, and its tag, where there is one, is that commit."""
    for each in releases():
        try:
            changelog = file_of(each, "CHANGELOG.md")
        except ReleaseMissing as missing:
            pytest.fail(str(missing), pytrace=False)
        assert each.version in _described(changelog)
        tag = subprocess.run(
            ["git", "rev-parse", "--quiet", "--verify", f"{each.tag}^{{commit}}"],
            cwd=ROOT,
            capture_output=True,
            check=False,
            encoding="utf-8",
        )
        assert tag.stdout.strip() in {"", each.commit}, f"{each.tag} is another commit than releases.txt says"


def test_the_changelog_describes_every_release_in_two_parts() -> None:
    """For the owners of projects and for the keepers of the template; above them one may be about to be released."""
    described = _described((ROOT / "CHANGELOG.md").read_text(encoding="utf-8"))
    listed = [each.version for each in reversed(releases())]
    to_come = [version for version in described if version not in listed]
    assert list(described) == to_come + listed
    assert len(to_come) <= 1
    versions = [version for version in described if version != UNRELEASED]
    assert sorted(versions, key=Version, reverse=True) == versions
    for version, text in described.items():
        assert re.findall(r"(?m)^### .*$", text) == PARTS, version


@pytest.mark.parametrize("line", ["0.9", "0.9 abc", "v0.9 " + "a" * 40, "0.01 " + "a" * 40, "new " + "a" * 40])
def test_a_line_that_is_not_a_release_is_refused(line: str, tmp_path: Path) -> None:
    """The error has its number, and says what would be right."""
    (tmp_path / "releases.txt").write_text(f"# Releases\n{line}\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"releases\.txt, line 2: write a version"):
        releases(tmp_path)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository that is ready for release 1.0."""
    root = tmp_path / "repository"
    runtime = root / "template" / "src" / "event_backbone"
    shutil.copytree(
        ROOT / "template" / "src" / "event_backbone", runtime, ignore=shutil.ignore_patterns("__pycache__", MANIFEST)
    )
    (runtime / MANIFEST).write_text(manifest_text(runtime), encoding="utf-8")
    (root / "scripts").mkdir()
    for name in ("release", "manifest"):
        shutil.copy(ROOT / "scripts" / name, root / "scripts")
    (root / "scripts" / "_environment").write_text('set -euo pipefail\ncd "$(dirname "${BASH_SOURCE[0]}")/.."\n')
    (root / "releases.txt").write_text(f"# Releases\n0.9 {'a' * 40}\n", encoding="utf-8")
    (root / "CHANGELOG.md").write_text("# Changelog\n\n## 1.0 - 2026-12-01\n", encoding="utf-8")
    _run(root, "git", "init", "--quiet", "--initial-branch=main")
    _commit(root)
    return root


def test_the_script_makes_a_release(repository: Path) -> None:
    """The checked out commit gets the tag and, in the next commit, its line."""
    released = _run(repository, "git", "rev-parse", "HEAD").stdout.strip()

    done = _run(repository, "scripts/release", "1.0")

    assert done.stdout.startswith(f"v1.0 is {released}. Now: scripts/test")
    assert releases(repository)[-1] == Release("1.0", released)
    assert _run(repository, "git", "rev-parse", "v1.0^{commit}", "HEAD~1").stdout.split() == [released] * 2
    assert _run(repository, "git", "status", "--porcelain").stdout == ""
    again = _run(repository, "scripts/release", "1.0", fails=True)
    assert again.stderr == "1.0 is not a PEP 440 version above 1.0.\n"


def test_the_script_makes_the_first_release(repository: Path) -> None:
    """The list is empty before it. What is not a version is refused then as well."""
    (repository / "releases.txt").write_text("# Releases\n", encoding="utf-8")
    _commit(repository)
    refused = _run(repository, "scripts/release", "0", fails=True)
    assert refused.stderr == "0 is not a PEP 440 version above 0.\n"
    released = _run(repository, "git", "rev-parse", "HEAD").stdout.strip()

    _run(repository, "scripts/release", "1.0")

    assert releases(repository) == [Release("1.0", released)]
    assert _run(repository, "git", "rev-parse", "v1.0^{commit}").stdout.strip() == released


@pytest.mark.parametrize("version", ["", "v1.0", "0.9", "0.8.1", "1.0.", "01.0", "one"])
def test_an_invalid_version_is_refused(repository: Path, version: str) -> None:
    """And so is one that is not above the latest."""
    refused = _run(repository, "scripts/release", version, fails=True)
    assert refused.stderr == f"{version} is not a PEP 440 version above 0.9.\n"


def test_a_release_that_is_not_ready_is_refused(repository: Path) -> None:
    """Something is not committed, the changelog does not have it, or the manifest is stale; nothing is tagged."""
    refused = _run(repository, "scripts/release", "1.1", fails=True)
    assert "Add this heading to CHANGELOG.md, and commit: ## 1.1 - " in refused.stderr
    policy = repository / "template/src/event_backbone/policy.py"
    policy.write_text(policy.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    assert "Commit first" in _run(repository, "scripts/release", "1.0", fails=True).stderr
    _commit(repository)
    assert "commit it first" in _run(repository, "scripts/release", "1.0", fails=True).stderr
    assert _run(repository, "git", "tag").stdout == ""
    _commit(repository)
    _run(repository, "scripts/release", "1.0")


def test_a_shallow_clone_fetches_what_it_lacks(repository: Path, tmp_path: Path) -> None:
    """Without tags and without history, as CI has it; and when the origin no longer has it, a sentence says so."""
    _run(repository, "scripts/release", "1.0")
    (repository / "CHANGELOG.md").write_text("# Later\n", encoding="utf-8")
    _commit(repository)
    clone = tmp_path / "clone"
    _run(tmp_path, "git", "clone", "--quiet", "--depth=1", "--no-tags", repository.as_uri(), str(clone))
    release = releases(clone)[-1]
    assert _run(clone, "git", "cat-file", "-e", release.commit, fails=True).returncode

    assert "## 1.0 - 2026-12-01" in file_of(release, "CHANGELOG.md", clone)
    (tmp_path / "old").mkdir()
    extract(release, ("CHANGELOG.md", "template"), tmp_path / "old", clone)
    assert (tmp_path / "old" / "template/src/event_backbone/policy.py").exists()

    with pytest.raises(
        ReleaseMissing, match=r"^The commit of release 0\.9 is not here, and origin did not give it: git"
    ):
        have(releases(clone)[0], clone)


def _commit(root: Path) -> None:
    _run(root, "git", "add", "--all")
    _run(root, "git", "commit", "--quiet", "--message", "Everything")


def _run(root: Path, *command: str, fails: bool = False) -> subprocess.CompletedProcess[str]:
    program = str(root / command[0]) if "/" in command[0] else command[0]
    done = subprocess.run(
        [program, *command[1:]], cwd=root, env=os.environ | GIT, capture_output=True, check=False, encoding="utf-8"
    )
    assert bool(done.returncode) == fails, done.stdout + done.stderr
    return done
