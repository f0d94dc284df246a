"""Links that form a loop, or meet: each event once in every stream."""

from itertools import pairwise

import pytest

from event_backbone import Backbone, ConfigurationError
from tests.forward.test_forwarding import everything
from tests.support.shipment import ShipmentTracking


async def once_around(backbone: Backbone, links: list[tuple[str, str]]) -> None:
    """Forward what is there now over each of the links."""
    for source, target in links:
        async with backbone.forwarder(source, to=backbone, to_uri=target, follow=False) as forwarder:
            await forwarder.wait()


@pytest.mark.parametrize("streams", [["a", "b"], ["a", "b", "c"]])
async def test_a_loop_ends_before_the_stream_where_an_event_began(source: Backbone, streams: list[str]) -> None:
    """Whatever the number of rounds, every stream has each event once."""
    for each in streams:
        await source.producer(ShipmentTracking, uri=each).note(f"from {each}")
    links = [*pairwise(streams), (streams[-1], streams[0])]
    for _ in range(4):
        await once_around(source, links)
    for each in streams:
        events = await everything(source, each)
        assert sorted(event.as_(ShipmentTracking.note).arguments["text"] for event in events) == [
            f"from {other}" for other in streams
        ]


async def test_an_event_that_came_another_way_is_not_forwarded_again(source: Backbone) -> None:
    """A diamond within the deduplication window; comparing both sides finds it in order."""
    await source.producer(ShipmentTracking, uri="a").note("x")
    await once_around(source, [("a", "b"), ("a", "c"), ("b", "d"), ("c", "d")])
    assert len(await everything(source, "d")) == 1
    report = await source.verify_forward("c", to=source, to_uri="d")
    assert (report.ok, report.equal, report.other_way) == (True, 0, 1)


async def test_two_redis_with_the_same_names_need_a_site(redis_url: str, other_url: str) -> None:
    """One sentence says so."""
    async with Backbone(redis_url, environment="test") as one, Backbone(other_url, environment="test") as other:
        with pytest.raises(ConfigurationError, match="site"):
            one.forwarder("shipments", to=other)
