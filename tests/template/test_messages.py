"""What Copier prints at the end: commands that work as they are, whatever the paths."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.template.rendering import Template, commit, git


@pytest.fixture
def clone(owners_template: Template, tmp_path: Path) -> Path:
    """A clone of the template with two releases, in a folder with a space in its name, next to the projects."""
    folder = tmp_path / "my clone"
    shutil.copytree(owners_template.repository, folder)
    commit(folder, "Release 0.0.1")
    git(folder, "tag", "v0.0.1")
    (folder / "template" / "NEWS.md").write_text("The next version.", encoding="utf-8")
    commit(folder, "Release 0.0.2")
    git(folder, "tag", "v0.0.2")
    return folder


def run(folder: Path, *command: str) -> str:
    """Run a command in a folder and return what it says to people."""
    done = subprocess.run(command, cwd=folder, check=False, capture_output=True, encoding="utf-8", env=os.environ)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stderr


def next_commands(message: str) -> list[str]:
    """The commands that the message tells to run."""
    text = message[message.index(" is ready. Next:") :]
    assert all(len(line) <= 80 for line in text.splitlines() if not line.startswith("  "))
    return re.findall(r"^  (\S.*)$", text, re.MULTILINE)


def test_the_next_commands_can_be_pasted(owners_template: Template, tmp_path: Path) -> None:
    """The folder in them is quoted where a shell would take it for something else."""
    folder = tmp_path / 'it\'s; a "$HOME" `id` $(id) &'
    said = run(tmp_path, "copier", "copy", "--defaults", str(owners_template.repository), str(folder))
    commands = next_commands(said)
    assert [each.split()[0] for each in commands] == ["cd", "git", "uv"]
    shell = subprocess.run(["sh", "-c", f"{commands[0]} && pwd"], check=True, capture_output=True, encoding="utf-8")
    assert shell.stdout == f"{folder}\n"


def test_after_a_copy_from_a_relative_path_the_next_commands_make_updates_work(clone: Path, tmp_path: Path) -> None:
    """Copier records the path as it was given, and would look for it inside the project. Answers and version stay."""
    answers = ["--defaults", "--data", "uri=mine", "--vcs-ref", "v0.0.1"]
    said = run(tmp_path, "copier", "copy", *answers, clone.name, "its project")
    commands = [each for each in next_commands(said) if not each.startswith("uv run ")]
    run(tmp_path, "sh", "-ec", "\n".join(commands))
    project = tmp_path / "its project"
    assert not (project / "NEWS.md").exists()
    run(project, "copier", "update", "--defaults")
    assert (project / "NEWS.md").read_text(encoding="utf-8") == "The next version."
    recorded = yaml.safe_load((project / ".copier-answers.yml").read_text(encoding="utf-8"))
    assert (recorded["_src_path"], recorded["uri"]) == (str(clone), "mine")
