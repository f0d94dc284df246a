"""What is known of an event that only the archive has."""

from datetime import timedelta

from event_backbone import Backbone, EventKey, RetryPolicy
from event_backbone.connection import RedisConnection
from event_backbone.explaining import GroupLife
from event_backbone.storage import RedisHashStorage
from tests.archive.conftest import Make
from tests.archive.test_redrive import dead_and_gone, handled
from tests.archive.test_restore_groups import Deciding
from tests.fundamentals.test_explain import raising
from tests.support.eventually import eventually
from tests.support.parcels import GROUP, URI, Remembering, pack, stopped_within


async def test_an_event_that_has_left_the_stream_is_explained_from_the_archive(archived_backbone: Make) -> None:
    """Whether a group had finished it is known as far as Redis still knows."""
    async with archived_backbone("redis-hash") as backbone:
        await pack(backbone, 1, 2)
        first, second = [each.key async for each in backbone.reader(URI).scan()]
        async with stopped_within(backbone.subscribe(Remembering().consumer, uri=URI, group="g", until="empty")) as one:
            await one.wait()
        async with backbone.archiver(URI) as archiver:
            await archiver.commit()
        assert (await backbone.trim(URI, before=second)).removed == 1
        found = await backbone.explain(URI, first)
        assert found.event.segment is not None
        assert [(each.group, each.state) for each in found.groups] == [("g", "finished")]
        await backbone.seek(URI, "g", "beginning")
        assert [each.state for each in (await backbone.explain(URI, first)).groups] == ["cut"]
        assert (await backbone.seek(URI, "g", "beginning")).complete_from == first.successor()


async def life_of(backbone: Backbone, key: EventKey) -> GroupLife:
    """Return what became of an event in the only group."""
    (life,) = (await backbone.explain(URI, key)).groups
    return life


async def test_an_event_that_was_redriven_from_the_archive_is_not_finished_yet(
    archiving: Make, connection: RedisConnection
) -> None:
    """It is unread, parked with its failure, a dead letter again, finished; redrives are counted until then."""
    failing, retry = raising(LookupError()), RetryPolicy(backoff=timedelta(hours=1))
    async with archiving(RedisHashStorage()) as backbone:
        key, other = await dead_and_gone(backbone, connection, 1, 2)
        letters = backbone.dead_letters(URI, GROUP)

        async def states() -> list[tuple[str, int]]:
            lives = [await life_of(backbone, each) for each in (key, other)]
            return [(each.state, each.redrives) for each in lives]

        await letters.redrive_all(keys=[key])
        assert await states() == [("unread", 1), ("dead-letter", 0)]
        async with stopped_within(backbone.subscribe(failing, uri=URI, group=GROUP, retry=retry)):
            await eventually(lambda: _is_parked(backbone))
        pending = (await life_of(backbone, key)).pending
        assert pending is not None
        assert (pending.failures, pending.error) == (1, "LookupError")
        assert await states() == [("parked", 1), ("dead-letter", 0)]
        await backbone.seek(URI, GROUP, "beginning")
        await handled(backbone, Deciding(reject=(1,)))
        assert await states() == [("dead-letter", 0), ("dead-letter", 0)]
        await letters.redrive_all(keys=[key])
        await handled(backbone, Deciding(reject=(1,)))
        assert await states() == [("dead-letter", 1), ("dead-letter", 0)]
        await letters.redrive_all()
        assert await states() == [("unread", 2), ("unread", 1)]
        await handled(backbone, Remembering())
        assert [state for state, _ in await states()] == ["finished"] * 2


async def test_a_move_counts_events_that_were_redriven_from_the_archive(
    archiving: Make, connection: RedisConnection
) -> None:
    """Of its own group: forward they are skipped, and back they come again."""
    async with archiving(RedisHashStorage()) as backbone:
        key, _ = await dead_and_gone(backbone, connection, 1, 2)
        await backbone.dead_letters(URI, GROUP).redrive_all(keys=[key])
        async with stopped_within(
            backbone.subscribe(Remembering().consumer, uri=URI, group="other", until="empty")
        ) as other:
            await other.wait()
        assert (await backbone.seek(URI, "other", "beginning")).come_again == 0
        assert (await backbone.seek(URI, GROUP, "now")).skipped == 1
        lives = {each.group: each for each in (await backbone.explain(URI, key)).groups}
        assert (lives[GROUP].state, lives[GROUP].redrives) == ("skipped", 1)
        assert (await backbone.seek(URI, GROUP, "beginning")).come_again == 1
        remembering = Remembering()
        await handled(backbone, remembering)
        assert remembering.numbers == [1]


async def _is_parked(backbone: Backbone) -> bool:
    return any(each.parked for each in await backbone.groups(URI))
