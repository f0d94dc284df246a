"""An order with pydantic models, through web API, S3 and handler."""

from pathlib import Path

import pytest

from tests.template.rendering import ROOT, Template, git, run_in, saved_answers

EXAMPLE = ROOT / "examples" / "order_models"


@pytest.fixture(scope="module")
def project(template: Template, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose owner gave ``order_placed`` models as arguments, as contract.py describes."""
    project = template.render(tmp_path_factory.mktemp("models") / "project", saved_answers("models"))
    git(project, "apply", str(EXAMPLE / "order_models.patch"))
    return project


def test_an_order_with_models_goes_all_the_way(project: Path) -> None:
    """Posted to the API, found in S3, read back, handled by another process that got a User and a Product."""
    done = run_in(project, str(EXAMPLE / "run.py"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "/events/order-placed answered 201" in done.stdout
    assert "is in s3://orders/demo/" in done.stdout
    assert "and produced packing" in done.stdout


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
