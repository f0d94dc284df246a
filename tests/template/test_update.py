"""``copier update`` as its users expect it: a three-way merge that brings what is new and keeps what they wrote."""

import shutil
import subprocess
from pathlib import Path

import pytest

from event_backbone.manifest import edited_files
from tests.template.owner import DEPENDENCIES, make_ordinary_edits
from tests.template.rendering import commit, git, run_in
from tests.template.updating import (
    EVENTS,
    EVERY_START,
    NEWEST_START,
    NEXT,
    SHOP,
    WORK_TREE,
    History,
    after,
    answers_of,
    conflicts,
    edit,
    files_of,
    update,
)

MORE_EVENTS = f"{EVENTS}, Lost(where: str | None)"


@EVERY_START
def test_an_untouched_project_becomes_a_fresh_one(history: History, start: str, tmp_path: Path) -> None:
    """Byte for byte, and with its original answers."""
    project = history.project(tmp_path / "project", start, {})
    answers = answers_of(project)

    update(project, after(start))

    assert not conflicts(project)
    assert files_of(project) == files_of(history.fresh(after(start), {}))
    assert edited_files(project / "src" / "event_backbone") == []
    kept = answers_of(project)
    assert {name: kept.get(name) for name in answers if name != "_commit"} == {
        name: answer for name, answer in answers.items() if name != "_commit"
    }


def test_the_next_version_will_arrive(thin_history: History, tmp_path: Path) -> None:
    """It changes a line of every file, asks one more question, and its runtime has one file more and one file fewer."""
    project = thin_history.project(tmp_path / "project", WORK_TREE, {})

    update(project, NEXT)

    assert not conflicts(project)
    now, before = files_of(project), files_of(thin_history.fresh(WORK_TREE, {}))
    assert now == files_of(thin_history.fresh(NEXT, {}))
    runtime = "src/event_backbone/"
    assert now.keys() - before.keys() == {"later.txt", f"{runtime}LATER.md", f"{runtime}later.py"}
    assert before.keys() - now.keys() == {f"{runtime}README.md"}
    assert answers_of(project)["later"] == "Later"
    unchanged = {name for name in before.keys() & now.keys() if now[name] == before[name]}
    assert {name for name in unchanged if not name.startswith(runtime)} == {"src/shipment_tracking/py.typed"}


@NEWEST_START
def test_a_second_update_changes_nothing(thin_history: History, start: str, tmp_path: Path) -> None:
    """After one that brought a version, an event and another storage into a project with edits."""
    project = thin_history.project(tmp_path / "project", start, SHOP)
    make_ordinary_edits(project)
    commit(project, "Ours")
    update(project, NEXT, events=MORE_EVENTS, storage="s3")
    commit(project, "Updated")

    update(project, NEXT)

    assert git(project, "status", "--porcelain") == ""


@EVERY_START
@pytest.mark.timeout(180)
def test_owners_edits_and_a_new_event_live_together(history: History, start: str, tmp_path: Path) -> None:
    """The project becomes what the next version and the same edits would be, and its tests pass."""
    project = history.project(tmp_path / "project", start, SHOP)
    make_ordinary_edits(project)
    commit(project, "Ours")

    update(project, NEXT, events=MORE_EVENTS)

    assert not conflicts(project)
    wanted = history.project(tmp_path / "wanted", NEXT, SHOP | {"events": MORE_EVENTS})
    make_ordinary_edits(wanted)
    assert files_of(project) == files_of(wanted)
    for name, line in {"contract": "def lost(self, where: str | None)", "handlers": "async def lost("}.items():
        assert line in (project / "src" / "shop" / f"{name}.py").read_text(encoding="utf-8")
    tested = run_in(project, "-m", "pytest", "-v", "-p", "no:cacheprovider")
    assert tested.returncode == 0, tested.stdout + tested.stderr
    for name in ("contract", "api", "handlers"):
        assert f"tests/test_{name}.py" in tested.stdout
        assert tested.stdout.count("[lost]") >= len(("contract", "api", "handlers"))
    for command in (["ruff", "check"], ["ruff", "format", "--check"]):
        done = run_in(project, "-m", *command, "--no-cache")
        assert done.returncode == 0, done.stdout + done.stderr


@NEWEST_START
def test_a_project_in_a_folder_of_its_repository(thin_history: History, start: str, tmp_path: Path) -> None:
    """It merges there as it does alone, and its neighbours in the repository stay as they are."""
    thin_history.project(tmp_path / "company" / "shop", start, SHOP)
    project, company = tmp_path / "company" / "shop", tmp_path / "company"
    shutil.rmtree(project / ".git")
    (company / "README.md").write_text("# The company\n", encoding="utf-8")
    alone = thin_history.project(tmp_path / "alone", start, SHOP)
    for each, repository in ((project, company), (alone, alone)):
        make_ordinary_edits(each)
        commit(repository, "Ours")

    for each in (project, alone):
        update(each, NEXT, events=MORE_EVENTS)

    assert not conflicts(project)
    assert files_of(project) == files_of(alone)
    changed = git(company, "status", "--porcelain").splitlines()
    assert changed
    assert [line for line in changed if not line[3:].startswith("shop/")] == []


