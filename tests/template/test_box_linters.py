"""Whatever else is rendered passes the linters of its kind, with no findings: none of them uses the network."""

from pathlib import Path

import pytest

from tests.template.box import run_tool
from tests.template.rendering import ROOT, Answers, Template, owned, saved_answers

PROJECTS: dict[str, Answers] = {
    **{name: saved_answers(name) for name in ("default", "s3", "s3-cached", "producer", "consumer", "minimal")},
    "producer without API": {"role": "producer", "web_api": False, "ci": "gitlab"},
    "producer of S3 without API": {"role": "producer", "web_api": False, "storage": "s3", "telemetry": False},
    "hostile names": saved_answers("many-events"),
}
YAML_RULES = """
extends: default
rules:
  anchors: {forbid-unused-anchors: true}
  comments: {min-spaces-from-content: 1}
  document-start: disable
  line-length: {max: 120}
  truthy: {check-keys: false}
"""
# The keys of the local S3 are not secret: it listens on this machine only.
COMPOSE_RULES = "rules:\n  CL-0020:\n    enabled: false\n"


@pytest.fixture(name="files")
def _files(owners_template: Template) -> list[Path]:
    """Every file of projects that together have each kind of file and each branch of it."""
    projects = [owners_template.rendered(answers) for answers in PROJECTS.values()]
    return [project / each for project in projects for each in owned(project)]


def _lint(files: list[Path], names: set[str], *command: str) -> None:
    """Run a linter once on all files with one of these names."""
    found = [str(each) for each in files if each.name in names]
    assert found
    done = run_tool(ROOT, *command, *found)
    assert done.returncode == 0, done.stdout + done.stderr


def test_dockerfiles(files: list[Path]) -> None:
    """Hadolint, with shellcheck in it."""
    _lint(files, {"Dockerfile"}, "hadolint", "--failure-threshold", "style")


def test_yaml(files: list[Path]) -> None:
    """Yamllint, on every YAML file that people read."""
    names = {each.name for each in files if each.suffix in {".yml", ".yaml"}}
    _lint(files, names - {".copier-answers.yml"}, "yamllint", "--strict", "-d", YAML_RULES)


SCHEMAS = {
    "compose.yaml": "compose-spec",
    "ci.yml": "github-workflows",
    ".gitlab-ci.yml": "gitlab-ci",
    "renovate.json": "renovate",
}


@pytest.mark.parametrize("name", SCHEMAS)
def test_schemas(files: list[Path], name: str) -> None:
    """By the schemas that check-jsonschema brings along."""
    _lint(files, {name}, "check-jsonschema", "--builtin-schema", f"vendor.{SCHEMAS[name]}")


def test_compose(files: list[Path], tmp_path: Path) -> None:
    """No privileges, no port beyond this machine, no image without a version."""
    rules = tmp_path / "rules.yml"
    rules.write_text(COMPOSE_RULES, encoding="utf-8")
    _lint(files, {"compose.yaml"}, "compose-lint", "--config", str(rules), "--fail-on", "high")


def test_workflows(files: list[Path]) -> None:
    """Actionlint, and zizmor at its strictest: those of projects, and this repository's own."""
    files = [*files, ROOT / ".github/workflows/ci.yml"]
    _lint(files, {"ci.yml"}, "actionlint", "-no-color")
    _lint(files, {"ci.yml"}, "zizmor", "--offline", "--no-config", "--persona", "auditor")


def test_the_linters_do_find_something(tmp_path: Path) -> None:
    """A linter that is set up wrongly finds nothing either."""
    (tmp_path / ".github/workflows").mkdir(parents=True)
    workflow = tmp_path / ".github/workflows/ci.yml"
    workflow.write_text(
        "on: push\njobs:\n  a:\n    runs-on: ubuntu-latestt\n    steps:\n      - uses: actions/checkout@v6\n"
    )
    (tmp_path / "Dockerfile").write_text("FROM python:latest\nRUN pip install uv\n")
    (tmp_path / "compose.yaml").write_text(
        "services:\n  a: {image:  redis, privileged: true, ports: ['1:1'], nothing: 1}\n"
    )
    for command in (
        ["hadolint", "--failure-threshold", "style", "Dockerfile"],
        ["yamllint", "--strict", "-d", YAML_RULES, "compose.yaml", str(workflow)],
        ["check-jsonschema", "--builtin-schema", "vendor.compose-spec", "compose.yaml"],
        ["compose-lint", "--fail-on", "high", "compose.yaml"],
        ["actionlint", "-no-color", str(workflow)],
        ["zizmor", "--offline", "--no-config", "--persona", "auditor", str(workflow)],
    ):
        assert run_tool(tmp_path, *command).returncode != 0, command
