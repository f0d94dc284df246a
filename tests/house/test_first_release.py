"""What the first release changes: once it is in releases.txt, the tests demand it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.releases import releases
from tests.template.rendering import GIT_ENVIRONMENT, ROOT, commit, git
from tests.template.updating import edit

HOUSE = "tests/house/test_releases.py::"
UPDATES = "tests/template/test_update_traps.py::"
LISTED = f"{HOUSE}test_every_release_is_available_and_described"
DESCRIBED = f"{HOUSE}test_the_changelog_describes_every_release_in_two_parts"
FIRST = f"{HOUSE}test_nothing_is_released_before_0_2_0"
FILES = f"{UPDATES}test_no_rendered_file_was_renamed_or_dropped[v0.2.0]"
QUESTIONS = f"{UPDATES}test_no_question_and_no_choice_was_taken_back[v0.2.0]"
UPDATE = f"{UPDATES}test_lock_file_and_settings_of_the_owner_stay[v0.2.0]"
PARTS = "\n### In your project\n\n### In the template\n"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """The work tree as a separate repository that has released 0.2.0, and one commit more."""
    root = tmp_path / "tree"
    for name in git(ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0"):
        if name and (ROOT / name).is_file():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, root / name)
    (root / "scripts" / "_environment").write_text('set -euo pipefail\ncd "$(dirname "${BASH_SOURCE[0]}")/.."\n')
    (root / "releases.txt").write_text("# Releases\n", encoding="utf-8")
    (root / "CHANGELOG.md").write_text(f"# Changelog\n\n## 0.2.0 - 2027-01-31\n{PARTS}", encoding="utf-8")
    _run(root, "scripts/manifest")
    commit(root, "Everything")
    _run(root, "scripts/release", "0.2.0")
    edit(root / "CHANGELOG.md", ("# Changelog\n", f"# Changelog\n\n## Unreleased\n{PARTS}"))
    return root


@pytest.mark.long
@pytest.mark.timeout(300)
def test_the_first_release_is_demanded(tree: Path) -> None:
    """Updates begin at it, nothing of it may be removed, and tests fail, not skip, when it is not available."""
    everything = [LISTED, DESCRIBED, FIRST, FILES, QUESTIONS, UPDATE]
    assert _verdicts(tree, *everything) == dict.fromkeys(everything, "PASSED")

    (tree / "template" / ".editorconfig.jinja").rename(tree / "template" / ".editor.jinja")
    edit(
        tree / "copier.yml",
        ("  type: str\n  help: What is the project called?", "  type: yaml\n  help: Which project?"),
    )
    assert _verdicts(tree, FILES, QUESTIONS) == {FILES: "FAILED", QUESTIONS: "FAILED"}

    (release,) = releases(tree)
    edit(tree / "releases.txt", (release.commit, "a" * 40))
    assert _verdicts(tree, LISTED, UPDATE) == {LISTED: "FAILED", UPDATE: "ERROR"}

    (tree / "releases.txt").write_text("# Releases\n", encoding="utf-8")
    assert _verdicts(tree, DESCRIBED, FIRST) == {DESCRIBED: "FAILED", FIRST: "FAILED"}


def _verdicts(root: Path, *tests: str) -> dict[str, str]:
    """The outcome of each of these tests in that tree."""
    done = _run(root, sys.executable, "-m", "pytest", "-v", "-p", "no:cacheprovider", *tests, check=False)
    lines = [line.split(maxsplit=2) for line in done.stdout.splitlines() if line.startswith(tests)]
    found = {line[0]: line[1] for line in lines}
    assert found.keys() == set(tests), done.stdout + done.stderr
    return found


def _run(root: Path, command: str, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run a script of the tree, or a program, with this environment's tools and none of what pytest has set."""
    program = str(root / command) if command.startswith("scripts/") else command
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("COVERAGE", "PYTEST"))}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        [program, *arguments],
        cwd=root,
        env=environment | GIT_ENVIRONMENT | {"PATH": path},
        check=check,
        capture_output=True,
        encoding="utf-8",
    )
