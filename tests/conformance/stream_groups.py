"""Reading a stream with a consumer group: who gets an entry, when it comes again, and what the group keeps of it."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from event_backbone.errors import GroupMissing
from event_backbone.stream import Comparison, Lease
from tests.conformance.stream_suite import (
    GROUP,
    LETTER,
    NAME,
    NO_WAIT,
    SECOND,
    Member,
    Rig,
    admin,
    lease_of,
    leases_of,
    leave_to,
    members,
    numbers,
    settled,
)


class GroupSuite:
    """Runs on every implementation."""

    async def test_each_entry_goes_to_one_consumer(self, rig: Rig) -> None:
        """Two consumers share the entries; each delivery is the first attempt."""
        await rig.produce(6)
        one, two = await members(rig, "one", "two")
        first, second = await one.read(4), await two.read(4)
        assert (numbers(first), numbers(second)) == ([0, 1, 2, 3], [4, 5])
        assert {delivery.attempt for delivery in (*first, *second)} == {1}
        assert list(await one.read()) == []

    async def test_each_group_gets_everything(self, rig: Rig) -> None:
        """Groups do not take entries from each other."""
        await rig.produce(2)
        for group in ("billing", "shipping"):
            reader = rig.streams.group_reader(NAME, group, "one")
            await reader.ensure("beginning")
            assert numbers(await reader.read(10, NO_WAIT)) == [0, 1]

    async def test_a_group_is_created_once(self, rig: Rig) -> None:
        """Also before the stream exists; a later start position does not move it."""
        [one] = await members(rig, "one")
        await rig.produce(1)
        assert await one.reader.ensure("now") is False
        assert numbers(await one.read()) == [0]

    @pytest.mark.parametrize(
        ("start", "expected"), [("beginning", [0, 1, 2]), ("now", []), (1, [1, 2]), (0, [0, 1, 2])]
    )
    async def test_a_group_begins_at_its_start_position(self, rig: Rig, start: str | int, expected: list[int]) -> None:
        """At the beginning, with the next entry, or with a given entry, that one included."""
        keys = await rig.produce(3)
        reader = rig.streams.group_reader(NAME, GROUP, "one")
        assert await reader.ensure(
            "beginning" if start == "beginning" else "now" if start == "now" else keys[int(start)]
        )
        assert numbers(await reader.read(10, NO_WAIT)) == expected

    async def test_a_group_begins_at_a_time(self, rig: Rig) -> None:
        """The time is the server's append time, inclusive, and may be one when there were no streams."""
        keys = await rig.produce(1)
        moment = datetime.fromtimestamp(keys[0].milliseconds / 1000, UTC)
        later, long_ago = moment + timedelta(milliseconds=1), datetime(1900, 1, 1, tzinfo=UTC)
        for group, start, expected in (("at", moment, [0]), ("later", later, []), ("long-ago", long_ago, [0])):
            reader = rig.streams.group_reader(NAME, group, "one")
            await reader.ensure(start)
            assert numbers(await reader.read(10, NO_WAIT)) == expected

    async def test_a_read_waits_for_an_entry(self, rig: Rig) -> None:
        """It returns when the entry comes, not when its time is over."""
        [one] = await members(rig, "one")
        reading = asyncio.create_task(one.reader.read(10, SECOND))
        await asyncio.sleep(0.05)
        await rig.produce(1)
        assert numbers(await reading) == [0]

    async def test_a_read_can_be_woken(self, rig: Rig) -> None:
        """Waking ends the wait early and takes no entry; a reader that does not wait is not affected."""
        [one] = await members(rig, "one")
        await one.reader.wake()
        loop = asyncio.get_running_loop()
        for pause in (0.05, 0):  # well into its wait, and hardly begun
            begun = loop.time()
            reading = asyncio.create_task(one.reader.read(10, SECOND))
            await asyncio.sleep(pause)
            await one.reader.wake()
            assert list(await reading) == []
            assert loop.time() - begun < 0.9
        await rig.produce(1)
        assert numbers(await one.read()) == [0]

    async def test_only_the_read_that_waited_is_woken(self, rig: Rig) -> None:
        """A member reads again at once: the next read waits its whole time, and the waking has ended."""
        [one] = await members(rig, "one")
        reading = asyncio.create_task(one.reader.read(1, SECOND))
        await asyncio.sleep(0.05)
        waking = asyncio.create_task(one.reader.wake())
        assert list(await reading) == []
        began = asyncio.get_running_loop().time()
        assert list(await one.reader.read(1, SECOND / 2)) == []
        assert asyncio.get_running_loop().time() - began > 0.4
        assert waking.done()

    async def test_entries_of_a_lost_answer_are_found(self, rig: Rig) -> None:
        """What is pending under the member's name and not in flight comes again, in order, as the same attempt."""
        await rig.produce(4)
        one, two = await members(rig, "one", "two")
        [in_flight, *_] = await one.read(3)
        await two.read()
        comparison = await one.reader.compare([lease_of(in_flight)])
        assert (
            [(int(each.entry.fields[b"metadata"]), each.attempt) for each in comparison.deliveries],
            comparison.lost,
        ) == (
            [(1, 1), (2, 1)],
            frozenset(),
        )
        assert await one.reader.compare(leases_of((in_flight, *comparison.deliveries))) == Comparison()

    async def test_what_a_lost_look_took_is_found_with_its_history(self, rig: Rig) -> None:
        """Counted by the look, not by being found."""
        await rig.produce(1)
        one, two = await members(rig, "one", "two")
        [delivery] = await one.read()
        await one.leases.park(lease_of(delivery), NO_WAIT)
        await two.look()
        for _ in range(2):
            [found] = (await two.reader.compare(())).deliveries
            assert (found.attempt, found.failures) == (2, 1)

    async def test_lost_leases_are_reported(self, rig: Rig) -> None:
        """Those that others took, and those that are finished; not those that are still the member's."""
        keys = await rig.produce(3)
        one, two = await members(rig, "one", "two")
        in_flight = leases_of(await one.read())
        await one.leases.park(in_flight[0], NO_WAIT)
        await two.look()
        await rig.remove_pending(keys[1])
        comparison = await one.reader.compare(in_flight)
        assert (comparison.lost, comparison.deliveries) == (frozenset(keys[:2]), ())

    async def test_another_count_is_another_lease(self, rig: Rig) -> None:
        """A member with an older delivery has lost that one, and is given the newer one."""
        [key] = await rig.produce(1)
        [one] = await members(rig, "one")
        [old] = await one.read()
        await one.leases.park(lease_of(old), NO_WAIT)
        await one.look()
        comparison = await one.reader.compare([lease_of(old)])
        assert (comparison.lost, [lease_of(each) for each in comparison.deliveries]) == (
            frozenset({key}),
            [Lease(key, 2)],
        )

    async def test_what_was_not_in_flight_and_left_the_stream_vanishes(self, rig: Rig) -> None:
        """It is reported once; what is in flight stays pending, so that its member can finish it."""
        keys = await rig.produce(2)
        [one] = await members(rig, "one")
        [in_flight, _] = await one.read()
        for key in keys:
            await rig.remove_entry(key)
        assert await one.reader.compare([lease_of(in_flight)]) == Comparison(vanished=(keys[1],))
        assert await one.reader.compare([lease_of(in_flight)]) == Comparison()
        assert await one.leases.ack([lease_of(in_flight)]) == frozenset()

    async def test_many_entries_are_found(self, rig: Rig) -> None:
        """All of them, in order."""
        keys = await rig.produce(1100)
        [one] = await members(rig, "one")
        leases = leases_of(await one.read(1100))
        assert [each.entry.key for each in (await one.reader.compare(leases[::100])).deliveries] == [
            key for number, key in enumerate(keys) if number % 100
        ]

    async def test_pending_entries_are_listed_in_pages(self, rig: Rig) -> None:
        """Oldest first, with holder and attempt."""
        keys = await rig.produce(3)
        [one] = await members(rig, "one")
        await one.read()
        first = await admin(rig).pending(None, 2)
        rest = await admin(rig).pending(first[-1].key, 2)
        assert [entry.key for entry in (*first, *rest)] == keys
        assert {(entry.consumer, entry.attempt) for entry in first} == {("one", 1)}

    async def test_a_missing_group_has_its_own_error(self, rig: Rig) -> None:
        """Reading, looking and comparing raise it; leases of a vanished group are simply lost."""
        [key] = await rig.produce(1)
        [one] = await members(rig, "one")
        [delivery] = await one.read()
        await one.look()
        await rig.remove_group()
        with pytest.raises(GroupMissing, match=GROUP):
            await one.read()
        for limit in (0, 10):
            with pytest.raises(GroupMissing):
                await one.look(limit)
        with pytest.raises(GroupMissing):
            await one.reader.compare(())
        with pytest.raises(GroupMissing):
            await admin(rig).pending(None, 10)
        lease = lease_of(delivery)
        for outcome in (
            await one.leases.ack([lease]),
            await one.leases.release([lease]),
            await one.leases.mark_alone(lease),
            await one.leases.unmark_alone(lease),
            await one.leases.dead_letter(lease, LETTER),
        ):
            assert outcome == frozenset({key})
        assert await one.leases.park(lease, NO_WAIT) == "lost"
        assert list(await admin(rig).dead_letters(None, 10)) == []
        await one.reader.leave()

    async def test_a_group_that_vanishes_during_a_waiting_read_is_reported_at_once(self, rig: Rig) -> None:
        """With the whole stream; created again from the beginning, the group misses nothing."""
        [one] = await members(rig, "one")
        loop = asyncio.get_running_loop()
        begun, reading = loop.time(), asyncio.create_task(one.reader.read(10, SECOND))
        await asyncio.sleep(0.05)
        await rig.remove_stream()
        with pytest.raises(GroupMissing):
            await reading
        assert loop.time() - begun < 0.9
        await rig.produce(2)
        assert await one.reader.ensure("beginning") is True
        assert numbers(await one.read()) == [0, 1]

    async def test_a_group_created_again_forgets_attempts_and_due_times(self, rig: Rig) -> None:
        """Attempts start at one again, and so do their notes; nothing waits."""
        await rig.produce(3)
        one, two, three = await settled(rig, "one", "two", "three")
        failed, alone, parked = await one.read()
        await one.leases.park(lease_of(failed), NO_WAIT)
        await one.leases.mark_alone(lease_of(alone))
        await one.leases.park(lease_of(parked), SECOND)
        await rig.remove_group()
        assert await one.reader.ensure("beginning") is True
        assert (await rig.state()).parked == 0
        assert [each.attempt for each in await two.read()] == [1, 1, 1]
        again = await leave_to(two, three)
        assert [(each.attempt, each.failures, each.ends_alone) for each in again] == [(2, 0, 0)] * 3

    async def test_many_consumers_share_without_loss_or_duplicates(self, rig: Rig) -> None:
        """Twenty consumers of one group together get every entry once."""
        await rig.produce(250)
        everyone = await members(rig, *(f"consumer-{number}" for number in range(20)))

        async def drain(member: Member) -> list[int]:
            mine: list[int] = []
            while deliveries := await member.read(7):
                mine += numbers(deliveries)
                assert await member.leases.ack([lease_of(delivery) for delivery in deliveries]) == frozenset()
            return mine

        shares = await asyncio.gather(*(drain(member) for member in everyone))
        assert sorted(number for share in shares for number in share) == list(range(250))

    async def test_a_server_that_answers_passes_the_check(self, rig: Rig) -> None:
        """And closing twice is not an error."""
        await rig.streams.check()
        await rig.streams.close()
        await rig.streams.close()
