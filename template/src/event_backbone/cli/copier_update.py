"""Runs `copier update` with a new answer to the question `events`, after checking what Copier needs."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path

from event_backbone.cli.copier_answers import ANSWERS_FILE, CopierAnswers
from event_backbone.cli.errors import fail
from event_backbone.cli.event_notation import NotationError, parse_events, write_events
from event_backbone.cli.output import print_line

_ADDRESS = re.compile(r"[\w+.-]+://|git\+|[\w.-]+@|gh:|gl:")


def update_line(events: str) -> str:
    """Return the command that updates the project to these events, as its README has it."""
    answer = f"events={_plain(events)}"
    quoted = shlex.quote(answer) if "'" in answer else f"'{answer}'"
    return f"copier update --defaults --data {quoted}"


def run_update(answers: CopierAnswers, events: str) -> None:
    """Update the project to these events, by Copier itself or by uvx; without either, print the line to run.

    When something that Copier needs is missing, a sentence ends the command before anything is changed.
    """
    _check_template(answers)
    _check_git(answers.root)
    copier = next((each for each in (["copier"], ["uvx", "copier"]) if shutil.which(each[0])), None)
    if copier is None:
        print_line(update_line(events))
        fail(f"Neither copier nor uvx is installed: install one of them, and run the line above in {answers.root}.")
    print_line(f"{'' if len(copier) == 1 else 'uvx '}{update_line(events)}")
    done = subprocess.run(
        [*copier, "update", "--defaults", "--data", f"events={events}"], cwd=answers.root, check=False
    )
    if done.returncode:
        fail(
            f"Copier ended with exit code {done.returncode}, and its own message is above; see git status for changes."
        )


def _plain(events: str) -> str:
    """Return the events in their plainest form; a text that is not valid stays as it is."""
    try:
        return write_events(parse_events(events))
    except NotationError:
        return events


def _check_template(answers: CopierAnswers) -> None:
    """Refuse a template that Copier would not find; it would end in a traceback."""
    template = answers.template
    if not template:
        fail(
            f"{ANSWERS_FILE} has no _src_path, so Copier cannot find the template: write its address there, and commit."
        )
    if _ADDRESS.match(template):
        return
    path = Path(template).expanduser()
    if (answers.root / path).exists():
        return
    change = f"write its address or full path as _src_path into {ANSWERS_FILE}, and commit"
    if path.is_absolute():
        fail(f"The template is no longer at {template}: {change}.")
    fail(f"The template's path {template!r} is relative to the folder in which the project was made: {change}.")


def _check_git(root: Path) -> None:
    """Refuse a work tree that Copier would refuse."""
    git = shutil.which("git")
    if git is None:
        fail("Install git: copier update needs it.")
    status = subprocess.run(
        [git, "status", "--porcelain"], cwd=root, capture_output=True, check=False, encoding="utf-8"
    )
    if status.returncode:
        fail('Copier updates only git repositories: git init && git add . && git commit -m "Start"')
    if status.stdout:
        fail("Commit or stash your changes first: copier update needs a clean git work tree.")
