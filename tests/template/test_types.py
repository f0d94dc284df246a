"""Rendered code is strictly typed for both type checkers, as rendered; and an owner's mistake does not pass."""

import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.template.matrix import CORE, answers_of, every_row, pairwise
from tests.template.rendering import ROOT, RUNTIME, Template, Whole, owned, package_of, run_in

pytestmark = pytest.mark.timeout(300)
RUNTIME_SOURCE = str((ROOT / RUNTIME).parent)


@pytest.fixture(scope="session")
def projects(owners_template: Template) -> list[Path]:
    """Of the matrix: each pair of the core's values, and each kind of events in each role with short and long names."""
    rows = every_row()
    chosen = {*pairwise(rows, CORE), *pairwise(rows, ["role", "events"]), *pairwise(rows, ["role", "names"])}
    return [owners_template.rendered(answers_of(rows[number], number)) for number in sorted(chosen)]


def _settings(project: Path, tool: str) -> dict[str, Any]:
    settings: dict[str, Any] = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))["tool"][tool]
    return settings


def test_mypy_finds_nothing(projects: list[Path], tmp_path: Path) -> None:
    """By the projects' own settings, which differ in their paths alone, so that one run reads the runtime once."""
    settings = _settings(projects[0], "mypy")
    common = {name: value for name, value in settings.items() if name not in {"files", "mypy_path", "overrides"}}
    (runtime,) = settings["overrides"]
    for each in projects[1:]:
        other = _settings(each, "mypy")
        assert {**other, "files": None, "mypy_path": None} == {**settings, "files": None, "mypy_path": None}
        assert other["files"] == [f"src/{package_of(each)}", "tests"]
    lines = [
        *("[mypy]", *(f"{name} = {value}" for name, value in common.items())),
        f"mypy_path = {':'.join([RUNTIME_SOURCE, str(projects[0].parent), *(f'{each}/src' for each in projects)])}",
        *(f"[mypy-{runtime['module']}]", f"ignore_errors = {runtime['ignore_errors']}"),
    ]
    (tmp_path / "mypy.ini").write_text("\n".join(lines), encoding="utf-8")
    files = [str(each / folder) for each in projects for folder in (f"src/{package_of(each)}", "tests")]
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--config-file", "mypy.ini", *files],
        cwd=tmp_path,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    checked = re.search(r"in (\d+) source files", done.stdout)
    assert checked is not None
    assert int(checked[1]) == sum(each.suffix == ".py" for project in projects for each in owned(project))


def test_pyright_finds_nothing(projects: list[Path], tmp_path: Path) -> None:
    """In strict mode, as an editor would show it; one run for all."""
    settings = _settings(projects[0], "pyright")
    assert settings["typeCheckingMode"] == "strict"
    config = {
        **settings,
        "include": [str(each / folder) for each in projects for folder in (f"src/{package_of(each)}", "tests")],
        "extraPaths": [],
        "executionEnvironments": [
            {"root": RUNTIME_SOURCE},
            *({"root": str(each), "extraPaths": [str(each / "src"), RUNTIME_SOURCE]} for each in projects),
        ],
    }
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(config), encoding="utf-8")
    report = _pyright(tmp_path)
    assert report["generalDiagnostics"] == []
    assert report["summary"]["filesAnalyzed"] >= sum(
        each.suffix == ".py" for project in projects for each in owned(project)
    )


def test_mistakes_of_an_owner_are_found(whole: Whole, tmp_path: Path) -> None:
    """Mypy finds a handler with another type, one with another argument, and a producer that sends another type.

    It finds nothing else, so that this project is clean without them, with its own settings.
    """
    answers = {"events": "Ordered(email: str, amount: int), Packed(id: UUID), Sent()"}
    project = shutil.copytree(whole(answers), tmp_path / "project")
    source = project / "src/shipment_tracking"
    _edit(
        source / "handlers.py",
        "ordered(ctx: Context[Services], email: str,",
        "ordered(ctx: Context[Services], email: bytes,",
    )
    _edit(source / "contract.py", "def packed(self, id: UUID)", "def packed(self, parcel_id: UUID)")
    _edit(
        source / "handlers.py",
        "sent(ctx: Context[Services]) -> None:\n",
        "sent(ctx: Context[Services]) -> None:\n"
        '    await ctx.services.producer.ordered(email="ada@example.com", amount="1")\n',
    )
    done = run_in(project, "-m", "mypy")
    assert done.returncode == 1, done.stdout + done.stderr
    errors = [line for line in done.stdout.splitlines() if ": error: " in line]
    text = (source / "handlers.py").read_text(encoding="utf-8").splitlines()
    found = {
        text[int(line.split(":")[1]) - 1].strip()
        for line in errors
        if line.startswith("src/shipment_tracking/handlers.py")
    }
    assert found == {
        "@consumer.on(ShipmentTracking.ordered)",
        "@consumer.on(ShipmentTracking.packed)",
        'await ctx.services.producer.ordered(email="ada@example.com", amount="1")',
    }
    assert len(errors) == 3


def _pyright(folder: Path) -> dict[str, Any]:
    done = subprocess.run(
        ["basedpyright", "--outputjson"], cwd=folder, check=False, capture_output=True, encoding="utf-8", timeout=300
    )
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def _edit(file: Path, old: str, new: str) -> None:
    text = file.read_text(encoding="utf-8")
    assert text.count(old) == 1, (file, old)
    file.write_text(text.replace(old, new), encoding="utf-8")
