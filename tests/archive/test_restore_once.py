"""What handlers have produced once, after a restore: an event that is handled again does not produce it twice."""

from datetime import timedelta

import pytest
from redis.asyncio import Redis

from event_backbone import Backbone, Consumer, Context, Reject, Retention, Retry
from event_backbone.archive import S3Archive
from event_backbone.storage import S3Storage
from event_backbone.testing.servers import RedisServer
from tests.support.archives import STREAM, ArchivedStream
from tests.support.eventually import eventually
from tests.support.parcels import GROUP, URI, Parcels, nothing_is_left

FAILS, IS_REJECTED = 1, 2
KEEPS_LITTLE = Retention(max_age=timedelta(milliseconds=1))
NUMBERS = [0, FAILS, IS_REJECTED, 3]


def _consumer(backbone: Backbone, target: str, *, attempt: int) -> Consumer[Parcels]:
    """Return a consumer that sends each parcel once, and the first time then fails with some."""
    consumer, producer = Consumer(Parcels), backbone.producer(Parcels, uri=target)

    @consumer.on(Parcels.packed)
    async def packed(_: Context, number: int) -> None:
        await producer.sent.using(once="parcel")(number, "ada@example.com")
        if attempt == 1 and number == FAILS:
            raise Retry(timedelta(hours=1))
        if attempt == 1 and number == IS_REJECTED:
            raise Reject("It is damaged.")

    return consumer


async def _handle(backbone: Backbone, target: str, *, pending: int) -> None:
    """Let the group handle what it can."""
    async with backbone.subscribe(_consumer(backbone, target, attempt=1), uri=URI, group=GROUP):

        async def is_done() -> bool:
            (state,) = await backbone.groups(URI)
            return (state.unread, state.pending) == (0, pending)

        await eventually(is_done)


async def _restored(backbone: Backbone, target: str) -> list[int]:
    """Restore while a worker runs, let it handle everything, and return the numbers of the follow-up events."""
    async with backbone.subscribe(_consumer(backbone, target, attempt=2), uri=URI, group=GROUP):
        for uri in dict.fromkeys((target, URI)):
            await backbone.restore(uri, follow_ups_in=[target])
        await eventually(lambda: nothing_is_left(backbone))
        await backbone.dead_letters(URI, GROUP).redrive_all()
        await eventually(lambda: nothing_is_left(backbone))
    sent = [each async for each in backbone.reader(target).scan() if each.metadata.event == "sent"]
    return sorted(int(str(each.arguments["number"])) for each in sent)


@pytest.mark.parametrize(
    ("target", "saved", "archived_events", "retention"),
    [
        (URI, "before", "none", None),
        (URI, "after", "handled", KEEPS_LITTLE),
        (URI, "before", "all", None),
        ("invoices", "after", "none", None),
        ("invoices", "before", "handled", None),
        ("invoices", "after", "all", KEEPS_LITTLE),
    ],
)
async def test_what_was_produced_once_is_not_produced_again(
    archived: ArchivedStream,
    redis: Redis,
    redis_server: RedisServer,
    target: str,
    saved: str,
    archived_events: str,
    retention: Retention | None,
) -> None:
    """Whatever had been archived of the handled events and of those that their handlers produced.

    The group's state was saved before it handled anything, or after one event failed and another was rejected. With
    retention most of both stays in the archive alone.
    """
    await archived.produce(0)
    await archived.archive_all()
    await archived.produce(*NUMBERS[1:])
    if archived_events != "none":
        await archived.archive_all()
    await redis.xgroup_create(STREAM.key, GROUP, "0-0")
    if saved == "before":
        await archived.save_groups()
    await _handle(archived.backbone, target, pending=1)
    if saved == "after":
        await archived.save_groups()
    if archived_events == "all":
        await _archive(archived, target)
    redis_server.flush()
    async with Backbone(
        archived.url, storage=S3Storage(), archive=S3Archive(), retention=retention, environment="test"
    ) as backbone:
        assert await _restored(backbone, target) == NUMBERS
    assert await redis.exists(f"{{{STREAM.key}}}:once:{GROUP}") == 0


async def test_what_was_produced_once_without_an_archive(
    redis_url: str, redis: Redis, redis_server: RedisServer, s3_environment: object
) -> None:
    """All events come back under new keys, and each knows what was produced."""
    del s3_environment
    async with Backbone(redis_url, storage=S3Storage(), environment="test") as backbone:
        producer = backbone.producer(Parcels, uri=URI)
        for number in NUMBERS:
            await producer.packed(number)
        await _handle(backbone, URI, pending=1)
        redis_server.flush()
        assert await _restored(backbone, URI) == NUMBERS
    assert await redis.exists(f"{{{STREAM.key}}}:once:{GROUP}") == 0


async def _archive(archived: ArchivedStream, target: str) -> None:
    if target == URI:
        await archived.archive_all()
    else:
        async with archived.backbone.archiver(target) as archiver:
            await archiver.commit()
