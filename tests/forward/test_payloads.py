"""Payloads: by reference where the target reads the same place in S3, copied everywhere else."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from event_backbone import Backbone
from event_backbone.archive import S3Archive, history
from event_backbone.forward import forward_loop
from event_backbone.storage import CachedStorage, RedisHashStorage, S3Storage, SplitStorage, Storage
from tests.forward.test_forwarding import NOW, URI, everything, forward
from tests.support.archives import archive_all
from tests.support.eventually import eventually
from tests.support.shipment import ShipmentTracking, SplitShipments

NewStorage = Callable[[], Storage]


def hashes() -> Storage:
    """Return a storage of hashes beside the stream."""
    return RedisHashStorage()


def inline() -> Storage:
    """Return a storage in the entries."""
    return RedisHashStorage(inline_up_to_bytes=1000)


def cached() -> Storage:
    """Return S3 behind a cache."""
    return CachedStorage(S3Storage(), RedisHashStorage(name="cache"))


def split() -> Storage:
    """Return a storage in two places."""
    return SplitStorage(S3Storage(), {"email": RedisHashStorage(name="personal")})


@pytest.mark.usefixtures("s3_environment")
@pytest.mark.parametrize("ours", [hashes, inline, S3Storage, cached, split])
@pytest.mark.parametrize("theirs", [hashes, inline, S3Storage, cached, split])
async def test_from_any_storage_to_any(
    redis_url: str, other_url: str, ours: type[Storage], theirs: type[Storage]
) -> None:
    """The arguments are the same bytes."""
    async with (
        Backbone(redis_url, storage=ours(), environment="test", site="west") as source,
        Backbone(other_url, storage=theirs(), environment="other") as target,
    ):
        await source.producer(SplitShipments, uri=URI).packing("jo@example.com", 7, NOW)
        await source.producer(SplitShipments, uri=URI).note("x")
        assert await forward(source, target) == 2
        assert [each.arguments for each in await everything(target)] == [
            each.arguments for each in await everything(source)
        ]
        assert (await source.verify_forward(URI, to=target)).ok


@pytest.mark.usefixtures("s3_environment")
@pytest.mark.parametrize(
    ("environment", "copy_payloads", "by_reference"),
    [("test", False, True), ("test", True, False), ("b", False, False)],
)
async def test_by_reference_only_in_the_same_place(
    redis_url: str, other_url: str, environment: str, *, copy_payloads: bool, by_reference: bool
) -> None:
    """That is the same bucket, prefix, environment and URI, and nobody asked for copies."""
    async with (
        Backbone(redis_url, storage=S3Storage(), environment="test", site="west") as source,
        Backbone(other_url, storage=S3Storage(), environment=environment, site="east") as target,
    ):
        await source.producer(ShipmentTracking, uri=URI).note("x")
        await forward(source, target, copy_payloads=copy_payloads)
        (one,), (copy,) = await everything(source), await everything(target)
        assert (copy.references == one.references) is by_reference
        assert copy.arguments == one.arguments


async def test_what_has_no_payload_is_not_forwarded_but_counted(source: Backbone, target: Backbone) -> None:
    """An erased payload, and one that is gone; the others go on, and comparing finds nothing wrong."""
    producer = source.producer(ShipmentTracking, uri=URI)
    keys = [await producer.note(text) for text in ("erased", "gone", "there")]
    events = await everything(source)
    await source.erase(URI, keys[0])
    assert source.redis is not None
    await source.redis.command("DEL", "{test:shipments}:payload:" + str(events[1].metadata.event_id))
    async with source.forwarder(URI, to=target, follow=False) as forwarder:
        await forwarder.wait()
        assert (forwarder.handled, forwarder.skipped) == (1, {"erased": 1, "gone": 1})
    assert (await source.verify_forward(URI, to=target)).ok


async def test_what_is_erased_while_it_waits_for_its_turn_is_not_forwarded(redis_url: str, target: Backbone) -> None:
    """An inline payload was read with its page, which takes a while to forward at this rate."""
    async with Backbone(redis_url, storage=inline(), environment="test", site="west") as source:
        keys = [await source.producer(ShipmentTracking, uri=URI).note(f"n{number}") for number in range(3)]
        async with source.forwarder(URI, to=target, follow=False, rate=1.9) as forwarder:
            await eventually(lambda: forwarder.handled == 1)
            await eventually(lambda: forwarder.lag > timedelta(seconds=0.4), within_seconds=1)  # of the next one
            await source.erase(URI, keys[2])
            await forwarder.wait()
        assert (forwarder.handled, forwarder.skipped) == (2, {"erased": 1})
        assert len(await everything(target)) == 2
        assert (await source.verify_forward(URI, to=target)).ok


@pytest.mark.usefixtures("s3_environment")
async def test_what_is_erased_in_the_archive_meanwhile_is_not_forwarded(
    redis_url: str, target: Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slow link reads the archive again now and then, about every minute."""
    monkeypatch.setattr(forward_loop, "_FRESH_SECONDS", 0.1)
    monkeypatch.setattr(history, "_KEPT", 0.0)
    async with Backbone(redis_url, archive=S3Archive(), environment="test", site="west") as source:
        keys = [await source.producer(ShipmentTracking, uri=URI).note(f"n{number}") for number in range(3)]
        await archive_all(source, URI)
        await source.trim(URI, before=datetime.now(UTC) + timedelta(seconds=1))
        async with source.forwarder(URI, to=target, follow=False, rate=1.9) as forwarder:
            await eventually(lambda: forwarder.handled == 1)
            await source.erase(URI, keys[2])
            await forwarder.wait()
        assert (forwarder.handled, forwarder.skipped) == (2, {"erased": 1})


async def test_a_storage_that_is_missing_is_waited_for(redis_url: str, target: Backbone) -> None:
    """The link is not ready meanwhile, and goes on once the payload can be read."""
    named = RedisHashStorage(name="named")
    async with Backbone(redis_url, storage=named, environment="test", site="west") as source:
        await source.producer(ShipmentTracking, uri=URI).note("x")
    async with (
        Backbone(redis_url, environment="test", site="west") as without,
        without.forwarder(URI, to=target) as forwarder,
    ):
        await eventually(lambda: forwarder.problem is not None)
        assert not forwarder.ready
    async with Backbone(redis_url, storage=named, environment="test", site="west") as source:
        assert await forward(source, target) == 1
