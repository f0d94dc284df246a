"""Producing once, when an earlier attempt is so long ago that its event has left the stream."""

import time
from uuid import UUID

import pytest
from redis.asyncio import Redis

from event_backbone import Consumer, Context, EventKey
from event_backbone.errors import NotSent
from event_backbone.model import new_event_id
from tests.archive.conftest import Make
from tests.support import parcels
from tests.support.archives import archive_all
from tests.support.faulty_s3 import FaultyS3, Refusal
from tests.support.letters import STREAM, URI, Letters, add_entry, rows_of, trim
from tests.support.parcels import GROUP, Parcels, run_to_the_end
from tests.support.restoring import metadata_of

HOUR = 3_600_000


async def _produced_an_hour_ago(redis: Redis) -> tuple[UUID, EventKey]:
    """Append an event to the stream that handlers produce to, as an earlier attempt did; return its id and key."""
    event_id = UUID(int=new_event_id().int - (HOUR << 80))
    key = EventKey(int(time.time() * 1000) - HOUR)
    metadata = metadata_of(event_id).replace(b"packed", b"sent").decode()
    await add_entry(redis, entry_id=key.entry_id, wire="1", metadata=metadata, arg_number="1")
    return event_id, key


async def _keep(redis: Redis, handled: EventKey, event_id: UUID) -> None:
    """Have the group keep this id for a follow-up event, as if its key had not been noted."""
    await redis.xgroup_create(f"test:{parcels.URI}", GROUP, "0-0")
    await redis.hset(f"{{test:{parcels.URI}}}:once:{GROUP}", handled.entry_id, f"{URI} sent letter {event_id}\n")


@pytest.mark.parametrize(
    ("state", "found"),
    [("removed", True), ("notes lost", True), ("never sent", False), ("S3 is away", False), ("no archive", False)],
)
async def test_what_is_archived_alone_is_not_produced_again(
    archiving: Make, s3: FaultyS3, redis: Redis, state: str, found: bool
) -> None:
    """The late attempt gets its key. Without an archive it produces a second event: twice rather than never.

    S3 is not asked about a stream that has all its events; while S3 does not answer, nothing is sent.
    """
    keys, consumer = list[EventKey](), Consumer(Parcels)
    async with archiving() as archiver, archiving(archived=state != "no archive") as backbone:
        producer = backbone.producer(Letters, uri=URI)

        @consumer.on(Parcels.packed)
        async def handle(_: Context, number: int) -> None:
            if state == "S3 is away":
                with pytest.raises(NotSent):
                    await producer.sent.using(once="letter")(number)
            else:
                keys.append(await producer.sent.using(once="letter")(number))

        event_id, key = await _produced_an_hour_ago(redis)
        await archive_all(archiver, URI)
        if state != "never sent":
            await trim(redis, key.successor())
        if state == "notes lost":
            await redis.delete(f"{{{STREAM}}}:archive")
        handled = await backbone.producer(Parcels, uri=parcels.URI).packed(1)
        await _keep(redis, handled, UUID(int=event_id.int ^ 1) if state == "never sent" else event_id)
        before = len(s3.paths)
        s3.choose = lambda _method, path: Refusal(503, "SlowDown") if state == "S3 is away" and path else None
        await run_to_the_end(backbone.subscribe(consumer, uri=parcels.URI, group=GROUP, max_events=1))
    assert (keys == [key]) is found
    assert len(await rows_of(redis)) == {"never sent": 2, "no archive": 1}.get(state, 0)
    assert (len(s3.paths) == before) is (state in {"never sent", "no archive"})
