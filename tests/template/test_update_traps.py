"""Known pitfalls of updates, each shown to do no harm here.

Some of it cannot occur, because the template has no such thing: files that are written once, tasks, secrets, other
questions by the same name, files that git ignores, lock files. Tests below check that too.
"""

import subprocess
from pathlib import Path
from typing import Any

import copier
import pytest
import yaml
from copier.errors import UserMessageError

from tests.template.owner import make_ordinary_edits
from tests.template.rendering import ROOT, commit, git, run_in, saved_answers
from tests.template.updating import (
    EVENTS,
    EVERY_START,
    NEWEST_START,
    NEXT,
    SHOP,
    WORK_TREE,
    History,
    after,
    append,
    conflicts,
    edit,
    files_of,
    update,
)

CONFIG: dict[str, Any] = yaml.safe_load((ROOT / "copier.yml").read_text(encoding="utf-8"))
WIDEST: dict[str, Any] = {
    "project_name": "x" * 50,
    "package_name": "a" * 40,
    "description": 'Says "hi" \\ and {{ bye }}: # & ' + "x" * 260,
    "author_name": "A" * 100,
    "author_email": "ada@example.com",
    "events": ", ".join(f"Event{number}(id: dict[str, int] | None)" for number in range(50)),
    "uri": "a" * 100,
    "consumer_group": "G.h_i:j-" * 8,
    "storage": "s3",
    "s3_bucket": "b" * 63,
    "s3_credentials": "profile",
    "aws_profile": "Some.profile_of-mine@x",
    "aws_region": "eu-central-1",
}


@pytest.fixture
def project(thin_history: History, tmp_path: Path) -> Path:
    """An untouched project of the work tree."""
    return thin_history.project(tmp_path / "project", WORK_TREE, SHOP)


def test_no_file_is_written_once_and_none_depends_on_the_kind_of_operation() -> None:
    """Copier brings such files back when they are deleted, never updates them, or deletes them with edits in them."""
    assert "_skip_if_exists" not in CONFIG
    assert not [pattern for pattern in CONFIG["_exclude"] if "_copier_operation" in pattern]


def test_no_rendered_file_is_ignored_by_git(project: Path) -> None:
    """Copier overwrites ignored files at every update; a lock file would conflict at every one."""
    listed = git(project, "ls-files", "--cached", "--ignored", "--exclude-standard")
    assert listed == ""
    assert not list(project.rglob("*.lock"))


@NEWEST_START
def test_lock_file_and_settings_of_the_owner_stay(thin_history: History, start: str, tmp_path: Path) -> None:
    """A committed uv.lock and an ignored .env come out as they went in."""
    project = thin_history.project(tmp_path / "project", start, SHOP)
    (project / "uv.lock").write_text("version = 1\n", encoding="utf-8")
    (project / ".env").write_text("EVENT_SOURCE_ENVIRONMENT=ours\n", encoding="utf-8")
    commit(project, "Ours")
    assert ".env" not in files_of(project)

    update(project, NEXT)

    assert (project / "uv.lock").read_text(encoding="utf-8") == "version = 1\n"
    assert (project / ".env").read_text(encoding="utf-8") == "EVENT_SOURCE_ENVIRONMENT=ours\n"
    assert not conflicts(project)


@NEWEST_START
def test_a_deleted_and_a_moved_file_stay_so(thin_history: History, start: str, tmp_path: Path) -> None:
    """Though the template has changed them. A moved file is the owner's alone: no update reaches it any more."""
    project = thin_history.project(tmp_path / "project", start, SHOP)
    (project / "Dockerfile").unlink()
    (project / "tests" / "test_worker.py").unlink()
    (project / "LICENSE").rename(project / "LICENSE.txt")
    commit(project, "Ours")
    moved = (project / "LICENSE.txt").read_bytes()

    update(project, NEXT)

    assert not conflicts(project)
    assert not {"Dockerfile", "LICENSE", "tests/test_worker.py"} & set(files_of(project))
    assert (project / "LICENSE.txt").read_bytes() == moved


@NEWEST_START
def test_a_file_saved_with_other_line_endings_merges(thin_history: History, start: str, tmp_path: Path) -> None:
    """.gitattributes lets git keep one kind, whatever an editor writes."""
    project = thin_history.project(tmp_path / "project", start, SHOP)
    for name in ("README.md", "src/shop/handlers.py"):
        file = project / name
        file.write_bytes(file.read_bytes().replace(b"\n", b"\r\n"))
    commit(project, "Ours")

    update(project, NEXT, events=f"{EVENTS}, Lost()")

    assert not conflicts(project)
    assert files_of(project) == files_of(thin_history.fresh(NEXT, SHOP | {"events": f"{EVENTS}, Lost()"}))


