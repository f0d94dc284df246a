"""A contract with pydantic models; tests/template/test_demo.py sends an order with them all the way."""

import shutil
from pathlib import Path

import pytest

from tests.template.rendering import ROOT, Whole, git, run_in, saved_answers

EXAMPLE = ROOT / "examples" / "order_models"


@pytest.fixture(scope="module")
def project(whole: Whole, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose owner gave ``order_placed`` models as arguments, as contract.py describes."""
    project = shutil.copytree(whole(saved_answers("models")), tmp_path_factory.mktemp("models") / "project")
    git(project, "apply", str(EXAMPLE / "order_models.patch"))
    return project


@pytest.mark.timeout(180)
@pytest.mark.long
def test_the_projects_own_tests_follow_the_contract(project: Path) -> None:
    """Contract, API, handlers and worker are tested with models, though no test was touched."""
    done = run_in(project, "-m", "pytest", "-q", "-p", "no:cacheprovider")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.timeout(180)
def test_the_owners_code_is_typed_and_clean(project: Path) -> None:
    """Handlers are checked against the models."""
    for command in (["mypy"], ["ruff", "check", "--no-cache"], ["ruff", "format", "--check", "--no-cache"]):
        done = run_in(project, "-m", *command)
        assert done.returncode == 0, done.stdout + done.stderr
