"""`restore`: says what is lost and what comes back, and brings it back."""

from __future__ import annotations

import pytest
import redis

from tests.cli.conftest import Shop


@pytest.fixture(autouse=True)
def _environment(redis_url: str, s3_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A shop whose payloads are in S3, with an archive."""
    del s3_environment
    for name, value in {
        "REDIS_EVENT_SOURCE_ENDPOINT": redis_url,
        "EVENT_SOURCE_ENVIRONMENT": "test",
        "SHOP_STORAGE": "s3",
        "SHOP_ARCHIVE": "yes",
    }.items():
        monkeypatch.setenv(name, value)


def test_a_lost_redis_is_restored(shop: Shop, redis_url: str) -> None:
    """The plan comes first and changes nothing; archived events keep their keys; run again, there is nothing to do."""
    keys = [shop("produce", "closed").output.strip() for _ in range(2)]
    shop("archive", "--once")
    late = shop("produce", "closed").output.strip()
    with redis.Redis.from_url(redis_url) as client:
        client.flushall()

    plan = shop("restore", "--dry-run")
    assert (plan.code, plan.errors) == (0, "")
    first, *rest = plan.output.splitlines()
    assert first == "shop:"
    assert rest[0] == "  Redis has 0 events."
    assert rest[1].startswith(f"  The archive has 2 events, up to {keys[-1]} (")
    assert rest[2] == "  Redis has lost archived events: the stream is built again, with their keys."
    assert rest[3] == "  Packs have 1 more event: appended under new keys."
    assert shop("tail", "--no-follow", "--json").lines != []  # the archive alone answers
    assert shop("doctor").output.count("lost events") == 1

    done = shop("restore")
    assert done.code == 0
    assert done.output.startswith(plan.output)
    assert "Restored 2 events from the archive in " in done.output
    assert "Appended 1 event from packs." in done.output
    found = [str(each["key"]) for each in shop("tail", "--no-follow", "--json").lines]
    assert (found[:2], len(found), late in found) == (keys, 3, False)

    again = shop("restore")
    assert (again.code, again.output.splitlines()[-1]) == (0, "  Nothing is lost, so there is nothing to restore.")


def test_several_streams_are_restored_one_after_the_other(shop: Shop, redis_url: str) -> None:
    """Each with its own plan."""
    shop("produce", "closed")
    shop("--uri", "other", "produce", "closed")
    with redis.Redis.from_url(redis_url) as client:
        client.flushall()
    done = shop("restore", "shop", "other")
    assert [line for line in done.output.splitlines() if not line.startswith(" ")] == ["shop:", "other:"]
    assert done.output.count("Appended 1 event from packs.") == 2


def test_what_cannot_be_restored_is_one_sentence(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """A time that is not one, and a server that does not answer."""
    wrong = shop("restore", "--since", "yesterday")
    assert (wrong.code, wrong.errors.count("\n")) == (2, 1), wrong.errors
    assert "'yesterday' is not a valid time" in wrong.errors
    monkeypatch.setenv("REDIS_EVENT_SOURCE_ENDPOINT", "127.0.0.1:1")
    answer = shop("restore")
    assert (answer.code, answer.output, answer.errors.count("\n")) == (1, "", 1), answer.errors
