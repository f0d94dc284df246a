"""Another answer brings what it asks for into a project that its owner has edited."""

from pathlib import Path
from typing import Any

import pytest

from tests.template.owner import make_ordinary_edits
from tests.template.rendering import commit, git
from tests.template.updating import NEWEST_START, NEXT, SHOP, History, answers_of, conflicts, files_of, update

SMALL = {"web_api": False, "telemetry": False, "ci": "none", "license": "Proprietary"}
BIG = {"web_api": True, "telemetry": True, "ci": "github", "license": "MIT"}
CHANGES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "redis-hash to s3": ({}, {"storage": "s3"}),
    "s3 to redis-hash": ({"storage": "s3"}, {"storage": "redis-hash"}),
    "with an archive": ({"storage": "s3", "archive": False}, {"archive": True}),
    "without an archive": ({"storage": "s3"}, {"archive": False}),
    "events stay longer": ({}, {"retention_days": 14}),
    "both to consumer": ({}, {"role": "consumer"}),
    "consumer to both": ({"role": "consumer"}, {"role": "both"}),
    "producer to both": ({"role": "producer"}, {"role": "both"}),
    "big to small": (BIG, SMALL),
}
MORE_CHANGES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "small to big": (SMALL, BIG),
    "producer with an archive": ({"role": "producer", "storage": "s3", "archive": False}, {"archive": True}),
    "producer without an archive": ({"role": "producer", "storage": "s3", "web_api": False}, {"archive": False}),
    "s3 to s3-cached": ({"storage": "s3"}, {"storage": "s3-cached"}),
    "s3-cached to s3": ({"storage": "s3-cached"}, {"storage": "s3"}),
    "profile to environment": ({"storage": "s3"}, {"s3_credentials": "environment", "aws_region": "eu-central-1"}),
    "GitHub to GitLab": ({}, {"ci": "gitlab"}),
    "producer to both, with S3": ({"role": "producer"}, {"role": "both", "storage": "s3", "telemetry": False}),
    "another URI and group": ({}, {"uri": "shop.events", "consumer_group": "second"}),
    "another author": ({}, {"author_name": "Ada", "author_email": "ada@example.com", "copyright_holder": "Ada"}),
}
NAMED = [pytest.param(*change, id=name) for name, change in CHANGES.items()] + [
    pytest.param(*change, id=name, marks=pytest.mark.long) for name, change in MORE_CHANGES.items()
]


@NEWEST_START
@pytest.mark.parametrize(("before", "change"), NAMED)
def test_an_answer_changes(
    thin_history: History, start: str, before: dict[str, Any], change: dict[str, Any], tmp_path: Path
) -> None:
    """To another version as well, without a conflict: as if the owner had made the same edits after that answer.

    How long events stay in Redis is an answer that a project has given, whatever the default would be now.
    """
    project = thin_history.project(tmp_path / "project", start, SHOP | before)
    make_ordinary_edits(project)
    commit(project, "Ours")

    update(project, NEXT, **change)

    assert not conflicts(project)
    days = answers_of(thin_history.fresh(start, SHOP | before))["retention_days"]
    kept = {"retention_days": change.get("retention_days", days)}
    wanted = thin_history.project(tmp_path / "wanted", NEXT, SHOP | before | change | kept)
    make_ordinary_edits(wanted, as_in=thin_history.fresh(start, SHOP | before))
    assert _named(files_of(project)) == _named(files_of(wanted))


def _named(files: dict[str, bytes]) -> dict[str, bytes]:
    """Leave out the answers file: it may keep answers to questions that are not asked any more."""
    return {name: content for name, content in files.items() if name != ".copier-answers.yml"}


@NEWEST_START
def test_a_project_that_stops_consuming(thin_history: History, start: str, tmp_path: Path) -> None:
    """Handlers and worker are removed; git shows it and has them, and what was edited stays."""
    project = thin_history.project(tmp_path / "project", start, SHOP)
    make_ordinary_edits(project)
    commit(project, "Ours")

    update(project, NEXT, role="producer")

    deleted = git(project, "ls-files", "--deleted", "--", ":!src/event_backbone").splitlines()
    assert set(deleted) == {
        *("src/shop/handlers.py", "src/shop/worker.py", "tests/test_handlers.py", "tests/test_worker.py"),
    }
    assert not conflicts(project)
    assert 'greeting="Hello"' in (project / "src/shop/bootstrap.py").read_text(encoding="utf-8")
    git(project, "checkout", "--", "src/shop/handlers.py")
    assert "Ask how it was." in (project / "src/shop/handlers.py").read_text(encoding="utf-8")
    assert (project / "src/shop/prices.py").exists()


@NEWEST_START
def test_an_untouched_project_takes_another_role_and_back(thin_history: History, start: str, tmp_path: Path) -> None:
    """It is what it would have been from the beginning, both times."""
    project = thin_history.project(tmp_path / "project", start, SHOP)
    for role in ("producer", "both"):
        update(project, NEXT, role=role)
        assert not conflicts(project)
        assert _named(files_of(project)) == _named(files_of(thin_history.fresh(NEXT, SHOP | {"role": role})))
        commit(project, role)
