"""Promise 11: what lies wholly in S3 survives the loss of Redis: no acknowledged event is lost."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection
from datetime import timedelta
from pathlib import Path

import pytest

from event_backbone import Retention
from event_backbone.archive.restore_report import RestoreReport
from event_backbone.storage import CachedStorage, RedisHashStorage, S3Storage, SplitStorage, Storage
from event_backbone.testing.servers import RedisServer, S3Server
from tests.support.eventually import eventually
from tests.support.letters import URI
from tests.support.losing_redis import Found, Scene, scene
from tests.support.metrics import CountedMetrics

WHOLLY_IN_S3 = ("s3", "s3-cached")
STORAGES: dict[str, Callable[[], Storage]] = {
    "s3": S3Storage,
    "s3-cached": lambda: CachedStorage(S3Storage(), RedisHashStorage(name="cache")),
    "split": lambda: SplitStorage(S3Storage(), {"email": RedisHashStorage(name="personal", archive=True)}),
    "redis-hash": RedisHashStorage,
}


def _seeds(*storages: str, quick: Collection[tuple[str, int]]) -> list[object]:
    long = [(storage, seed) for storage in storages for seed in range(11, 31)]
    return [
        *(pytest.param(*each, id=f"{each[0]}-{each[1]}") for each in quick),
        *(pytest.param(*each, id=f"{each[0]}-{each[1]}", marks=pytest.mark.long) for each in long),
    ]


@pytest.fixture
def kept() -> Retention | None:
    """How long events stay in Redis: forever, unless a test says otherwise."""
    return None


@pytest.fixture
async def lost(
    storage: str,
    seed: int,
    own_redis: RedisServer,
    s3_server: S3Server,
    s3_environment: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kept: Retention | None,
) -> AsyncIterator[Scene]:
    """Producers, workers and an archiver, which go on although Redis has been lost."""
    del s3_environment
    made_of = STORAGES[storage]()
    async with scene(own_redis, tmp_path, s3_server, made_of, seed, monkeypatch, retention=kept) as made:
        await made.lose_redis()
        await asyncio.sleep(made.random.uniform(0, 0.3))
        yield made


async def _restored(lost: Scene) -> tuple[list[Found], RestoreReport]:
    """Restore, go on for a moment, and return what the stream has, which is checked as far as storages are alike."""
    report = await lost.backbone.restore(URI)
    await asyncio.sleep(lost.random.uniform(0, 0.3))
    await lost.settle()
    found = await lost.found()
    ids = [each.event_id for each in found]
    assert len(set(ids)) == len(ids)
    assert [each.key for each in found] == sorted(each.key for each in found)
    assert {each.event_id: each.key for each in found[: len(lost.archived)]} == lost.archived
    assert {event_id: lost.traffic.keys[event_id] for event_id in lost.archived} == lost.archived
    assert report.archived == len(lost.archived)
    return found, report


@pytest.mark.parametrize(("storage", "seed"), _seeds(*WHOLLY_IN_S3, quick=[("s3", 1), ("s3", 2), ("s3-cached", 3)]))
async def test_promise_11_no_acknowledged_event_is_lost_with_redis(lost: Scene) -> None:
    """Promise 11: Redis and its directory are lost; producers and workers go on, and restore brings back every event.

    Each is in the stream once, archived ones under their keys, and each group handles all of them. When Redis is lost,
    an append is under way, and a pack has no segment.
    """
    found, report = await _restored(lost)
    assert {each.event_id: each.number for each in found} == lost.traffic.numbers
    assert {each.event_id for each in found} == lost.traffic.keys.keys()
    for group in lost.handled.values():
        assert (group.numbers, group.incomplete) == (set(lost.traffic.numbers.values()), set())
    assert (report.appended > 0, report.gone) == (True, 0)


@pytest.mark.parametrize("kept", [Retention(max_age=timedelta(milliseconds=200))], ids=["200 ms"])
@pytest.mark.parametrize(("storage", "seed"), _seeds("s3", quick=[("s3", 6)]))
async def test_promise_11_holds_while_retention_removes_events(counted: CountedMetrics, lost: Scene) -> None:
    """Before the loss, while Redis is empty, and after the restore: in archive and stream is each event once."""
    await lost.backbone.restore(URI)
    await asyncio.sleep(lost.random.uniform(0, 1.5))
    await lost.settle()
    await eventually(lambda: counted.count("event_backbone.removed", uri=URI) > 0)
    found = await lost.found(archived=True)
    assert {each.event_id: each.number for each in found} == lost.traffic.numbers
    assert len(found) == len(lost.traffic.numbers)
    for group in lost.handled.values():
        assert (group.numbers, group.incomplete) == (set(lost.traffic.numbers.values()), set())


@pytest.mark.parametrize(("storage", "seed"), _seeds("split", quick=[("split", 4)]))
async def test_promise_11_of_a_part_in_redis_only_what_no_segment_had_is_lost(lost: Scene) -> None:
    """Every event is there; those without their part in Redis come after the last segment, and are reported."""
    found, report = await _restored(lost)
    assert {each.event_id: each.number for each in found} == lost.traffic.numbers
    incomplete = {each.event_id for each in found if not each.is_whole}
    assert incomplete >= lost.unarchived.keys()
    assert report.gone == len(incomplete)
    numbers = {lost.traffic.numbers[event_id] for event_id in incomplete}
    for group in lost.handled.values():
        assert group.incomplete == numbers
        assert group.numbers | numbers == set(lost.traffic.numbers.values())


@pytest.mark.parametrize(("storage", "seed"), _seeds("redis-hash", quick=[("redis-hash", 5)]))
async def test_promise_11_of_payloads_in_redis_only_what_no_segment_had_is_lost(lost: Scene) -> None:
    """What is lost comes after the last segment; the plan says beforehand that such a storage has no copy elsewhere."""
    plan = await lost.backbone.plan_restore(URI)
    assert plan.unlisted == ("redis-hash",)
    assert (plan.committed, plan.events_lost) == (max(lost.archived.values()), True)
    found, report = await _restored(lost)
    assert all(each.is_whole for each in found)
    assert lost.traffic.keys.keys() - {each.event_id for each in found} == lost.unarchived.keys()
    assert min(lost.unarchived.values()) > max(lost.archived.values())
    there = {each.number for each in found}
    for group in lost.handled.values():
        assert group.numbers >= there
    assert (report.appended, report.gone) == (0, 0)
