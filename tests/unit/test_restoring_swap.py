"""Putting a restored stream into the place of the live one."""

from datetime import UTC, datetime

from redis.asyncio import Redis

from event_backbone.connection import RedisConnection
from event_backbone.model import EventKey
from event_backbone.stream import Delivery
from event_backbone.stream.redis import RedisStreams
from event_backbone.stream.redis.archive_notes import ArchiveNote, ArchiveNotes
from event_backbone.stream.redis.group_snapshots import GroupSnapshots
from event_backbone.stream.values import DeadLetter, Entry
from tests.conformance.stream_suite import GROUP, LEASE, LETTER, NAME, NO_WAIT, SECOND, keys_of, lease_of
from tests.support.keys import assert_no_leaked_keys
from tests.support.restoring import (
    AHEAD,
    KEEP,
    PAST,
    archived_entries,
    event_id_of,
    events_in,
    live_entry,
    restore_all,
    restoring,
)

START = EventKey(0)
INLINE = {"email": b'"ada@example.com"'}


def letter_of(letter_id: str, source: EventKey) -> DeadLetter:
    """Return a dead letter of this entry."""
    entry = Entry(source, {b"wire": b"1", b"metadata": b"m"})
    at = datetime.fromtimestamp(EventKey.parse(letter_id).milliseconds / 1000, UTC)
    return DeadLetter(
        letter_id, entry, "rejected", "why", "LookupError", ("a.py:1 in f", "b.py:2 in g"), 3, at, redrives=2
    )


async def deliveries(streams: RedisStreams, group: str = GROUP) -> list[Delivery]:
    """Return all that a new member of a group is given: what is due, then what was never delivered."""
    reader = streams.group_reader(NAME, group, "a new member")
    due = (await reader.look(LEASE, 100)).deliveries
    return [*due, *await reader.read(100, NO_WAIT)]


async def test_the_restored_stream_takes_the_place_of_the_live_one(
    connection: RedisConnection, streams: RedisStreams, redis: Redis
) -> None:
    """With the live entries after the archived ones, and the archive's notes; later entries come after all of them.

    Nothing else is left.
    """
    live = live_entry()
    [key, deleted] = keys_of(await streams.stream(NAME).append([live, live_entry()]))
    await connection.command("XDEL", NAME.key, deleted.entry_id)
    archived = archived_entries(3)
    async with restoring(connection, NAME) as restore:
        assert await restore_all(restore, archived)
    assert await events_in(connection, NAME.key) == [*((each.key, each.metadata) for each in archived), (key, live[1])]
    notes = await ArchiveNotes(connection, NAME).read()
    last, follows = archived[-1].key, archived[0].key.predecessor()
    assert notes == ArchiveNote(last, last, follows, None, deleted, exists=True)
    await assert_no_leaked_keys(redis, [NAME.key_of("archive")])
    [later] = keys_of(await streams.stream(NAME).append([live_entry()]))
    assert later > deleted


async def test_a_stream_with_gaps_says_from_where_it_has_none(connection: RedisConnection) -> None:
    """A restore without gaps takes that back. No id comes twice."""
    committed, archived = EventKey(AHEAD, 5), archived_entries(2)
    for complete_from in (EventKey(PAST + 1), None):
        async with restoring(connection, NAME) as restore:
            await restore.add(archived)
            assert await restore.swap(committed, START, complete_from)
        notes = await ArchiveNotes(connection, NAME).read()
        assert (notes.complete_from, notes.last_key) == (complete_from, committed)


async def test_a_forgotten_group_stays_forgotten(connection: RedisConnection) -> None:
    """Unless Redis has something of the group itself: then a worker has run, or nothing was lost of it."""
    archived = archived_entries(1)
    await connection.command("HSET", NAME.key_of(f"group:{GROUP}"), "looked", 1)
    async with restoring(connection, NAME) as restore:
        await restore.add(archived)
        for group in (GROUP, "forgotten", "other"):
            await restore.set_group(group, archived[0].key, [], [])
        assert await restore.swap(archived[0].key, START, forgotten=[GROUP, "forgotten"])
    taken = await GroupSnapshots(connection, NAME).take()
    assert {each.name: each.forgotten for each in taken} == {GROUP: False, "forgotten": True, "other": False}


async def test_while_too_many_live_entries_are_left_nothing_is_swapped(
    connection: RedisConnection, streams: RedisStreams
) -> None:
    """They are copied first, since the last step holds up everybody; what comes meanwhile is copied by it."""
    keys = keys_of(await streams.stream(NAME).append([live_entry() for _ in range(4)]))
    async with restoring(connection, NAME) as restore:
        assert await restore.swap(EventKey(7), START, most=3) is None
        assert not (await ArchiveNotes(connection, NAME).read()).exists
        assert (await restore.copy_live(START, 2)).more is True
        keys += keys_of(await streams.stream(NAME).append([live_entry()]))
        copy = await restore.swap(EventKey(7), START, most=3)
        assert copy is not None
        assert (copy.copied, copy.moved) == (3, 0)
    assert [key for key, _ in await events_in(connection, NAME.key)] == keys


