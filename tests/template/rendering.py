"""Renders projects from the work tree as users do from a release: by Copier, from a tagged commit, without trust."""

import json
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import copier
import yaml

from event_backbone.manifest import MANIFEST, manifest_text

ROOT = Path(__file__).parents[2]
PARTS = ("copier.yml", "includes", "template")
RUNTIME = Path("template/src/event_backbone")
GIT_ENVIRONMENT = {
    "GIT_AUTHOR_EMAIL": "tests@example.com",
    "GIT_AUTHOR_NAME": "Tests",
    "GIT_COMMITTER_EMAIL": "tests@example.com",
    "GIT_COMMITTER_NAME": "Tests",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
}

Answers = Mapping[str, Any]
Whole = Callable[[Answers], Path]


def saved_answers(name: str) -> dict[str, Any]:
    """The answers of ``answers/<name>.yml``."""
    return cast("dict[str, Any]", yaml.safe_load((ROOT / "answers" / f"{name}.yml").read_text(encoding="utf-8")))


def git(folder: Path, *arguments: str) -> str:
    """Run git in a folder, with no configuration of this machine's, and return what it says."""
    environment = os.environ | GIT_ENVIRONMENT
    done = subprocess.run(
        ["git", *arguments], cwd=folder, env=environment, check=True, capture_output=True, encoding="utf-8"
    )
    return done.stdout


def commit(folder: Path, message: str) -> None:
    """Commit everything in a folder, which becomes a repository if it is not one."""
    if not (folder / ".git").exists():
        git(folder, "init", "--quiet", "--initial-branch=main")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--allow-empty", "--message", message)


def template_files() -> list[Path]:
    """The files of the template in the work tree, committed or not, without what git ignores."""
    listed = git(ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *PARTS)
    found = [Path(name) for name in listed.split("\0") if name]
    return sorted(each for each in found if (ROOT / each).exists() and "__pycache__" not in each.parts)


def write_manifest(runtime: Path) -> None:
    """Write the manifest that a release has; tests/house/test_manifest.py checks that the work tree's is current."""
    (runtime / MANIFEST).write_text(manifest_text(runtime), encoding="utf-8")


class Template:
    """A tagged copy of the work tree's template, and the projects rendered from it.

    Without the runtime, and then without a repository, projects have only their owner's files, and render much faster.
    """

    def __init__(self, folder: Path, *, runtime: bool = True) -> None:
        """Copy the template below ``folder``, and tag it if it is complete."""
        self.repository = folder / "event-backbone"
        self._tag = "v0.0.1" if runtime else None
        self._projects = folder / "projects"
        self._rendered: dict[str, Path] = {}
        for each in template_files():
            if runtime or not each.is_relative_to(RUNTIME):
                target = self.repository / each
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / each, target)
        if self._tag:
            write_manifest(self.repository / RUNTIME)
            commit(self.repository, "Release 0.0.1")
            git(self.repository, "tag", self._tag)

    def rendered(self, answers: Answers) -> Path:
        """A project for these answers, the same folder each time: look, do not touch."""
        key = json.dumps(answers, sort_keys=True)
        if key not in self._rendered:
            project = self._projects / f"project{len(self._rendered)}"
            self.render(project, answers)
            self._rendered[key] = project
        return self._rendered[key]

    def render(self, project: Path, answers: Answers) -> Path:
        """Render a project for this test; fail when an answer was not accepted, such as a misspelt one."""
        copier.run_copy(
            str(self.repository),
            project,
            data=dict(answers),
            defaults=True,
            unsafe=False,
            quiet=True,
            vcs_ref=self._tag,
        )
        recorded = yaml.safe_load((project / ".copier-answers.yml").read_text(encoding="utf-8"))
        assert {name: recorded.get(name) for name in answers} == dict(answers)
        return project


def owned(project: Path) -> list[Path]:
    """The files of a project without the bundled runtime, relative to it."""
    found = (each.relative_to(project) for each in project.rglob("*") if each.is_file())
    skipped = {"__pycache__", ".git", ".ruff_cache", ".mypy_cache", ".pytest_cache"}
    return sorted(
        each for each in found if each.parts[:2] != ("src", "event_backbone") and not skipped & set(each.parts)
    )


def parse(name: str, text: str) -> object:
    """Read a rendered file as what reads it does; None for those that are text to everyone."""
    if name.endswith(".toml"):
        return tomllib.loads(text)
    if name.endswith((".yml", ".yaml")):
        return yaml.safe_load(text)
    if name.endswith(".json"):
        return json.loads(text)
    if name.endswith(".py"):
        return compile(text, name, "exec", dont_inherit=True)
    return None


def assert_clean(*projects: Path) -> None:
    """Fail when a formatter or linter, with the settings of each project, finds anything in one of them."""
    for command in (["format", "--check", "--diff"], ["check"]):
        done = subprocess.run(
            ["ruff", *command, "--no-cache", "--quiet", *map(str, projects)],
            capture_output=True,
            encoding="utf-8",
            check=False,
        )
        assert done.returncode == 0, (done.stdout + done.stderr)[:4000]


def package_of(project: Path) -> str:
    """The name of the project's own package."""
    (name,) = {each.name for each in (project / "src").iterdir()} - {"event_backbone"}
    return name


def run_in(
    project: Path, *command: str, timeout: float = 120, variables: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run ``python <command>`` in a project, with this environment's packages and the project's own source."""
    foreign = ("COVERAGE", "PYTEST", "PYTHONDONTWRITEBYTECODE")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    return subprocess.run(
        [sys.executable, *command],
        cwd=project,
        env=environment | {"PYTHONPATH": str(project / "src"), "NO_COLOR": "1"} | dict(variables or {}),
        check=False,
        capture_output=True,
        encoding="utf-8",
        timeout=timeout,
    )
