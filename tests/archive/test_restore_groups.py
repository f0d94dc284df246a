"""Groups after a restore: each handles what it had not finished, as far as the archive knows."""

import asyncio
from collections.abc import Collection
from datetime import timedelta
from time import time

import pytest
from redis.asyncio import Redis

from event_backbone import Context, GroupMissing, Reject, Retry
from event_backbone.testing.servers import RedisServer
from tests.support.archives import STREAM, ArchivedStream
from tests.support.eventually import eventually
from tests.support.parcels import GROUP, URI, Remembering


class Deciding(Remembering):
    """Rejects and retries what it is told to."""

    def __init__(self, *, reject: Collection[int] = (), fail: Collection[int] = ()) -> None:
        super().__init__()
        self.reject, self.fail = reject, fail

    async def packed(self, ctx: Context, number: int) -> None:
        """Decide."""
        await super().packed(ctx, number)
        if number in self.reject:
            raise Reject("It is damaged.")
        if number in self.fail and ctx.attempt == 1:
            raise Retry(timedelta(hours=1))


async def _handled(archived: ArchivedStream, **decisions: Collection[int]) -> Deciding:
    """Let the group handle what it can."""
    made = Deciding(**decisions)
    async with archived.backbone.subscribe(made.consumer, uri=URI, group=GROUP) as subscription:

        async def nothing_to_do() -> bool:
            (state,) = await archived.backbone.groups(URI)
            return state.unread == 0 and state.pending == len(made.fail)

        await eventually(nothing_to_do)
        del subscription
    return made


async def test_a_group_goes_on_where_it_was(archived: ArchivedStream, redis_server: RedisServer) -> None:
    """What it had finished is not handled again; what had failed is, due now, with attempts counted from 1."""
    await archived.produce(1, 2, 3)
    await _handled(archived, reject={1}, fail={2})
    (letter,) = [each async for each in archived.backbone.dead_letters(URI, GROUP).list()]
    await archived.archive_all()
    await archived.save_groups()
    redis_server.flush()
    report = await archived.backbone.restore(URI)
    assert (report.dead_letters, list(report.groups or ())) == (1, [GROUP])
    await archived.produce(4)
    after = await _handled(archived)
    assert (sorted(after.numbers), set(after.attempts)) == ([2, 4], {1})
    assert [each async for each in archived.backbone.dead_letters(URI, GROUP).list()] == [letter]
    await archived.backbone.dead_letters(URI, GROUP).redrive_all()
    assert (await _handled(archived)).numbers == [1]


async def test_a_deleted_group_is_not_made_again(archived: ArchivedStream, redis_server: RedisServer) -> None:
    """Nor its dead letters, although no archiver has run since; another group is."""
    await archived.produce(1, 2)
    await _handled(archived, reject={1})
    await archived.archive_all()
    await archived.save_groups()
    await archived.backbone.delete_group(URI, GROUP, dead_letters=True)
    redis_server.flush()
    report = await archived.backbone.restore(URI)
    assert (report.dead_letters, list(report.groups or ())) == (0, [])
    with pytest.raises(GroupMissing):
        await archived.backbone.delete_group(URI, "nobody")
    with pytest.raises(GroupMissing, match="Neither stream"):
        await archived.backbone.delete_group(URI, "nobody", dry_run=True)
    assert not (await archived.backbone.delete_group(URI, GROUP, dry_run=True)).exists


async def test_a_group_whose_saved_position_is_ahead_of_the_archive(
    archived: ArchivedStream, redis_server: RedisServer
) -> None:
    """It handles again what was not archived, also if Redis is lost again and gives keys below the saved position.

    So it does when its clock is behind that of the server that was lost.
    """
    await archived.produce(1)
    await archived.archive_all()
    await archived.connection.command("XSETID", STREAM.key, f"{int(time() * 1000) + 300_000}-0")
    await archived.produce(2)
    assert set((await _handled(archived)).numbers) == {1, 2}
    await archived.save_groups()
    redis_server.flush()
    await archived.backbone.restore(URI)
    await archived.produce(3)
    await archived.archive_all()
    redis_server.flush()
    await archived.backbone.restore(URI)
    assert set((await _handled(archived)).numbers) == {2, 3}


@pytest.mark.parametrize("pending", [150, pytest.param(6000, marks=pytest.mark.long)])
async def test_more_pending_events_than_may_be_parked(
    archived: ArchivedStream, redis: Redis, redis_server: RedisServer, pending: int
) -> None:
    """All that was pending is due after a restore. However many they are, the group handles them and is ready."""
    await asyncio.gather(*(archived.produce(number) for number in range(pending)))
    await redis.xgroup_create(STREAM.key, GROUP, "0-0")
    await redis.xreadgroup(GROUP, "crashed", {STREAM.key: ">"}, count=pending)
    await archived.archive_all()
    await archived.save_groups()
    redis_server.flush()
    await archived.backbone.restore(URI)
    made = Deciding()
    async with archived.backbone.subscribe(
        made.consumer, uri=URI, group=GROUP, max_parked=pending - 100, concurrency=100
    ) as subscription:
        await eventually(lambda: len(made.numbers) == pending, within_seconds=5 + pending / 50)
        await subscription.until_idle()
        assert subscription.ready
    assert sorted(made.numbers) == list(range(pending))
