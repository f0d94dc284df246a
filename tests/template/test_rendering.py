"""What is rendered for the saved answers; tests/template/test_matrix.py looks at every other combination as well."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.template import expected
from tests.template.rendering import (
    ROOT,
    RUNTIME,
    Template,
    Whole,
    assert_clean,
    owned,
    package_of,
    run_in,
    saved_answers,
)

NAMES = sorted(each.stem for each in (ROOT / "answers").glob("*.yml"))


@pytest.fixture(scope="module")
def projects(owners_template: Template) -> dict[str, Path]:
    """A project for each file of answers."""
    return {name: owners_template.rendered(saved_answers(name)) for name in NAMES}


@pytest.mark.parametrize("name", NAMES)
def test_a_project_has_the_files_it_needs_and_no_others(projects: dict[str, Path], name: str) -> None:
    """No file for a role, storage, API, CI or telemetry that was not chosen."""
    project = projects[name]
    package = f"src/{package_of(project)}/"
    found = {each.as_posix().replace(package, "src/P/") for each in owned(project)}
    assert found == expected.files_of(saved_answers(name))


def test_the_runtime_is_rendered_as_it_is(template: Template) -> None:
    """Every file of it, byte for byte."""
    project = template.rendered(saved_answers("default"))
    assert _contents(project / "src/event_backbone") == _contents(template.repository / RUNTIME)


def test_no_runtime_file_is_a_jinja_template() -> None:
    """The runtime is plain Python that is tested in place."""
    for each in (ROOT / RUNTIME).rglob("*.*"):
        assert each.suffix != ".jinja"
        assert not re.search(r"[{]{|{%", each.name)


def test_rendered_code_is_formatted_and_lint_clean(projects: dict[str, Path]) -> None:
    """By each project's own settings, so that the owner's first run of the tools changes nothing."""
    assert_clean(*projects.values())


def test_dependencies_are_those_that_the_template_is_tested_with(projects: dict[str, Path]) -> None:
    """Each requirement of a project is in this repository's own list with the same bounds."""
    ours = _requirements(tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8")))
    for project in projects.values():
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
def test_the_license_is_the_chosen_one(owners_template: Template, license_name: str, words: str) -> None:
    """Its full text, with the holder's name and no year."""
    answers = {"license": license_name, "copyright_holder": "Ada & Sons"}
    text = (owners_template.rendered(answers) / "LICENSE").read_text(encoding="utf-8")
    assert words in text
    assert "Copyright (c) Ada & Sons" in text or "Copyright Ada & Sons" in text


def test_how_long_events_stay_in_redis_is_a_setting(whole: Whole) -> None:
    """The answer is its default; the variable alone changes it, and what is not a number of days is a sentence."""
    script = """
import os
from minimal.bootstrap import open_backbone
from minimal.settings import load_settings

os.environ["REDIS_EVENT_SOURCE_ENDPOINT"] = "localhost:1"
for days in ("", "0", "30"):
    os.environ["EVENT_SOURCE_RETENTION_DAYS"] = days
    retention = open_backbone(load_settings()).retention
    print(retention and retention.max_age)
"""
    project = whole(saved_answers("minimal"))
    assert run_in(project, "-c", script).stdout.splitlines() == ["1 day, 0:00:00", "None", "30 days, 0:00:00"]
    done = run_in(project, "-m", "minimal", "tail", variables={"EVENT_SOURCE_RETENTION_DAYS": "a week"})
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert done.stderr.startswith("The setting EVENT_SOURCE_RETENTION_DAYS is not valid: ")


def test_the_ready_line_in_the_readme_holds_todays_events(projects: dict[str, Path]) -> None:
    """A user who copies it and adds an event loses none."""
    for project in projects.values():
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
