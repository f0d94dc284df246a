"""CI, Renovate and pre-commit: the same commands as in the README, from the project's own environment."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.template.box import read_yaml, tool
from tests.template.rendering import Template, Whole, commit, git, saved_answers

INSTALL = "if [ -f uv.lock ]; then uv sync --locked; else uv sync; fi"
PINNED = re.compile(r"\s+(?:- )?uses: [\w/-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+")


def checks_of(project: Path) -> list[str]:
    """The commands under "Check it" in the README."""
    text = (project / "README.md").read_text(encoding="utf-8")
    block = re.search(r"^## Check it\n\n```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert block is not None
    return block[1].splitlines()


def test_github_runs_what_the_readme_says(owners_template: Template) -> None:
    """After an installation that the lock file decides, if there is one."""
    project = owners_template.rendered(saved_answers("default"))
    job = read_yaml(project / ".github/workflows/ci.yml")["jobs"]["test"]
    assert [step["run"] for step in job["steps"] if "run" in step] == [INSTALL, *checks_of(project)]
    assert job["env"]["UV_NO_SYNC"] == "1"


def test_github_actions_are_pinned_and_may_only_read(owners_template: Template) -> None:
    """By a hash, with its version beside it; no job may write, and no credentials stay behind."""
    text = (owners_template.rendered(saved_answers("default")) / ".github/workflows/ci.yml").read_text(encoding="utf-8")
    uses = [line for line in text.splitlines() if "uses:" in line]
    assert uses
    assert all(PINNED.fullmatch(line) for line in uses)
    assert "\npermissions: {}\n" in text
    assert re.findall(r"permissions:\n +(\w+): (\w+)\n", text) == [("contents", "read")]
    assert "persist-credentials: false" in text


def test_gitlab_runs_what_the_readme_says(owners_template: Template) -> None:
    """In images of exact versions."""
    project = owners_template.rendered(saved_answers("s3-cached"))
    job = read_yaml(project / ".gitlab-ci.yml")["test"]
    assert (job["before_script"][-1], job["script"]) == (INSTALL, checks_of(project))
    assert job["variables"]["UV_NO_SYNC"] == "1"
    assert all(re.fullmatch(r"3\.\d+\.\d+", each) for each in job["parallel"]["matrix"][0]["PYTHON"])


@pytest.mark.parametrize("name", ["default", "s3-cached"])
def test_renovate_brings_releases_of_the_template(owners_template: Template, name: str) -> None:
    """By its Copier manager; it may also change the lock file, but nothing that the next release changes."""
    renovate: dict[str, Any] = json.loads((owners_template.rendered(saved_answers(name)) / "renovate.json").read_text())
    assert renovate["enabledManagers"] == ["copier", "pep621"]
    assert renovate["rangeStrategy"] == "in-range-only"
    (rule,) = renovate["packageRules"]
    assert rule["matchManagers"] == ["copier"]


@pytest.mark.parametrize("name", ["default", "minimal"])
def test_the_lock_file_is_the_owners_to_commit(owners_template: Template, name: str) -> None:
    """None is rendered, git does not ignore one, and the image is built by it."""
    project = owners_template.rendered(saved_answers(name))
    assert not (project / "uv.lock").exists()
    ignored = (project / ".gitignore").read_text(encoding="utf-8").splitlines()
    assert not [each for each in ignored if "lock" in each or each.endswith((".rej", ".orig"))]
    assert "!uv.lock" in (project / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert "Commit the `uv.lock`" in (project / "README.md").read_text(encoding="utf-8")


def _pre_commit(project: Path, cache: Path, *, skip: str = "") -> subprocess.CompletedProcess[str]:
    """Run the hooks on all files, with this environment as the project's; nothing may be installed for them."""
    environment = os.environ | {
        "PRE_COMMIT_HOME": str(cache),
        "SKIP": skip,
        "UV_PROJECT_ENVIRONMENT": sys.prefix,
        "UV_OFFLINE": "1",
        "PIP_NO_INDEX": "1",
    }
    git(project, "add", "--all")
    return subprocess.run(
        [tool("pre-commit"), "run", "--all-files", "--color", "never"],
        cwd=project,
        env=environment,
        check=False,
        capture_output=True,
        encoding="utf-8",
        timeout=100,
    )


def _hooks(done: subprocess.CompletedProcess[str]) -> dict[str, str]:
    """What became of each hook, by its name."""
    return dict(re.findall(r"^([\w ]+?)\.{3,}(?:\(.*\))?(Passed|Failed|Skipped)$", done.stdout, re.MULTILINE))


def test_the_hooks_pass_on_a_new_project_and_stop_what_an_update_left(whole: Whole, tmp_path: Path) -> None:
    """Conflict markers, also in the runtime, and rejected parts; the tools are those of the project's environment.

    The slowest of them fails here, and passes as a command of the README, in the test that follows it.
    """
    project = shutil.copytree(whole(saved_answers("default")), tmp_path / "project")
    config = read_yaml(project / ".pre-commit-config.yaml")
    assert [each["repo"] for each in config["repos"]] == ["local"]
    assert {hook["language"] for hook in config["repos"][0]["hooks"]} <= {"system", "pygrep", "fail"}
    commands = {hook["id"]: hook["entry"].replace(" --no-sync", "") for hook in config["repos"][0]["hooks"]}
    assert commands["basedpyright"] in checks_of(project)
    commit(project, "Start")
    done = _pre_commit(project, tmp_path / "cache", skip="basedpyright")
    assert done.returncode == 0, done.stdout + done.stderr
    assert set(_hooks(done).values()) == {"Passed", "Skipped"}

    runtime = project / "src/event_backbone/py.typed"
    runtime.write_text("<<<<<<< before updating\nmine\n=======\ntheirs\n>>>>>>> after updating\n", encoding="utf-8")
    (project / "README.md.rej").write_text("@@ -1 +1 @@\n", encoding="utf-8")
    (project / "src/shipment_tracking/cli.py").write_text('x: int = "1"\n', encoding="utf-8")
    hooks = _hooks(_pre_commit(project, tmp_path / "cache"))
    assert {name for name, became in hooks.items() if became == "Failed"} == {
        "basedpyright",
        "mypy",
        "no conflict markers from an update",
        "no rejected changes from an update",
    }
