"""The tests of rendered projects pass right after rendering, for answers that between them cover every choice."""

import re
from pathlib import Path

import pytest

from tests.template.rendering import Answers, Template, run_in, saved_answers

NAMES = ["default", "s3", "s3-cached", "producer", "consumer", "minimal", "many-events"]
MORE: list[Answers] = [
    {"storage": "s3", "role": "producer", "s3_credentials": "environment", "web_api": False},
    {"storage": "s3-cached", "role": "consumer", "telemetry": False},
    {"storage": "s3", "s3_credentials": "default-chain", "web_api": False, "events": "Only(one: bytes | None)"},
]


def _assert_tests_pass(project: Path) -> None:
    done = run_in(project, "-m", "pytest", "-q", "-p", "no:cacheprovider")
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^\d+ passed in", done.stdout, re.MULTILINE), "none may be skipped, and none may warn"


@pytest.mark.timeout(180)
@pytest.mark.parametrize("name", NAMES)
def test_the_tests_of_saved_answers_pass(template: Template, name: str) -> None:
    """Every file of answers."""
    _assert_tests_pass(template.rendered(saved_answers(name)))


@pytest.mark.timeout(180)
@pytest.mark.parametrize("answers", MORE, ids=str)
def test_the_tests_of_other_answers_pass(template: Template, answers: Answers) -> None:
    """Combinations that the saved answers leave out."""
    _assert_tests_pass(template.rendered(answers))


@pytest.mark.timeout(180)
@pytest.mark.parametrize("name", ["default", "s3", "s3-cached", "producer", "consumer", "minimal"])
def test_the_demo_of_a_project_runs(template: Template, name: str) -> None:
    """One command, real servers and processes, every event exactly once."""
    done = run_in(template.rendered(saved_answers(name)), "-m", _package(name), "demo")
    assert done.returncode == 0, done.stdout + done.stderr


def _package(name: str) -> str:
    names = {"producer": "shipment_producer", "consumer": "shipment_consumer", "minimal": "minimal"}
    return names.get(name, "shipment_tracking")
