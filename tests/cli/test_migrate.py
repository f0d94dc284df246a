"""`migrate`: says what would move, asks, and moves it; `doctor` says what is left."""

from __future__ import annotations

from datetime import timedelta

import pytest

from event_backbone import MigrationReport, StorageReferences
from event_backbone.cli.migrate import report_lines
from tests.cli.conftest import Shop
from tests.cli.test_doctor import found


@pytest.fixture(autouse=True)
def _environment(redis_url: str, s3_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A shop whose payloads are in Redis hashes."""
    del s3_environment
    for name, value in {"REDIS_EVENT_SOURCE_ENDPOINT": redis_url, "EVENT_SOURCE_ENVIRONMENT": "test"}.items():
        monkeypatch.setenv(name, value)


def test_payloads_move_after_a_switch_to_s3(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """A dry run changes nothing; without a terminal --yes is needed; run again, there is nothing to move."""
    key = shop("produce", "closed").output.strip()
    monkeypatch.setenv("SHOP_STORAGE", "s3")
    planned = "shop: 1 event and 0 dead letters refer to redis-hash; they move to s3.\n"
    assert shop("migrate", "--from", "redis-hash", "--dry-run").output == planned
    asked = shop("migrate", "--from", "redis-hash")
    assert (asked.code, asked.errors.strip()) == (2, "Give --yes to move payloads without being asked.")
    assert "migrate --from redis-hash" in found(shop)["Storage redis-hash"][1]
    done = shop("migrate", "--from", "redis-hash", "--remove", "--yes")
    assert done.code == 0
    assert done.output.startswith(planned + "  Moved 1 payload, each compared with its original.\n  Deleted 1 old")
    assert "Storage redis-hash" not in found(shop)
    assert "nothing to move" in shop("migrate", "--from", "redis-hash").output
    assert [each["key"] for each in shop("tail", "--no-follow", "--json").lines] == [key]


def test_a_storage_that_does_not_exist_is_said_in_a_line(shop: Shop) -> None:
    """With the names of those that do."""
    answer = shop("migrate", "--from", "s4")
    assert answer.code == 1
    assert "There is no storage 's4'" in answer.errors


def test_a_report_says_what_was_moved_and_what_was_not() -> None:
    """Each number that is not 0, in a sentence."""
    still = StorageReferences(events=1, dead_letters=2, elsewhere=1)
    took = timedelta(seconds=1.25)
    report = MigrationReport("shop", "redis-hash", "s3", still, 5, 2, 1, dead_letters=3, removed=0, took=took)
    assert report_lines(report) == [
        "  Moved 5 payloads, each compared with its original.",
        "  2 payloads had been erased, and stay so.",
        "  1 payload had been gone before.",
        "  Moved 3 dead letters.",
        (
            "  Still in redis-hash: 1 event and 2 dead letters, 1 of them about events that are only in the archive;"
            " run it again."
        ),
        "  What is only in the archive does not move: redrive or discard it.",
        "  Done in 1.2 s.",
    ]


def test_doctor_names_a_storage_that_events_need_and_the_project_has_not_got(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after going back from S3 without keeping it in ``also_read``."""
    monkeypatch.setenv("SHOP_STORAGE", "s3")
    assert shop("produce", "closed").code == 0
    monkeypatch.setenv("SHOP_STORAGE", "redis-hash")
    level, text = found(shop)["Storage s3"]
    assert level == "warn"
    assert text.startswith("1 event and 0 dead letters refer to it, and the project has no such storage, so they wait")
