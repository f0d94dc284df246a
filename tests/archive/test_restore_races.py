"""What is done to a stream while it is archived and restored: nothing is undone, and nothing is lost."""

import asyncio
from datetime import timedelta

import pytest
from redis.asyncio import Redis

from event_backbone import Backbone, Context, Reject
from event_backbone.archive import S3Archive, archive_loop
from event_backbone.storage import S3Storage
from tests.support.archives import STREAM, ArchivedStream
from tests.support.eventually import eventually
from tests.support.parcels import GROUP, URI, Parcels, Remembering

_EVENTS = 300


class RejectingAtFirst(Remembering):
    """Rejects some events the first time."""

    async def packed(self, ctx: Context, number: int) -> None:
        """Remember, and reject."""
        is_first = number not in self.numbers
        await super().packed(ctx, number)
        if number % 50 == 0 and is_first:
            raise Reject("Not at first.")


async def test_a_restore_beside_everything_else(
    archived: ArchivedStream, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Erasing, deleting, dead-lettering, redriving, new groups and snapshots of groups go on beside two archivers.

    What was erased stays so; each group handles every other event, and each event is there once.
    """
    monkeypatch.setattr(archive_loop, "_GROUPS_EVERY", timedelta(milliseconds=100))
    short = S3Archive(segment_bytes=10_000, close_after=timedelta(milliseconds=100))
    producer, first, later = archived.backbone.producer(Parcels, uri=URI), RejectingAtFirst(), Remembering()
    async with (
        Backbone(archived.url, storage=S3Storage(), archive=short, environment="test") as backbone,
        backbone.archiver(URI) as one,
        backbone.archiver(URI) as other,
        backbone.subscribe(first.consumer, uri=URI, group=GROUP) as subscription,
    ):
        keys = await asyncio.gather(*(producer.packed(number) for number in range(_EVENTS)))
        await subscription.until_idle()
        await asyncio.gather(one.commit(), other.commit())
        await redis.flushall()
        live = await asyncio.gather(*(producer.packed(number) for number in range(_EVENTS, _EVENTS + 20)))
        restoring = asyncio.create_task(backbone.restore(URI))
        await backbone.erase(URI, keys[7])
        await redis.xdel(STREAM.key, live[3].entry_id)
        async with backbone.subscribe(later.consumer, uri=URI, group="later") as new:
            await producer.packed(_EVENTS + 20)
            await restoring
            await backbone.dead_letters(URI, GROUP).redrive_all()
            await new.until_idle()
            await subscription.until_idle()
        await asyncio.gather(eventually(lambda: one.ready), eventually(lambda: other.ready))
        await asyncio.gather(one.commit(), other.commit())
        states = {each.key: each.payload async for each in backbone.reader(URI).scan()}
    assert {key: payload for key, payload in states.items() if payload != "present"} == {keys[7]: "erased"}
    assert list(states)[:_EVENTS] == sorted(keys)
    assert _EVENTS + 20 <= len(states) <= _EVENTS + 21
    expected = set(range(_EVENTS + 21)) - {7}
    assert expected - set(later.numbers) <= {_EVENTS + 3}
    assert expected - set(first.numbers) <= {_EVENTS + 3}
