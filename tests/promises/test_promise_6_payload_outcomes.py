"""Promise 6: a payload that is gone or erased is an outcome."""

from event_backbone import Backbone, Consumer, Context, EventKey, Reject
from tests.support.parcels import GROUP, URI, Parcels, Remembering, pack, run_to_the_end


async def test_promise_6_an_erased_payload_is_an_outcome_and_not_an_endless_retry(backbone: Backbone) -> None:
    """It is skipped, also when it is erased as a dead letter and redriven; the next one is handled."""
    key: EventKey = await backbone.producer(Parcels, uri=URI).packed(1)
    await pack(backbone, 2)
    await backbone.erase(URI, key)
    remembering = Remembering()
    await run_to_the_end(backbone.subscribe(remembering.consumer, uri=URI, group=GROUP, max_events=2))
    assert (remembering.numbers, await count(backbone)) == ([2], 0)

    rejecting = Consumer(Parcels)

    @rejecting.on(Parcels.packed)
    async def reject(ctx: Context, number: int) -> None:
        raise Reject("never")

    rejected = await backbone.producer(Parcels, uri=URI).packed(3)
    await run_to_the_end(backbone.subscribe(rejecting, uri=URI, group=GROUP, max_events=1))
    await backbone.erase(URI, rejected)
    assert (await backbone.dead_letters(URI, GROUP).redrive_all()).events == 1
    await run_to_the_end(backbone.subscribe(rejecting, uri=URI, group=GROUP, max_events=1))
    assert await count(backbone) == 0


async def count(backbone: Backbone) -> int:
    """Return how many dead letters there are."""
    return len([each async for each in backbone.dead_letters(URI, GROUP).list()])
