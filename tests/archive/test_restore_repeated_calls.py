"""Producers that repeat a call make no duplicate, whether the event is archived, in a pack, or appended again."""

import asyncio

import pytest

from event_backbone.model import new_event_id
from event_backbone.testing.servers import RedisServer
from tests.support.archives import ArchivedStream
from tests.support.parcels import URI, Parcels


@pytest.mark.parametrize("is_archived", [True, False])
@pytest.mark.parametrize("repeated", ["before", "during", "after"])
async def test_a_repeated_call(
    archived: ArchivedStream, redis_server: RedisServer, repeated: str, *, is_archived: bool
) -> None:
    """The call was acknowledged, or its answer lost, before Redis was; then it is repeated with its event id."""
    call = archived.backbone.producer(Parcels, uri=URI).packed.using(event_id=new_event_id())
    await archived.produce(0)
    await archived.archive_all()
    key = await call(1)
    if is_archived:
        await archived.archive_all()
    redis_server.flush()
    if repeated == "before":
        assert await call(1) > key
        assert (await archived.backbone.restore(URI)).duplicates == is_archived
    elif repeated == "during":
        await asyncio.gather(archived.backbone.restore(URI), *(call(1) for _ in range(20)))
    else:
        await archived.backbone.restore(URI)
    found = await archived.in_redis()
    assert [number for _, number in found] == [0, 1]
    assert await call(1) == found[-1][0]
    assert (found[-1][0] == key) == is_archived
