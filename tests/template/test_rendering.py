"""What is rendered: the files that the answers ask for and no others, each of them whole and clean."""

import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.template.rendering import ROOT, Template, owned, package_of, saved_answers

ALWAYS = {
    *(".copier-answers.yml", ".dockerignore", ".editorconfig", ".env.example", ".gitattributes", ".gitignore"),
    *(".pre-commit-config.yaml", "Dockerfile", "LICENSE", "README.md", "pyproject.toml"),
    *("src/P/__init__.py", "src/P/__main__.py", "src/P/bootstrap.py", "src/P/cli.py", "src/P/contract.py"),
    *("src/P/py.typed", "src/P/settings.py", "tests/conftest.py", "tests/test_contract.py"),
}
API = {"src/P/api.py", "tests/test_api.py"}
CONSUMER = {"src/P/handlers.py", "src/P/worker.py", "tests/test_handlers.py", "tests/test_worker.py"}
TELEMETRY = {"src/P/telemetry.py"}
GITHUB = {".github/workflows/ci.yml"}
GITLAB = {".gitlab-ci.yml"}
TREES = {
    "default": ALWAYS | API | CONSUMER | TELEMETRY | GITHUB,
    "s3": ALWAYS | API | CONSUMER | TELEMETRY | GITHUB,
    "s3-cached": ALWAYS | API | CONSUMER | TELEMETRY | GITLAB,
    "producer": ALWAYS | API | TELEMETRY | GITHUB,
    "consumer": ALWAYS | CONSUMER | TELEMETRY | GITHUB,
    "minimal": ALWAYS | CONSUMER,
    "models": ALWAYS | API | CONSUMER | TELEMETRY | GITHUB,
    "many-events": ALWAYS | API | CONSUMER | TELEMETRY | GITHUB,
}
NAMES = sorted(TREES)


@pytest.fixture(params=NAMES)
def project(request: pytest.FixtureRequest, template: Template) -> Path:
    """A project for each file of answers."""
    return template.rendered(saved_answers(request.param))


def test_every_file_of_answers_has_its_tree() -> None:
    """A new file of answers is tested like the others."""
    assert {each.stem for each in (ROOT / "answers").glob("*.yml")} == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_project_has_the_files_it_needs_and_no_others(template: Template, name: str) -> None:
    """No file for a role, storage, API, CI or telemetry that was not chosen."""
    project = template.rendered(saved_answers(name))
    package = f"src/{package_of(project)}/"
    assert {each.as_posix().replace(package, "src/P/") for each in owned(project)} == TREES[name]


def test_the_runtime_is_rendered_as_it_is(template: Template, project: Path) -> None:
    """Every file of it, byte for byte."""
    source, target = template.repository / "template/src/event_backbone", project / "src/event_backbone"
    assert _contents(target) == _contents(source)


def test_no_runtime_file_is_a_jinja_template() -> None:
    """The runtime is plain Python that is tested in place."""
    for each in (ROOT / "template/src/event_backbone").rglob("*.*"):
        assert each.suffix != ".jinja"
        assert not re.search(r"[{]{|{%", each.name)


def test_every_file_can_be_read_by_what_reads_it(project: Path) -> None:
    """TOML, YAML and Python parse, and nothing of Jinja is left."""
    for each in owned(project):
        text = (project / each).read_text(encoding="utf-8")
        if each.suffix == ".toml":
            tomllib.loads(text)
        elif each.suffix in {".yml", ".yaml"}:
            yaml.safe_load(text)
        elif each.suffix == ".py":
            compile(text, each, "exec", dont_inherit=True)
        assert "{%" not in text, each
        assert not re.search(r"[{]{(?! (shop|daily|github|matrix)\b|$)", text.replace("${{", "{{")), each
        assert not re.search(r"[ \t]+$", text, re.MULTILINE), f"{each} has spaces at the end of a line"
        assert each.name == "py.typed" or (text.endswith("\n") and not text.endswith("\n\n")), each
        assert "\n\n\n\n" not in text, each


