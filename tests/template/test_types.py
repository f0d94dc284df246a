"""Rendered code is strictly typed for both type checkers, as it comes."""

import json
import subprocess
from pathlib import Path

import pytest

from tests.template.rendering import Template, run_in, saved_answers

NAMES = ["s3", "s3-cached", "producer", "consumer", "minimal", "many-events"]


@pytest.fixture(params=NAMES)
def project(request: pytest.FixtureRequest, template: Template) -> Path:
    """Projects that cover every role, storage and kind of argument."""
    return template.rendered(saved_answers(request.param))


@pytest.mark.timeout(300)
def test_mypy_finds_nothing(project: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """By the project's own settings; one cache serves all, as the runtime is the same."""
    cache = tmp_path_factory.getbasetemp() / "mypy"
    done = run_in(project, "-m", "mypy", "--cache-dir", str(cache), timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.timeout(300)
def test_pyright_finds_nothing(project: Path) -> None:
    """In strict mode, as an editor would show it."""
    done = subprocess.run(
        ["basedpyright", "--outputjson"], cwd=project, check=False, capture_output=True, encoding="utf-8", timeout=300
    )
    report = json.loads(done.stdout)
    assert report["generalDiagnostics"] == []
    assert report["summary"]["filesAnalyzed"] > 8
