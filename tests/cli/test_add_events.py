"""`events` and `events add`: the line that adds an event, and what keeps it from being run."""

import subprocess
from pathlib import Path

import pytest

from tests.cli.conftest import Shop

EVENTS = "OrderPlaced(email: str,\n  time: datetime), Packing"
LINE = "copier update --defaults --data 'events=OrderPlaced(email: str, time: datetime), Packing"
MISTAKES = {
    "Lost(reason: str": "Give each event one pair of ( ): a bracket is not closed, not opened or nested.",
    'Lost(reason: str = "x")': 'Leave out "=": arguments have no default here; give one in contract.py.',
    "lost": 'Write events like OrderPlaced: "lost" is not in that form.',
    "Class": "Rename event Class: Python or the runtime uses class.",
    "ORDERPlaced": "Rename ORDERPlaced or OrderPlaced: both become order_placed.",
    "Packing(id: int)": "Packing exists already: to change its arguments, edit contract.py and handlers.py.",
    "Closed": "Closed exists already: to change its arguments, edit contract.py and handlers.py.",
    "Lost, Lost": "Remove one of the two events named Lost.",
    ", ".join(f"E{number}" for number in range(49)): "Use at most 50 events: you have 52.",
    "": "Name at least one event, such as OrderPlaced.",
}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the answers of two events; the command runs in a folder of it."""
    (tmp_path / ".copier-answers.yml").write_text(f"_src_path: {tmp_path}\nevents: |-\n  {EVENTS}\nuri: shop\n")
    (tmp_path / "src").mkdir()
    monkeypatch.chdir(tmp_path / "src")
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    return tmp_path


def test_events_prints_the_line_that_adds_one(shop: Shop, project: Path) -> None:
    """In its plainest form, with the types; an answer that somebody broke is printed as it is."""
    assert f"\n{LINE}'\n" in shop("events").output
    (project / ".copier-answers.yml").write_text("events: 'OrderPlaced(email: str), It''s'\nuri: shop\n")
    assert "'events=OrderPlaced(email: str), It'\"'\"'s'" in shop("events").output


def test_the_line_is_printed_for_several_events(shop: Shop, project: Path) -> None:
    """For somebody who wants to run it later; nothing else is needed for it."""
    before = (project / ".copier-answers.yml").read_bytes()
    answer = shop("events", "add", "--print", "Lost( reason:str|None )", "Found, Sold()")
    assert (answer.code, answer.errors) == (0, "")
    assert answer.output == f"{LINE}, Lost(reason: str | None), Found, Sold()'\n"
    assert (project / ".copier-answers.yml").read_bytes() == before


@pytest.mark.usefixtures("project")
@pytest.mark.parametrize("text", MISTAKES)
def test_a_mistake_is_one_sentence(shop: Shop, text: str) -> None:
    """That of the template's question, or that the event exists; exit code 2 before anything is run."""
    for options in ((), ("--print",)):
        answer = shop("events", "add", *options, "Sold()", text)
        assert (answer.code, answer.output, answer.errors) == (2, "", f"{MISTAKES[text]}\n")


def test_what_copier_needs_is_checked_first(shop: Shop, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One sentence each says what to do: where the template is, the repository, its changes, and Copier itself."""
    file = project / ".copier-answers.yml"
    good = file.read_text()

    def said(code: int = 1) -> str:
        answer = shop("events", "add", "Lost")
        assert (answer.code, answer.errors.count("\n")) == (code, 1)
        return answer.errors

    file.write_text(good.replace(f"_src_path: {project}", "_src_path: clone"))
    assert "'clone' is relative to the folder in which the project was made: write its address or full path" in said()
    file.write_text(good.replace(f"_src_path: {project}", "_src_path: /nowhere/clone"))
    assert said().startswith("The template is no longer at /nowhere/clone: write its address")
    file.write_text(good)
    assert said().startswith("Copier updates only git repositories: git init")
    subprocess.run(["git", "init", "--quiet"], cwd=project, check=True)
    assert said() == "Commit or stash your changes first: copier update needs a clean git work tree.\n"
    (project / ".git" / "info" / "exclude").write_text("*\n")
    only_git = project / "only-git"
    only_git.mkdir()
    (only_git / "git").write_text('#!/bin/sh\nPATH=/usr/bin:/bin exec git "$@"\n')
    (only_git / "git").chmod(0o755)
    monkeypatch.setenv("PATH", str(only_git))
    answer = shop("events", "add", "Lost")
    assert (answer.code, answer.output) == (1, f"{LINE}, Lost'\n")
    assert (
        answer.errors
        == f"Neither copier nor uvx is installed: install one of them, and run the line above in {project}.\n"
    )
    (only_git / "uvx").write_text("#!/bin/sh\nexit 4\n")
    (only_git / "uvx").chmod(0o755)
    assert said() == "Copier ended with exit code 4, and its own message is above; see git status for changes.\n"
    file.unlink()
    assert said().startswith("No .copier-answers.yml with the answer `events` was found here or above")