def test_rendered_code_is_formatted_and_lint_clean(project: Path) -> None:
    """By the project's own settings, so that the owner's first run of the tools changes nothing."""
    for command in (["ruff", "format", "--check", "--no-cache"], ["ruff", "check", "--no-cache"]):
        done = subprocess.run(command, cwd=project, capture_output=True, encoding="utf-8", check=False)
        assert done.returncode == 0, done.stdout + done.stderr


NOT_CHOSEN = [
    ("default", r"(?i)\bs3|aws|boto3|obstore|moto|bucket"),
    (
        "minimal",
        r"(?i)\bs3|aws|boto3|obstore|moto|fastapi|uvicorn|httpx|otel|opentelemetry-sdk|otlp|(?<!-)\bAPI\b|\bCI\b",
    ),
    ("producer", r"(?i)handler|worker|(?<!Producers and )consumer"),
    ("consumer", r"(?i)fastapi|uvicorn|httpx|web api|\bserve\b|services\.producer"),
    ("s3", r"key.pair.{0,20}must|gitlab|Redis Hash"),
    ("s3-cached", r"(?i)profile|github"),
]


@pytest.mark.parametrize(("name", "pattern"), NOT_CHOSEN)
def test_nothing_is_said_of_what_was_not_chosen(template: Template, name: str, pattern: str) -> None:
    """No sentence, setting, dependency or import of another answer's."""
    project = template.rendered(saved_answers(name))
    skipped = {".copier-answers.yml", "LICENSE", ".gitignore"}
    for each in owned(project):
        if each.name not in skipped:
            text = (project / each).read_text(encoding="utf-8")
            found = [line for line in text.splitlines() if re.search(pattern, line)]
            assert not found, f"{each}: {found}"


def test_dependencies_are_those_that_the_template_is_tested_with(project: Path) -> None:
    """Each requirement of a project stands in this repository's own list with the same bounds."""
    ours = _requirements(tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8")))
    theirs = _requirements(tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8")))
    assert theirs - ours <= {"pre-commit>=4.7,<5"}


@pytest.mark.parametrize(
    ("license_name", "words"),
    [
        ("MIT", "Permission is hereby granted, free of charge"),
        ("Apache-2.0", "Apache License"),
        ("BSD-3-Clause", "Redistribution and use in source and binary forms"),
        ("Proprietary", "All rights reserved."),
    ],
)
def test_the_license_is_the_chosen_one(template: Template, license_name: str, words: str) -> None:
    """Its full text, with the holder's name and no year."""
    answers = {"license": license_name, "copyright_holder": "Ada & Sons"}
    text = (template.rendered(answers) / "LICENSE").read_text(encoding="utf-8")
    assert words in text
    assert "Copyright (c) Ada & Sons" in text or "Copyright Ada & Sons" in text


def test_the_ready_line_in_the_readme_holds_todays_events(project: Path) -> None:
    """Whoever copies it, and adds an event, loses none."""
    text = (project / "README.md").read_text(encoding="utf-8")
    line = re.search(r"^copier update --defaults --data 'events=(.*)'$", text, re.MULTILINE)
    assert line is not None
    contract = (project / "src" / package_of(project) / "contract.py").read_text(encoding="utf-8")
    assert len(re.findall(r"[A-Z]\w*(?=[(,]|$)(?![^(]*\))", line[1])) == contract.count("    @event\n")


def _contents(folder: Path) -> dict[str, bytes]:
    files = (each for each in folder.rglob("*") if each.is_file() and "__pycache__" not in each.parts)
    return {each.relative_to(folder).as_posix(): each.read_bytes() for each in files}


def _requirements(project: dict[str, Any]) -> set[str]:
    groups: dict[str, list[object]] = project.get("dependency-groups", {})
    listed = [*project["project"]["dependencies"], *(each for group in groups.values() for each in group)]
    return {each for each in listed if isinstance(each, str)}
