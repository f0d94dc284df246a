"""Forwarding: each event once, in order, with its metadata and payload."""

from datetime import UTC, datetime
from time import monotonic

import pytest

from event_backbone import Backbone, ConfigurationError, Worker
from event_backbone.contract.stored_event import StoredEvent
from event_backbone.web.readiness import why_not_forwarded
from tests.support.metrics import CountedMetrics
from tests.support.shipment import ShipmentTracking

URI = "shipments"
NOW = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)


async def everything(backbone: Backbone, uri: str = URI) -> list[StoredEvent]:
    """Return all events of a stream."""
    return [each async for each in backbone.reader(uri).scan()]


async def forward(source: Backbone, target: Backbone, **options: object) -> int:
    """Forward what is there now; return how many events were appended."""
    async with source.forwarder(URI, to=target, follow=False, **options) as forwarder:  # type: ignore[arg-type]
        await forwarder.wait()
        return forwarder.handled


async def test_events_keep_what_they_are(source: Backbone, target: Backbone) -> None:
    """Ids, times, correlation, causation and payload stay, and the origin says where an event was."""
    send = source.producer(ShipmentTracking, uri=URI)
    keys = [await send.note.using(correlation_id="c", causation_id="b")(f"n{i}") for i in range(3)]
    keys.append(await send.packing("jo@example.com", 7, NOW))
    assert await forward(source, target) == 4
    assert await forward(source, target) == 0
    ours, theirs = await everything(source), await everything(target)
    for one, other in zip(ours, theirs, strict=True):
        assert other.arguments == one.arguments
        for name in ("event_id", "event", "version", "produced_at", "correlation_id", "causation_id", "headers"):
            assert getattr(one.metadata, name) == getattr(other.metadata, name)
        assert one.metadata.origin is None
        assert other.metadata.origin is not None
        assert other.metadata.origin.first == ("west//test:shipments", one.key, "west//test:shipments")
    assert [each.metadata.origin.last.key for each in theirs if each.metadata.origin] == keys
    report = await source.verify_forward(URI, to=target)
    assert (report.ok, report.equal) == (True, 4), report


async def test_a_worker_runs_forwarders(source: Backbone, target: Backbone, counted: CountedMetrics) -> None:
    """Its health speaks for them, it waits until they are idle, and stops them together."""
    link = {"uri": URI, "link": "west//test:shipments"}
    worker = Worker(source.forwarder(URI, to=target), source.forwarder(URI, to=source, to_uri="copies"))
    async with worker:
        await source.producer(ShipmentTracking, uri=URI).note("a")
        await worker.until_idle()
        assert (worker.alive, worker.ready, why_not_forwarded(worker)) == (True, True, None)
        assert counted.begun("event_backbone.forward_gaps", **link)
        assert counted.begun("event_backbone.forward_skipped", **link, reason="gone")
        assert counted.begun("event_backbone.outages", uri=URI, side="forward")
        worker.stop()
        await worker.wait()
    assert not worker.alive
    assert why_not_forwarded(worker) is not None
    assert (len(await everything(target)), len(await everything(source, "copies"))) == (1, 1)


async def test_bounds_and_rate(source: Backbone, target: Backbone) -> None:
    """A new link begins at its start and ends before its end; no more than the rate passes."""
    send = source.producer(ShipmentTracking, uri=URI)
    keys = [await send.note(str(number)) for number in range(6)]
    began = monotonic()
    assert await forward(source, target, start=keys[1], end=keys[4], rate=10) == 3
    assert monotonic() - began > 0.25
    assert await forward(source, target, start=keys[0]) == 2
    assert [each.metadata.origin.last.key for each in await everything(target) if each.metadata.origin] == keys[1:]


async def test_a_link_forwards_one_thing(source: Backbone, target: Backbone) -> None:
    """Another filter under the same name is refused, with what to do instead."""
    await source.producer(ShipmentTracking, uri=URI).note("a")
    await forward(source, target)
    with pytest.raises(ConfigurationError, match="--name"):
        await forward(source, target, events=[ShipmentTracking.packing])
    assert await forward(source, target, events=[ShipmentTracking.packing], name="packing") == 0
