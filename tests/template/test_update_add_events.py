"""`events add` in a rendered project: Copier writes the events; README and `events` have the same line for more."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.template.rendering import GIT_ENVIRONMENT, ROOT, commit, git
from tests.template.updating import EVENTS, SHOP, WORK_TREE, History, conflicts, edit

pytestmark = pytest.mark.timeout(300)


def shop(project: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run the project's own command line, with the runtime of the work tree and a Copier on PATH."""
    path = os.pathsep.join((str(ROOT / "template" / "src"), str(project / "src")))
    tools = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        [sys.executable, "-B", "-m", "shop", *arguments],
        cwd=project,
        env=os.environ | GIT_ENVIRONMENT | {"PYTHONPATH": path, "PATH": tools},
        check=False,
        capture_output=True,
        encoding="utf-8",
    )


def test_events_are_added_by_the_command(thin_history: History, tmp_path: Path) -> None:
    """To contract and handlers, beside the owner's own edits; then both list them, and adding them again is refused."""
    project = thin_history.project(tmp_path / "shop", WORK_TREE, SHOP)
    contract, handlers = (project / "src" / "shop" / name for name in ("contract.py", "handlers.py"))
    edit(contract, ("def packing(self, id: int)", "def packing(self, id: int, note: str)"))
    edit(handlers, ("def packing(ctx: Context[Services], id: int)", "def packing(ctx: Context, id: int, note: str)"))
    commit(project, "Pack with a note")
    done = shop(project, "events", "add", "Lost(reason:str|None)", "Found")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert conflicts(project) == set()
    written = contract.read_text(encoding="utf-8")
    assert "def lost(self, reason: str | None) -> None:" in written
    assert "def found(self, id: str, time: datetime) -> None:" in written
    assert "def packing(self, id: int, note: str)" in written
    assert "def lost(ctx: Context[Services], reason: str | None) -> None:" in handlers.read_text(encoding="utf-8")
    line = f"copier update --defaults --data 'events={EVENTS}, Lost(reason: str | None), Found'"
    assert done.stdout.startswith(f"{line}\n")
    assert line in (project / "README.md").read_text(encoding="utf-8")
    assert shop(project, "events").stdout.endswith(f"\n{line}\n")
    commit(project, "Lost and found")
    again = shop(project, "events", "add", "Lost")
    assert (again.returncode, again.stdout) == (2, "")
    assert again.stderr == "Lost exists already: to change its arguments, edit contract.py and handlers.py.\n"
    assert git(project, "status", "--porcelain") == ""
