"""Promise 5 for batch handlers: a suspect does not share its call."""

from datetime import timedelta

from event_backbone.backbone import Backbone
from event_backbone.stream.base import Streams
from tests.support.batches import LONG, Gathering
from tests.support.crashes import crash
from tests.support.eventually import eventually
from tests.support.parcels import GROUP, URI, pack, run_to_the_end, stopped_within

SHORT = timedelta(milliseconds=200)


async def test_promise_5_after_one_crash_events_come_in_batches_after_two_alone(
    backbone: Backbone, streams: Streams
) -> None:
    """One unexplained end is no failure of theirs; two make each a suspect, so the batch handler gets it alone."""
    once, twice = Gathering(most=3, within=LONG), Gathering(most=3, within=LONG)
    await pack(backbone, 1, 2, 3)
    await crash(streams, 1)
    async with stopped_within(backbone.subscribe(once.consumer, uri=URI, group=GROUP, lease=SHORT)) as subscription:
        await eventually(lambda: subscription.handled == 3)
    assert [sorted(each) for each in once.batches] == [[1, 2, 3]]
    await pack(backbone, 4, 5, 6)
    await crash(streams, 2)
    await run_to_the_end(backbone.subscribe(twice.consumer, uri=URI, group=GROUP, lease=SHORT, max_events=3))
    assert sorted(twice.batches) == [[4], [5], [6]]