async def test_groups_go_on_where_they_were(connection: RedisConnection, streams: RedisStreams) -> None:
    """First with what was pending, as if never delivered; then with what comes after their position.

    Pending entries after the position come with these, and those that were not restored not at all. Of a group that
    workers created meanwhile all events are new. Nothing of an earlier attempt counts.
    """
    [live] = keys_of(await streams.stream(NAME).append([live_entry()]))
    new_group = "created meanwhile"
    reader, leases = streams.group_reader(NAME, new_group, "one"), streams.group_leases(NAME, new_group, "one")
    await reader.ensure("beginning")
    await streams.group_reader(NAME, GROUP, "one").ensure("beginning")
    [delivery] = await reader.read(1, NO_WAIT)
    await leases.park(lease_of(delivery), SECOND)
    archived = archived_entries(5)
    keys = [each.key for each in archived]
    gone = EventKey(PAST - 1)
    await connection.command("HSET", NAME.key_of(f"attempts:{GROUP}"), keys[0].entry_id, "1/1/0/0")
    async with restoring(connection, NAME) as restore:
        await restore.add(archived)
        for _ in range(2):
            await restore.set_group(GROUP, keys[2], [gone, keys[0], keys[2], keys[3]], [])
        await restore.set_group("all read", keys[4], [], [])
        assert await restore.swap(keys[4], START)
    states = {state.name: state for state in await streams.stream(NAME).groups()}
    assert {name: (state.pending, state.parked, state.unread) for name, state in states.items()} == {
        GROUP: (2, 2, 3),
        "all read": (0, 0, 1),
        new_group: (0, 0, 6),
    }
    given = await deliveries(streams)
    assert [(each.entry.key, each.attempt, each.failures) for each in given] == [
        (key, 1, 0) for key in (keys[0], keys[2], keys[3], keys[4], live)
    ]
    assert [each.entry.key for each in await deliveries(streams, new_group)] == [*keys, live]
    assert lease_of(delivery).key in await leases.ack([lease_of(delivery)])


async def test_many_pending_entries_are_set(connection: RedisConnection, streams: RedisStreams) -> None:
    """More than one call of the server takes."""
    archived = archived_entries(10_000)
    keys = [each.key for each in archived]
    async with restoring(connection, NAME) as restore:
        for first in range(0, len(archived), 1000):
            await restore.add(archived[first : first + 1000])
        await restore.set_group(GROUP, keys[-1], keys, [])
        assert await restore.swap(keys[-1], START)
    [state] = await streams.stream(NAME).groups()
    assert (state.pending, state.parked, state.unread) == (10_000, 10_000, 0)


async def test_live_dead_letters_come_after_the_restored_ones(
    connection: RedisConnection, streams: RedisStreams
) -> None:
    """One that is in both is there once; one whose id is too low, or another's, gets the next one."""
    await streams.stream(NAME).append([live_entry()])
    archived = archived_entries(4)
    keys = [each.key for each in archived]
    in_both, other = letter_of("5-0", keys[0]), letter_of("7-0", keys[1])
    for letter_id, source in (("5-0", keys[0]), ("7-0", keys[2]), ("8-0", keys[3])):
        fields = ("dead:source", source.entry_id, "dead:attempts", 1, "dead:reason", "r", "dead:detail", "")
        more = ("dead:error", "", "dead:place", "", "wire", "1", "metadata", "live")
        await connection.command("XADD", NAME.key_of(f"dead:{GROUP}"), letter_id, *fields, *more)
    async with restoring(connection, NAME) as restore:
        await restore.add(archived)
        for _ in range(2):
            await restore.set_group(GROUP, keys[-1], [], [in_both, other])
        assert await restore.swap(keys[-1], START)
    letters = await streams.group_admin(NAME, GROUP).dead_letters(None, 10)
    assert letters[:2] == [in_both, other]
    assert [(each.id, each.entry.key) for each in letters[2:]] == [("7-1", keys[2]), ("8-0", keys[3])]
    assert letters[2].entry.fields == {b"wire": b"1", b"metadata": b"live"}