@NEWEST_START
def test_an_overlapping_edit_is_marked(thin_history: History, start: str, tmp_path: Path) -> None:
    """Both sides are in the file, git lists it as unmerged, and everything else is updated."""
    project = thin_history.project(tmp_path / "project", start, SHOP)
    worker = project / "src" / "shop" / "worker.py"
    edit(worker, ('"""The worker:', '"""Our worker:'))
    edit(project / "README.md", ("## Run it\n", "## How to run it\n"))
    commit(project, "Ours")

    update(project, NEXT)

    assert conflicts(project) == {"README.md", "src/shop/worker.py"}
    assert _sides(worker) == [('"""Our worker:', '"""Later: The worker:')]
    assert _sides(project / "README.md") == [("## How to run it", "## Run it, later")]
    fresh = files_of(thin_history.fresh(NEXT, SHOP))
    differing = {name for name, content in files_of(project).items() if content != fresh[name]}
    assert differing == {"README.md", "src/shop/worker.py"}


def _sides(file: Path) -> list[tuple[str, str]]:
    """What a file's conflicts begin with: the owner's side, and the template's."""
    parts = file.read_text(encoding="utf-8").split("<<<<<<< before updating\n")[1:]
    sides = [part.partition(">>>>>>> after updating\n")[0].split("=======\n") for part in parts]
    return [(ours.partition(" hands")[0].strip(), theirs.partition(" hands")[0].strip()) for ours, theirs in sides]


@NEWEST_START
def test_a_manually_edited_runtime_is_reported(history: History, start: str, tmp_path: Path) -> None:
    """By the doctor and by a test of the project, before an update and after it; the update keeps the edit."""
    project = history.project(tmp_path / "project", start, SHOP)
    errors = project / "src" / "event_backbone" / "errors.py"
    errors.write_text(errors.read_text(encoding="utf-8") + "\n# ours\n", encoding="utf-8")
    commit(project, "Ours")

    for version in (start, NEXT):
        if version == NEXT:
            update(project, NEXT)
            assert not conflicts(project)
            text = errors.read_text(encoding="utf-8")
            assert text.startswith('"""Later: ')
            assert text.endswith("# ours\n")
        tested = run_in(project, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/test_runtime.py")
        assert tested.returncode == 1
        assert "errors.py" in tested.stdout
        assert "Edited by hand: errors.py; copier update may conflict" in run_in(project, "-m", "shop", "doctor").stdout


@NEWEST_START
def test_uv_adds_dependencies_where_updates_leave_them(thin_history: History, start: str, tmp_path: Path) -> None:
    """``uv add`` keeps a sorted list sorted, and appends to any other one: below the line for the owner's."""
    uv = shutil.which("uv")
    assert uv is not None, "uv is one of the tools that scripts/test installs."
    project = thin_history.project(tmp_path / "project", start, SHOP)
    for arguments in (["attrs>=23"], ["--dev", "anyio>=4"]):
        subprocess.run([uv, "add", "--quiet", "--frozen", *arguments], cwd=project, check=True)
    text = (project / "pyproject.toml").read_text(encoding="utf-8")
    assert f'{DEPENDENCIES}    "attrs>=23",\n]' in text
    assert '# Yours go below this line; `uv add --dev` puts them here too.\n    "anyio>=4",\n]' in text
    commit(project, "Ours")

    update(project, after(start), storage="s3", telemetry=False)

    assert not conflicts(project)
    text = (project / "pyproject.toml").read_text(encoding="utf-8")
    assert [name for name in ("attrs>=23", "anyio>=4", "obstore", "moto") if name not in text] == []
    assert "opentelemetry-sdk" not in text


@NEWEST_START
def test_text_with_braces_survives_an_update(thin_history: History, start: str, tmp_path: Path) -> None:
    """Answers are text, not templates, the second time as well."""
    answers = {
        "project_name": "{{ shop }} {% x",
        "package_name": "shop",
        "contract_name": "Shop",
        "description": "{{ d }}",
    }
    project = thin_history.project(tmp_path / "project", start, answers)

    update(project, after(start), events="Ping()")

    assert files_of(project) == files_of(thin_history.fresh(after(start), answers | {"events": "Ping()"}))
    assert 'TITLE = "{{ shop }} {% x"' in (project / "src" / "shop" / "api.py").read_text(encoding="utf-8")
