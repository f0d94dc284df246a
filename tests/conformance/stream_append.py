"""Appending to a stream and reading it without a group: the part of the suite that needs no consumer."""

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import UUID

from event_backbone.errors import EventIdAhead, EventIdExpired
from event_backbone.model import EventKey, HashWrite, new_event_id
from event_backbone.stream import NewEntry
from tests.conformance.stream_suite import NAME, NO_WAIT, Rig, keys_of, new_entry

SECOND = timedelta(seconds=1)


def event_id_of(moment: datetime) -> UUID:
    """Return an event id that was made at this moment."""
    milliseconds = int(moment.timestamp() * 1000)
    return UUID(int=(milliseconds << 80) | (new_event_id().int & ((1 << 80) - 1)))


class AppendSuite:
    """Runs on every implementation."""

    async def test_entries_are_appended_in_order_and_read_back(self, rig: Rig) -> None:
        """Keys rise in the order of the entries, and every entry has its wire format and metadata."""
        stream = rig.streams.stream(NAME)
        keys = keys_of(await stream.append([new_entry("first"), new_entry("second")]))
        assert keys == sorted(keys)
        first = await stream.get(keys[0])
        assert first is not None
        assert first.key == keys[0]
        assert first.fields == {b"wire": b"1", b"metadata": b"first"}
        assert [entry.key for entry in await stream.range(None, None, 10)] == keys

    async def test_nothing_to_append_is_not_an_error(self, rig: Rig) -> None:
        """An empty batch has an empty answer."""
        assert list(await rig.streams.stream(NAME).append([])) == []

    async def test_one_event_id_makes_one_entry(self, rig: Rig) -> None:
        """A repeated append answers the key of the first, also when many ask at once."""
        stream, entry = rig.streams.stream(NAME), new_entry()
        answers = await asyncio.gather(*(stream.append([entry]) for _ in range(20)))
        assert len({key for answer in answers for key in keys_of(answer)}) == 1
        assert len(await stream.range(None, None, 10)) == 1

    async def test_duplicates_within_a_batch_make_one_entry(self, rig: Rig) -> None:
        """A batch that names an event id twice appends it once, and the others around it too."""
        stream, duplicate = rig.streams.stream(NAME), new_entry("duplicate")
        keys = keys_of(await stream.append([new_entry("a"), duplicate, new_entry("b"), duplicate]))
        assert keys[1] == keys[3]
        entries = await stream.range(None, None, 10)
        assert [entry.fields[b"metadata"] for entry in entries] == [b"a", b"duplicate", b"b"]

    async def test_an_event_id_older_than_the_window_is_refused(self, rig: Rig) -> None:
        """An id that could not be recognised any more has its own error; its neighbours are appended."""
        stream = rig.streams.stream(NAME)
        old = NewEntry(event_id_of(datetime.now(UTC) - timedelta(minutes=11)), b"old")
        answers = await stream.append([new_entry("a"), old, new_entry("b")])
        assert [type(answer) for answer in answers] == [EventKey, EventIdExpired, EventKey]
        assert "11 min behind the server's clock, and at most 10 min is accepted" in str(answers[1])
        assert len(await stream.range(None, None, 10)) == 2

    async def test_an_event_id_from_the_far_future_is_refused(self, rig: Rig) -> None:
        """A clock further ahead than the window is named in the error; one within it is accepted."""
        stream = rig.streams.stream(NAME)
        ahead = NewEntry(event_id_of(datetime.now(UTC) + timedelta(minutes=15)), b"ahead")
        answers = await stream.append([ahead, NewEntry(event_id_of(datetime.now(UTC) + timedelta(minutes=9)), b"m")])
        assert [type(answer) for answer in answers] == [EventIdAhead, EventKey]
        assert "15 min ahead of the server's clock, and at most 10 min is accepted" in str(answers[0])
        assert len(await stream.range(None, None, 10)) == 1

    async def test_an_event_id_within_the_window_is_recognised(self, rig: Rig) -> None:
        """Up to the end of the window the same id answers the same key, also one from a clock ahead of the server's."""
        stream = rig.streams.stream(NAME)
        for age in (timedelta(minutes=9), timedelta(0), timedelta(minutes=-5)):
            entries = [NewEntry(event_id_of(datetime.now(UTC) - age), b"m") for _ in range(10)]
            assert keys_of(await stream.append(entries)) == keys_of(await stream.append(entries))

    async def test_an_event_id_is_recognised_alone_and_among_others(self, rig: Rig) -> None:
        """Entries appended one by one are known in a batch, and those of a batch are known one by one."""
        stream, entries = rig.streams.stream(NAME), [new_entry(str(number)) for number in range(20)]
        first = [key for entry in entries[:10] for key in keys_of(await stream.append([entry]))]
        keys = keys_of(await stream.append(entries))
        assert keys == sorted({*first, *keys})
        assert keys[:10] == first
        assert [key for entry in entries for key in keys_of(await stream.append([entry]))] == keys

    async def test_event_ids_of_one_ending_are_distinguished(self, rig: Rig) -> None:
        """Ids that differ only in their time, by a millisecond or by what a second's hash does not show."""
        first = event_id_of(datetime.now(UTC) - timedelta(minutes=3)).int
        ids = [UUID(int=first + (milliseconds << 80)) for milliseconds in (0, 1, 1000, 1 << 16)]
        entries = [NewEntry(event_id, b"m") for event_id in ids]
        stream = rig.streams.stream(NAME)
        keys = keys_of(await stream.append(entries))
        assert len(set(keys)) == len(entries)
        assert keys_of(await stream.append(entries)) == keys

    async def test_hashes_are_written_with_their_entry(self, rig: Rig) -> None:
        """What a storage asks to be written is written, byte for byte."""
        payload = {"user": b'{"name":"\xc3\xa9"}', "raw": bytes(range(256)), "empty": b""}
        writes = (HashWrite("payload:1", payload), HashWrite("payload:2", {"a": b"1"}, timedelta(minutes=5)))
        await rig.streams.stream(NAME).append([new_entry("m", *writes)])
        assert await rig.hash_at("payload:1") == payload
        assert await rig.hash_at("payload:2") == {"a": b"1"}

    async def test_a_refused_entry_writes_no_hash(self, rig: Rig) -> None:
        """Hashes are written with the entry or not at all."""
        old = event_id_of(datetime.now(UTC) - timedelta(hours=1))
        await rig.streams.stream(NAME).append([NewEntry(old, b"m", (HashWrite("payload:1", {"a": b"1"}),))])
        assert await rig.hash_at("payload:1") == {}

    async def test_a_batch_of_256_is_appended_at_once(self, rig: Rig) -> None:
        """The producer's largest batch: each entry has its own key, in order."""
        keys = await rig.produce(256)
        assert len(set(keys)) == 256
        assert keys == sorted(keys)

    async def test_an_unknown_key_has_no_entry(self, rig: Rig) -> None:
        """Also in a stream that does not exist."""
        assert await rig.streams.stream(NAME).get(EventKey(1, 1)) is None

    async def test_a_range_has_its_start_and_not_its_end(self, rig: Rig) -> None:
        """Start inclusive, end exclusive, no more than asked for."""
        stream, keys = rig.streams.stream(NAME), await rig.produce(5)
        assert [entry.key for entry in await stream.range(keys[1], keys[3], 10)] == keys[1:3]
        assert [entry.key for entry in await stream.range(keys[1], None, 2)] == keys[1:3]
        assert list(await stream.range(keys[3], keys[3], 10)) == []
        assert list(await stream.range(None, EventKey(0), 10)) == []

    async def test_before_returns_what_precedes_a_key_newest_first(self, rig: Rig) -> None:
        """Without a key the newest, before the first nothing; no more than asked for."""
        stream = rig.streams.stream(NAME)
        assert list(await stream.before(None, 10)) == []
        keys = await rig.produce(4)
        assert [entry.key for entry in await stream.before(None, 2)] == [keys[3], keys[2]]
        assert [entry.key for entry in await stream.before(keys[2], 10)] == [keys[1], keys[0]]
        assert list(await stream.before(keys[0], 10)) == list(await stream.before(EventKey(0), 10)) == []
        assert list(await stream.before(keys[3], 0)) == []

    async def test_after_returns_what_follows_a_key(self, rig: Rig) -> None:
        """After the very first key comes everything, after the last one nothing."""
        stream, keys = rig.streams.stream(NAME), await rig.produce(3)
        assert [entry.key for entry in await stream.after(EventKey(0), 2, NO_WAIT)] == keys[:2]
        assert [entry.key for entry in await stream.after(keys[0], 10, NO_WAIT)] == keys[1:]
        assert list(await stream.after(keys[2], 10, NO_WAIT)) == []

    async def test_after_waits_for_the_next_entry(self, rig: Rig) -> None:
        """All that follow a stream get the entry that comes while they wait."""
        stream = rig.streams.stream(NAME)
        followers = [asyncio.create_task(stream.after(EventKey(0), 10, SECOND)) for _ in range(3)]
        await asyncio.sleep(0.05)  # let them start to wait; if they were late, they would find the entry anyway
        keys = await rig.produce(1)
        for entries in await asyncio.gather(*followers):
            assert [entry.key for entry in entries] == keys

    async def test_last_key_is_that_of_the_newest_entry_ever(self, rig: Rig) -> None:
        """It stays when the entry is removed, and is zero for a stream that never existed."""
        stream = rig.streams.stream(NAME)
        assert await stream.last_key() == EventKey(0)
        keys = await rig.produce(2)
        await rig.remove_entry(keys[1])
        assert await stream.last_key() == keys[1]

    async def test_a_stream_from_which_nothing_was_removed_has_no_gaps(self, rig: Rig) -> None:
        """Whether it is empty or not."""
        stream = rig.streams.stream(NAME)
        assert await stream.complete_from() is None
        await rig.produce(1)
        assert await stream.complete_from() is None

    async def test_a_token_keeps_its_first_event_id(self, rig: Rig) -> None:
        """A repeated request finds the event id of the first; another request with the same token is recognised."""
        stream, first, second = rig.streams.stream(NAME), new_event_id(), new_event_id()
        assert (await stream.reserve("token", "digest", first, SECOND * 60)).event_id == first
        again = await stream.reserve("token", "digest", second, SECOND * 60)
        assert (again.event_id, again.same_request) == (first, True)
        other = await stream.reserve("token", "other digest", second, SECOND * 60)
        assert (other.event_id, other.same_request) == (first, False)
        assert (await stream.reserve("another", "digest", second, SECOND * 60)).event_id == second

    async def test_the_groups_of_a_stream_are_listed(self, rig: Rig) -> None:
        """Consumers, pending, unread and dead letters of each group; nothing for a stream that does not exist."""
        stream = rig.streams.stream(NAME)
        assert list(await stream.groups()) == []
        keys = await rig.produce(3)
        reader = rig.streams.group_reader(NAME, "billing", "one")
        await reader.ensure("beginning")
        await reader.read(2, NO_WAIT)
        [state] = await stream.groups()
        assert (state.name, state.consumers, state.pending, state.unread) == ("billing", 1, 2, 1)
        assert (state.dead_letters, state.last_delivered) == (0, keys[1])

    async def test_streams_do_not_disturb_each_other(self, rig: Rig) -> None:
        """An event id of one stream is not a duplicate in another, nor in another partition of the same stream."""
        entry = new_entry()
        names = (NAME, type(NAME).of("shipments", "other"), type(NAME).of("shipments", "test", 1))
        for name in names:
            [key] = keys_of(await rig.streams.stream(name).append([entry]))
            assert key.partition == name.partition
            assert [each.key for each in await rig.streams.stream(name).range(None, None, 10)] == [key]
