"""One produce call to several streams: the same event in each, or an error that says which have it."""

from datetime import timedelta

import pytest
from redis.asyncio import Redis

from event_backbone import (
    Backbone,
    ConfigurationError,
    Consumer,
    Context,
    NotSent,
    OutcomeUnknown,
    PartlySent,
    RetryPolicy,
    StreamError,
)
from event_backbone.testing import memory_backbone
from tests.support.parcels import GROUP, Parcels, pack, run_to_the_end
from tests.support.parcels import URI as PACKED

URIS = ("north", "south", "west")
OCCUPIED = "test:south"
"""The key of a stream where something else is, so that nothing can be appended to it."""


async def ids(backbone: Backbone, uri: str) -> list[str]:
    """Return the ids of the events of a stream."""
    return [str(each.metadata.event_id) async for each in backbone.reader(uri).scan()]


@pytest.fixture
async def real_backbone(redis_url: str) -> Backbone:
    """Return a backbone on a server, on which a key can be occupied."""
    return Backbone(redis_url, environment="test")


async def test_an_error_says_which_streams_have_the_event(real_backbone: Backbone, redis: Redis) -> None:
    """Producing again with the event id of the error gives it to the others, and to each only once."""
    await redis.set(OCCUPIED, "something else")
    async with real_backbone as backbone:
        packed = backbone.producer(Parcels, uri=URIS).packed
        with pytest.raises(PartlySent, match=r"it is in north and west\. south: ") as caught:
            await packed(1)
        error = caught.value
        assert isinstance(error, OutcomeUnknown)
        assert error.sent == ("north", "west")
        assert {uri: type(each) for uri, each in error.failed.items()} == {"south": StreamError}
        await redis.delete(OCCUPIED)
        await packed.using(event_id=error.event_id)(1)
        assert [await ids(backbone, uri) for uri in URIS] == [[str(error.event_id)]] * 3


async def test_a_handler_that_failed_half_way_goes_on_with_the_same_event(
    real_backbone: Backbone, redis: Redis
) -> None:
    """With once=, the next attempt sends it to the streams that do not have it, under the id that the others have."""
    consumer, failed = Consumer(Parcels), list[PartlySent]()
    await redis.set(OCCUPIED, "something else")
    async with real_backbone as backbone:
        producer = backbone.producer(Parcels, uri=URIS)

        @consumer.on(Parcels.packed)
        async def handle(ctx: Context, number: int) -> None:
            try:
                await producer.sent.using(once="parcel")(number, f"{ctx.attempt}@example.com")
            except PartlySent as error:
                failed.append(error)
                await redis.delete(OCCUPIED)
                raise

        await pack(backbone, 1)
        retry = RetryPolicy(max_attempts=3, backoff=timedelta())
        await run_to_the_end(backbone.subscribe(consumer, uri=PACKED, group=GROUP, max_events=1, retry=retry))
        assert [await ids(backbone, uri) for uri in URIS] == [[str(failed[0].event_id)]] * 3


async def test_what_no_stream_has_was_not_sent() -> None:
    """Then the error is that of a single stream: calling again is safe."""
    async with memory_backbone() as backbone:
        packed = backbone.producer(Parcels, uri=URIS).packed
    with pytest.raises(NotSent):
        await packed(1)


@pytest.mark.parametrize("uris", [(), ("north", "north")])
async def test_each_uri_is_given_once(uris: tuple[str, ...]) -> None:
    """None at all, or one twice, is a mistake."""
    async with memory_backbone() as backbone:
        with pytest.raises(ConfigurationError, match="one or more URIs, each of them once"):
            backbone.producer(Parcels, uri=uris)
