"""Promise 6: a payload that is gone or erased is an outcome."""

from event_backbone.backbone import Backbone
from event_backbone.model import EventKey
from tests.support.parcels import GROUP, URI, Parcels, Remembering, pack, run_to_the_end


async def test_promise_6_an_erased_payload_is_an_outcome_and_not_an_endless_retry(backbone: Backbone) -> None:
    """The event is a dead letter, and the next one is handled."""
    key: EventKey = await backbone.producer(Parcels, uri=URI).packed(1)
    await pack(backbone, 2)
    await backbone.erase(URI, key)
    remembering = Remembering()
    await run_to_the_end(backbone.subscribe(remembering.consumer, uri=URI, group=GROUP, max_events=2))
    (letter,) = [each async for each in backbone.dead_letters(URI, GROUP).list()]
    assert (letter.key, letter.reason, remembering.numbers) == (key, "payload-erased", [2])
