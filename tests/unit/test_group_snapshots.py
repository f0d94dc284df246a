"""What the archive keeps of consumer groups."""

from event_backbone.connection import RedisConnection
from event_backbone.model import EventKey
from event_backbone.stream.redis import RedisStreams
from event_backbone.stream.redis.group_snapshots import GroupSnapshot, GroupSnapshots
from tests.conformance.stream_suite import GROUP, LETTER, NAME, NO_WAIT, SECOND, keys_of, lease_of, leases_of
from tests.support.restoring import live_entry


async def keys_in(streams: RedisStreams, count: int) -> list[EventKey]:
    """Append this many entries, and return their keys."""
    return keys_of(await streams.stream(NAME).append([live_entry() for _ in range(count)]))


async def test_without_stream_or_groups_there_is_nothing(streams: RedisStreams, connection: RedisConnection) -> None:
    """Neither is an error."""
    snapshots = GroupSnapshots(connection, NAME)
    assert await snapshots.take() == []
    await keys_in(streams, 1)
    assert await snapshots.take() == []


async def test_a_snapshot_says_what_is_not_finished(streams: RedisStreams, connection: RedisConnection) -> None:
    """Read, parked and dead-lettered entries, of each group."""
    keys = await keys_in(streams, 6)
    reader, leases = streams.group_reader(NAME, GROUP, "one"), streams.group_leases(NAME, GROUP, "one")
    await reader.ensure("beginning")
    await streams.group_reader(NAME, "a new one", "one").ensure(keys[2])
    deliveries = await reader.read(4, NO_WAIT)
    await leases.ack(leases_of(deliveries[:1]))
    await leases.park(lease_of(deliveries[1]), SECOND)
    await leases.dead_letter(lease_of(deliveries[2]), LETTER)
    [letter] = await streams.group_admin(NAME, GROUP).dead_letters(None, 10)
    assert await GroupSnapshots(connection, NAME).take() == [
        GroupSnapshot("a new one", keys[2].predecessor(), (), None, 0),
        GroupSnapshot(GROUP, keys[3], (keys[1], keys[3]), letter.id, 1),
    ]


async def test_with_too_many_pending_the_position_moves_back(
    streams: RedisStreams, connection: RedisConnection
) -> None:
    """To just before the first that is left out, so that each event is before it, pending or after it."""
    keys = await keys_in(streams, 5)
    reader = streams.group_reader(NAME, GROUP, "one")
    await reader.ensure("beginning")
    await streams.group_leases(NAME, GROUP, "one").ack(leases_of(await reader.read(5, NO_WAIT))[1:2])
    snapshots = GroupSnapshots(connection, NAME)
    for most, pending, position in (
        (4, (keys[0], *keys[2:]), keys[4]),
        (3, (keys[0], *keys[2:4]), keys[4].predecessor()),
        (1, (keys[0],), keys[2].predecessor()),
    ):
        [taken] = await snapshots.take(most)
        assert (taken.pending, taken.position) == (pending, position)