async def test_restored_follow_up_events_are_added_to_those_that_are_kept(
    connection: RedisConnection, redis: Redis
) -> None:
    """Of one that an attempt keeps meanwhile, what that keeps counts. A group need not be there yet."""
    archived = archived_entries(3)
    keys, once = [each.key for each in archived], NAME.key_of(f"once:{GROUP}")
    for key, line in ((keys[0], "uri sent parcel new\n"), (keys[2], "uri sent parcel other\n")):
        await redis.hset(once, key.entry_id, line)
    async with restoring(connection, NAME) as restore:
        await restore.set_follow_ups(
            GROUP, {keys[0]: "uri sent parcel old 1-0\nuri sent parcel-2 old\n", keys[1]: "uri sent x old\n"}
        )
        await restore_all(restore, archived)
    assert await redis.hgetall(once) == {
        keys[0].entry_id.encode(): b"uri sent parcel new\nuri sent parcel-2 old\n",
        keys[1].entry_id.encode(): b"uri sent x old\n",
        keys[2].entry_id.encode(): b"uri sent parcel other\n",
    }
    await assert_no_leaked_keys(redis, [once, NAME.key_of("archive")])


async def test_what_is_kept_by_the_key_of_an_entry_goes_with_its_event(
    connection: RedisConnection, streams: RedisStreams, redis: Redis
) -> None:
    """Dead letters, follow-up events and erasures: of an entry that gets another key, and of one that is left out."""
    archived = archived_entries(2, AHEAD)
    live = [live_entry(), live_entry(event_id_of(archived[0].metadata)), live_entry()]
    keys = keys_of(await streams.stream(NAME).append(live))
    reader, leases = streams.group_reader(NAME, GROUP, "one"), streams.group_leases(NAME, GROUP, "one")
    await reader.ensure("beginning")
    for each in await reader.read(2, NO_WAIT):
        await connection.command("HSET", NAME.key_of(f"once:{GROUP}"), each.entry.key.entry_id, f"of {each.entry.key}")
        await leases.dead_letter(lease_of(each), LETTER)
    notes = ArchiveNotes(connection, NAME)
    await notes.note_erased([(keys[0], None), (keys[1], "part"), (archived[1].key, None)])
    async with restoring(connection, NAME) as restore:
        await restore.remember([(event_id_of(archived[0].metadata), archived[0].key)], KEEP)
        copy = await restore_all(restore, archived)
        assert copy is not None
        assert (copy.copied, copy.skipped, copy.moved) == (2, 1, 2)
    new = [EventKey(archived[1].key.milliseconds, 1), archived[0].key]
    admin = streams.group_admin(NAME, GROUP)
    letters = await admin.dead_letters(None, 10)
    assert [each.entry.key for each in letters] == new
    once = await redis.hgetall(NAME.key_of(f"once:{GROUP}"))
    assert once == {key.entry_id.encode(): f"of {old}".encode() for key, old in zip(new, keys[:2], strict=True)}
    assert await notes.erased() == {(new[0], None), (new[1], "part"), (archived[1].key, None)}
    assert await admin.redrive(letters) == ["redriven", "redriven"]


async def test_what_is_erased_during_a_restore_does_not_come_back(
    connection: RedisConnection, streams: RedisStreams
) -> None:
    """Whether the entry was copied before, under another key, or its event is restored from the archive, or will be."""
    archived = [each._replace(inline=INLINE) for each in archived_entries(4, AHEAD)]
    again = [live_entry(event_id_of(each.metadata), INLINE) for each in archived[:2]]
    stream = streams.stream(NAME)
    keys = keys_of(await stream.append([*again, live_entry(payload=INLINE), live_entry(payload=INLINE)]))
    async with restoring(connection, NAME) as restore:
        await restore.remember([(event_id_of(each.metadata), each.key) for each in archived], KEEP)
        await restore.add(archived[:1])
        assert (await stream.erase(keys[0]), await stream.erase(keys[0])) == (True, False)
        assert await stream.erase(keys[1]) is True
        await restore.add(archived[1:])
        await restore.copy_live(START, 10)
        assert await stream.erase(keys[2]) is True
        assert (await stream.erase(archived[3].key), await stream.erase(archived[3].key)) == (True, False)
        assert await restore.swap(archived[3].key, START)
    moved = EventKey(archived[3].key.milliseconds, 2)
    assert [key for key, _ in await events_in(connection, NAME.key)] == [archived[2].key, moved]
    gone = {archived[0].key, archived[1].key, archived[3].key, moved.predecessor()}
    assert await stream.erased([*gone, archived[2].key, moved]) == gone


async def test_the_position_of_a_live_entry_is_no_other_events(
    connection: RedisConnection, streams: RedisStreams
) -> None:
    """Two servers may have given one id to two events: erasing the live one leaves the archived one alone."""
    [key] = keys_of(await streams.stream(NAME).append([live_entry(payload=INLINE)]))
    archived = [each._replace(key=key) for each in archived_entries(1)]
    async with restoring(connection, NAME) as restore:
        await restore.add(archived)
        await restore.copy_live(START, 1)
        assert await streams.stream(NAME).erase(key) is True
        assert await restore.swap(key, START)
    assert await events_in(connection, NAME.key) == [(key, archived[0].metadata)]
