"""What a group does with redriven entries, and what is saved of them."""

from collections.abc import Sequence

import pytest

from event_backbone.connection import RedisConnection
from event_backbone.model import EventKey
from event_backbone.stream.redis import RedisStreams
from event_backbone.stream.redis.admin import RedisGroupAdmin
from event_backbone.stream.redis.group_snapshots import GroupSnapshots
from event_backbone.stream.values import DeadLetter
from tests.conformance.stream_suite import GROUP, LETTER, NAME, NO_WAIT, keys_of, lease_of
from tests.support.restoring import live_entry


async def dead_letters(streams: RedisStreams, connection: RedisConnection, count: int) -> Sequence[DeadLetter]:
    """Let the member "one" dead-letter entries, and remove them from the stream."""
    keys_of(await streams.stream(NAME).append([live_entry() for _ in range(count)]))
    reader, leases = streams.group_reader(NAME, GROUP, "one"), streams.group_leases(NAME, GROUP, "one")
    await reader.ensure("beginning")
    for delivery in await reader.read(count, NO_WAIT):
        await leases.dead_letter(lease_of(delivery), LETTER)
    await connection.command("XTRIM", NAME.key, "MAXLEN", 0)
    return await streams.group_admin(NAME, GROUP).dead_letters(None, count)


async def redrive(connection: RedisConnection, letters: Sequence[DeadLetter]) -> None:
    """Redrive these from an archive that has them."""
    metadata = {each.entry.key: each.entry.fields[b"metadata"] for each in letters}
    answers = await RedisGroupAdmin(connection, NAME, GROUP).redrive_archived(letters, metadata)
    assert list(answers) == ["redriven"] * len(letters)


@pytest.mark.parametrize("case", ["usual", "deleted in flight", "group created again"])
async def test_its_dead_letter_is_that_of_its_event(
    streams: RedisStreams, connection: RedisConnection, case: str
) -> None:
    """So it is found by the event's key, and redriven again, whatever became of the entry that delivered it."""
    [letter] = await dead_letters(streams, connection, 1)
    await redrive(connection, [letter])
    reader, leases = streams.group_reader(NAME, GROUP, "one"), streams.group_leases(NAME, GROUP, "one")
    [delivery] = await reader.read(10, NO_WAIT)
    if case == "deleted in flight":
        await connection.command("XTRIM", NAME.key, "MAXLEN", 0)
    elif case == "group created again":
        await leases.ack([lease_of(delivery)])
        await connection.command("XGROUP", "DESTROY", NAME.key, GROUP)
        await reader.ensure("beginning")
        [delivery] = await reader.read(10, NO_WAIT)
    assert await leases.dead_letter(lease_of(delivery), LETTER) == frozenset()
    [again] = await streams.group_admin(NAME, GROUP).dead_letters(None, 10)
    assert again.entry.key == letter.entry.key
    assert again.entry.fields == ({} if case == "deleted in flight" else letter.entry.fields)


async def test_the_event_is_saved_as_pending_until_it_is_finished(
    streams: RedisStreams, connection: RedisConnection
) -> None:
    """Under its own key: whether the redriven entry was read yet or not."""
    letters = await dead_letters(streams, connection, 3)
    keys, snapshots = [each.entry.key for each in letters], GroupSnapshots(connection, NAME)
    await redrive(connection, letters)

    async def pending() -> list[EventKey]:
        [snapshot] = await snapshots.take()
        return list(snapshot.pending)

    assert await pending() == keys
    reader, leases = streams.group_reader(NAME, GROUP, "one"), streams.group_leases(NAME, GROUP, "one")
    first, _ = await reader.read(2, NO_WAIT)
    assert await pending() == keys
    await leases.ack([lease_of(first)])
    assert await pending() == keys[1:]
