"""Explaining one event: what became of it in each group, and what it has caused."""

from datetime import UTC, datetime, timedelta

import pytest

from event_backbone import Backbone, ConfigurationError, Consumer, Context, EventKey, EventNotFound, Reject, RetryPolicy
from tests.support.eventually import eventually
from tests.support.parcels import Parcels, Remembering, Stuck, pack, stopped_within

URI, NEXT = "parcels", "sent-parcels"


def producing(backbone: Backbone) -> Consumer[Parcels]:
    """Return a consumer that produces two events to other streams, the second one in a chain."""
    consumer, sent, again = Consumer(Parcels), backbone.producer(Parcels, uri=NEXT), backbone.producer(Parcels, uri=URI)

    @consumer.on(Parcels.packed)
    async def packed(_: Context, number: int) -> None:
        if number < 10:
            await sent.sent(number, "ada@example.com")

    @consumer.on(Parcels.sent)
    async def handle_sent(_: Context, number: int, email: str) -> None:
        await again.packed(number + 10)

    return consumer


def raising(error: Exception) -> Consumer[Parcels]:
    """Return a consumer whose handler raises this error."""
    consumer = Consumer(Parcels)

    @consumer.on(Parcels.packed)
    async def fail(_: Context, number: int) -> None:
        raise error

    return consumer


async def keys_in(backbone: Backbone, uri: str = URI) -> list[EventKey]:
    """Return the keys of all events."""
    return [each.key async for each in backbone.reader(uri).scan()]


async def test_the_life_of_an_event_in_each_group(backbone: Backbone) -> None:
    """Unread, in flight, parked with its last failure, dead-lettered, finished; a redriven one is finished later."""
    rejecting, failing, stuck = raising(Reject("no such parcel")), raising(LookupError("a secret")), Stuck()
    async with stopped_within(backbone.subscribe(Remembering().consumer, uri=URI, group="ahead")):
        pass
    await pack(backbone, 1)
    (key,) = await keys_in(backbone)
    retry = RetryPolicy(backoff=timedelta(hours=1))
    parking = backbone.subscribe(failing, uri=URI, group="parking", retry=retry)
    async with (
        stopped_within(parking),
        stopped_within(backbone.subscribe(rejecting, uri=URI, group="dead", max_events=1)) as dead,
        stopped_within(backbone.subscribe(Remembering().consumer, uri=URI, group="done", max_events=1)) as done,
        stopped_within(backbone.subscribe(stuck.consumer, uri=URI, group="busy", drain=timedelta())),
    ):
        await dead.wait()
        await done.wait()
        await stuck.running.wait()
        await eventually(lambda: _parked(backbone))
        await backbone.seek(URI, "ahead", "now")
        lives = {each.group: each for each in (await backbone.explain(URI, key)).groups}
        assert {name: life.state for name, life in lives.items()} == {
            "ahead": "skipped",
            "busy": "in-flight",
            "dead": "dead-letter",
            "done": "finished",
            "parking": "parked",
        }
        assert lives["busy"].pending is not None
        assert (lives["busy"].pending.attempt, lives["busy"].pending.failures) == (1, 0)
        waiting = lives["parking"].pending
        assert waiting is not None
        assert (waiting.failures, waiting.error) == (1, "LookupError")
        assert waiting.place[0].startswith("tests/fundamentals/test_explain.py:")
        assert [each.detail for each in lives["dead"].dead_letters] == ["no such parcel"]
    await backbone.seek(URI, "done", "beginning")
    assert [each.state for each in (await backbone.explain(URI, key)).groups if each.group == "done"] == ["unread"]


async def _parked(backbone: Backbone) -> bool:
    return any(each.parked for each in await backbone.groups(URI))


async def test_what_an_event_has_caused(backbone: Backbone) -> None:
    """As a tree across streams, to a depth; without the other stream nothing of it is found."""
    consumer = producing(backbone)
    await pack(backbone, 1, 2)
    async with (
        stopped_within(backbone.subscribe(consumer, uri=URI, group="g", max_events=4)) as first,
        stopped_within(backbone.subscribe(consumer, uri=NEXT, group="g", max_events=2)) as second,
    ):
        await first.wait()
        await second.wait()
    key = (await keys_in(backbone))[0]
    found = await backbone.explain(URI, key, also_in=[NEXT])
    (sent,) = found.caused
    assert (sent.metadata.uri, sent.metadata.event) == (NEXT, "sent")
    assert [(each.metadata.uri, each.metadata.event, each.caused) for each in sent.caused] == [(URI, "packed", ())]
    (sent,) = (await backbone.explain(URI, key, also_in=[NEXT], depth=1)).caused
    assert sent.caused == ()
    assert (await backbone.explain(URI, key)).caused == ()
    assert (await backbone.explain(URI, key, within=timedelta.max)).searched_until <= datetime.now(UTC)
    with pytest.raises(EventNotFound):
        await backbone.explain(URI, EventKey(1))
    with pytest.raises(ConfigurationError, match="within must be positive"):
        await backbone.explain(URI, key, within=timedelta())