@NEWEST_START
def test_a_formatter_with_another_style_loses_nothing(thin_history: History, start: str, tmp_path: Path) -> None:
    """The project's formatter changes nothing; with another style, lines that both changed are marked, as always."""
    project = thin_history.project(tmp_path / "project", start, SHOP)
    handlers = project / "src" / "shop" / "handlers.py"
    append(handlers, '\n    _log.debug("ours")\n')
    edit(project / "pyproject.toml", ("line-length = 120", "line-length = 60"))
    assert run_in(project, "-m", "ruff", "format", "--no-cache").returncode == 0
    commit(project, "Ours")

    update(project, NEXT, events=f"{EVENTS}, Lost()")

    assert "src/shop/contract.py" not in conflicts(project)
    text = handlers.read_text(encoding="utf-8")
    assert "async def lost(" in text
    assert '_log.debug("ours")' in text


@NEWEST_START
def test_a_hook_of_git_that_fails_does_not_stop_an_update(thin_history: History, start: str, tmp_path: Path) -> None:
    """Copier commits nothing into the project."""
    project = thin_history.project(tmp_path / "project", start, SHOP)
    hook = project / ".git" / "hooks" / "pre-commit"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\nexit 1\n", encoding="utf-8")
    hook.chmod(0o755)

    update(project, after(start), events=f"{EVENTS}, Lost()")

    assert "def lost(" in (project / "src" / "shop" / "contract.py").read_text(encoding="utf-8")


def test_what_is_not_committed_is_safe(project: Path) -> None:
    """An update is refused until the owner has committed, and so is a way back to an older version."""
    append(project / "README.md", "\nOurs.\n")
    with pytest.raises(UserMessageError, match="dirty"):
        update(project, NEXT)
    git(project, "checkout", "--", "README.md")
    update(project, NEXT)
    commit(project, "Updated")
    with pytest.raises(UserMessageError, match="downgrading"):
        update(project, WORK_TREE)


def test_an_answer_edited_in_the_answers_file_changes_nothing(project: Path) -> None:
    """Copier takes it for what it has rendered, hence the first line of the answers file, and --data."""
    answers = project / ".copier-answers.yml"
    assert answers.read_text(encoding="utf-8").startswith("# Written by Copier, do not edit.")
    edit(answers, ("license: MIT", "license: Apache-2.0"))
    commit(project, "By hand")
    update(project, WORK_TREE)
    assert (project / "LICENSE").read_text(encoding="utf-8").startswith("MIT")


@NEWEST_START
def test_another_name_of_the_package_moves_what_the_template_made(
    thin_history: History, start: str, tmp_path: Path
) -> None:
    """Edits do not follow, so the documentation advises against it: they are in git, and own files stay in place."""
    project = thin_history.project(tmp_path / "project", start, SHOP)
    make_ordinary_edits(project)
    commit(project, "Ours")

    update(project, after(start), package_name="store")

    assert "src/shop/contract.py" in git(project, "ls-files", "--deleted").splitlines()
    assert "class Parcel" in git(project, "show", "HEAD:src/shop/contract.py")
    assert (project / "src" / "shop" / "prices.py").exists()
    assert (project / "src" / "store" / "contract.py").exists()


@EVERY_START
def test_no_rendered_file_was_renamed_or_dropped(thin_history: History, start: str) -> None:
    """Copier would delete the old one with the owner's edits in it, and say nothing."""
    for answers in ({}, saved_answers("s3"), saved_answers("s3-cached"), saved_answers("minimal")):
        before = {each for each in files_of(thin_history.fresh(start, answers)) if "event_backbone" not in each}
        assert before <= set(files_of(thin_history.fresh(after(start), answers)))


@EVERY_START
def test_no_question_and_no_choice_was_taken_back(thin_history: History, start: str) -> None:
    """A stored answer that is unknown or refused now would become the default, silently."""
    now = thin_history.questions(after(start))
    for name, question in thin_history.questions(start).items():
        if name.startswith("_") or question.get("when") is False:
            continue
        assert now[name]["type"] == question["type"], name
        assert set(_values(question)) <= set(_values(now[name])), name


def _values(question: dict[str, Any]) -> list[object]:
    choices: dict[str, object] | list[object] = question.get("choices", [])
    return list(choices.values()) if isinstance(choices, dict) else choices


@EVERY_START
def test_the_widest_answers_are_still_taken(thin_history: History, start: str, tmp_path: Path) -> None:
    """A validator that became stricter would reset an answer, silently."""
    project = thin_history.project(tmp_path / "project", start, WIDEST)

    update(project, after(start))

    recorded = yaml.safe_load((project / ".copier-answers.yml").read_text(encoding="utf-8"))
    assert {name: recorded.get(name) for name in WIDEST} == WIDEST


def test_an_update_is_announced(project: Path) -> None:
    """``copier check-update`` ends with 2 when there is a newer version: for scripts, and for Renovate."""
    command = ["copier", "check-update", "--quiet"]
    assert subprocess.run(command, cwd=project, check=False).returncode == 2
    copier.run_update(project, defaults=True, overwrite=True, unsafe=False, quiet=True)
    assert subprocess.run(command, cwd=project, check=False).returncode == 0
