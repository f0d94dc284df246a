"""Comparing both sides of a link finds every fault that is planted."""

from typing import Any, cast

from pydantic_core import from_json, to_json
from redis.asyncio import Redis

from event_backbone import Backbone
from tests.forward.test_forwarding import URI, everything, forward
from tests.forward.test_once_each import produce

STREAM = "test:shipments"

Fields = dict[Any, Any]


async def fields_of(redis: Redis, entry_id: str) -> Fields:
    """Return the fields of an entry."""
    ((_, fields),) = cast("list[tuple[bytes, Fields]]", await redis.xrange(STREAM, entry_id, entry_id))
    return fields


async def test_planted_faults_are_found(source: Backbone, target: Backbone, redis: Redis, other_url: str) -> None:
    """A missing event, a duplicate, another payload, other metadata, and one that the source does not have."""
    await produce(source, 8)
    await forward(source, target)
    ours, theirs = await everything(source), await everything(target)
    async with Redis.from_url(other_url) as other:
        await other.xdel(STREAM, theirs[0].key.entry_id)
        await other.hset("{" + STREAM + "}:payload:" + str(theirs[2].metadata.event_id), "text", '"changed"')
        fields = await fields_of(other, theirs[3].key.entry_id)
        await redis.xdel(STREAM, ours[5].key.entry_id)
        await other.xadd(STREAM, fields)
    report = await source.verify_forward(URI, to=target)
    assert not report.ok
    assert (report.missing.count, report.missing.keys) == (1, [ours[0].key])
    assert (report.duplicates.count, report.duplicates.keys) == (1, [ours[3].key])
    assert (report.differing.count, report.differing.keys) == (1, [ours[2].key])
    assert (report.extra.count, report.extra.keys) == (1, [ours[5].key])
    assert report.equal == 5


async def test_other_metadata_is_found(source: Backbone, target: Backbone, other_url: str) -> None:
    """However small the difference is."""
    await produce(source, 1)
    await forward(source, target)
    async with Redis.from_url(other_url) as other:
        (event,) = await everything(target)
        fields = await fields_of(other, event.key.entry_id)
        changed = {**from_json(cast("bytes", fields[b"metadata"])), "correlation": "another"}
        await other.delete(STREAM)
        await other.xadd(STREAM, {**fields, b"metadata": to_json(changed)}, id=event.key.entry_id)
    assert (await source.verify_forward(URI, to=target)).differing.count == 1
