"""What a member's look takes over: what is due, and what members left behind whose row has ended."""

from datetime import timedelta
from itertools import pairwise

from tests.conformance.stream_suite import (
    LEASE,
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
    time_passes,
)


class LookSuite:
    """Runs on every implementation."""

    async def test_what_was_released_is_taken_by_the_next_look(self, rig: Rig) -> None:
        """Of any member, also of the group's first; the attempt that was given back does not count."""
        await rig.produce(2)
        one, two = await members(rig, "one", "two")
        await one.leases.release(leases_of(await one.read()))
        look = await two.look()
        assert (numbers(look.deliveries), look.parked, look.more) == ([0, 1], 0, False)
        assert [(each.attempt, each.failures) for each in look.deliveries] == [(1, 0), (1, 0)]

    async def test_a_parked_entry_is_taken_when_it_is_due(self, rig: Rig) -> None:
        """Not before, and then once, as the next attempt; its failure is remembered."""
        [key] = await rig.produce(1)
        one, two = await members(rig, "one", "two")
        [delivery] = await one.read()
        await one.leases.park(lease_of(delivery), 8 * SECOND)
        look = await two.look()
        assert (list(look.deliveries), look.parked, look.more) == ([], 1, False)
        await time_passes(rig, 9 * SECOND, two)
        look = await two.look()
        [again] = look.deliveries
        assert (again.entry.key, again.attempt, again.failures, look.parked) == (key, 2, 1, 0)
        assert list(await one.take()) == []
        assert await one.leases.ack([lease_of(again)]) == frozenset({key})
        assert await two.leases.ack([lease_of(again)]) == frozenset()

    async def test_what_is_due_first_is_taken_first(self, rig: Rig) -> None:
        """By its due time, not by its position in the stream."""
        await rig.produce(3)
        one, two = await members(rig, "one", "two")
        for delivery, seconds in zip(await one.read(), (3, 1, 2), strict=True):
            await one.leases.park(lease_of(delivery), seconds * SECOND)
        await rig.pass_time(4 * SECOND)
        assert numbers(await two.take()) == [1, 2, 0]

    async def test_a_look_reports_that_more_is_due(self, rig: Rig) -> None:
        """Half of the limit, rounded up, is taken at once; the oldest first, and the rest by the next looks."""
        await rig.produce(5)
        one, two = await members(rig, "one", "two")
        await one.leases.release(leases_of(await one.read()))
        look = await two.look(3)
        assert (len(look.deliveries), look.more, look.parked) == (2, True, 3)
        look = await two.look(1)
        assert (len(look.deliveries), look.more, look.parked) == (1, True, 2)
        look = await two.look(4)
        assert (len(look.deliveries), look.more, look.parked) == (2, False, 0)

    async def test_what_an_ended_row_left_is_taken_oldest_first_and_counted(self, rig: Rig) -> None:
        """A crashed member's entries come as their next attempt, without a recorded failure."""
        await rig.produce(4)
        dead, one = await settled(rig, "dead", "one")
        await dead.read()
        await time_passes(rig, LEASE - 10 * SECOND, one)
        assert list(await one.take()) == []
        await time_passes(rig, 12 * SECOND, one)
        look = await one.look(3)
        assert (numbers(look.deliveries), look.more) == ([0, 1], True)
        assert [(each.attempt, each.failures, each.ends_alone) for each in look.deliveries] == [(2, 0, 0)] * 2
        look = await one.look()
        assert (numbers(look.deliveries), look.more) == ([2, 3], False)
        assert {entry.consumer for entry in await admin(rig).pending(None, 10)} == {"one"}

    async def test_a_living_members_entries_are_not_taken(self, rig: Rig) -> None:
        """However long it has had them: its looks keep its lease."""
        await rig.produce(2)
        one, two = await settled(rig, "one", "two")
        in_flight = await one.read()
        for _ in range(3):
            await time_passes(rig, LEASE, one, two)
            assert list(await two.take()) == []
        assert await one.leases.ack(leases_of(in_flight)) == frozenset()

    async def test_leases_of_different_length_do_not_disturb_each_other(self, rig: Rig) -> None:
        """Each row ends with its own member's lease, whichever member looks at it."""
        await rig.produce(2)
        [one] = await settled(rig, "one")
        short, long = Member(rig, "short", 10 * SECOND), Member(rig, "long", 60 * SECOND)
        for member in (short, long):
            await member.look(0)
            await member.read(1)
        await time_passes(rig, 7 * SECOND, one)
        assert list(await one.take()) == []
        await time_passes(rig, 5 * SECOND, one)
        assert numbers(await one.take()) == [0]
        await time_passes(rig, 44 * SECOND, one)
        assert list(await one.take()) == []
        await time_passes(rig, 6 * SECOND, one)
        assert numbers(await one.take()) == [1]

    async def test_who_ended_first_is_taken_from_first(self, rig: Rig) -> None:
        """By the end of the row, not by name, nor by the position of its entries in the stream."""
        await rig.produce(4)
        one, early, late = await settled(rig, "one", "two", "three")
        await late.read(2)
        await early.read(2)
        await early.reader.leave()
        await rig.pass_time(SECOND)
        await late.reader.leave()
        look = await one.look(5)
        assert (numbers(look.deliveries), look.more) == ([2, 3, 0], True)

    async def test_the_capacity_is_shared_half_and_half(self, rig: Rig) -> None:
        """Neither much that is due nor much that was left behind keeps the other waiting."""
        await rig.produce(20)
        one, dead, busy = await settled(rig, "one", "dead", "busy")
        await dead.read(10)
        await busy.leases.release(leases_of(await busy.read(10)))
        await dead.reader.leave()
        look = await one.look(6)
        assert (numbers(look.deliveries), look.more) == ([10, 11, 12, 0, 1], True)
        look = await one.look(1)
        assert (numbers(look.deliveries), look.more) == ([13], True)

    async def test_without_capacity_nothing_is_taken(self, rig: Rig) -> None:
        """The look only renews, and reports that something is due."""
        await rig.produce(2)
        one, dead = await settled(rig, "one", "dead")
        [delivery] = await dead.read(1)
        await dead.leases.release([lease_of(delivery)])
        look = await one.look(0)
        assert (list(look.deliveries), look.more, look.parked) == ([], True, 1)
        assert len(await one.take()) == 1
        assert (await one.look(0)).more is False
        await dead.read(1)
        await dead.reader.leave()
        look = await one.look(0)
        assert (list(look.deliveries), look.more, look.parked) == ([], True, 0)

    async def test_a_look_takes_at_most_a_hundred(self, rig: Rig) -> None:
        """However high the limit is: half of it for what is due, half of the rest for what was left behind."""
        await rig.produce(250)
        one, dead = await settled(rig, "one", "dead")
        await dead.leases.release(leases_of(await dead.read(120)))
        await dead.read(130)
        await dead.reader.leave()
        look = await one.look(1000)
        due, left_behind = numbers(look.deliveries)[:50], numbers(look.deliveries)[50:]
        assert set(due) <= set(range(120))  # due at the same time, so in any order
        assert left_behind == list(range(120, 145))
        assert (look.more, look.parked) == (True, 70)

    async def test_a_deleted_entry_vanishes_whether_due_or_left_behind(self, rig: Rig) -> None:
        """It is reported once, by its key, and is no longer pending."""
        keys = await rig.produce(4)
        one, dead = await settled(rig, "one", "dead")
        deliveries = await dead.read()
        await dead.leases.park(lease_of(deliveries[0]), timedelta(0))
        await dead.leases.park(lease_of(deliveries[1]), timedelta(0))
        for key in (keys[0], keys[2]):
            await rig.remove_entry(key)
        await dead.reader.leave()
        look = await one.look()
        assert (numbers(look.deliveries), look.vanished) == ([1, 3], (keys[0], keys[2]))
        assert [entry.key for entry in await admin(rig).pending(None, 10)] == [keys[1], keys[3]]
        assert (await one.look()).vanished == ()
        assert (await rig.state()).parked == 0

    async def test_a_name_without_entries_is_removed_with_its_row(self, rig: Rig) -> None:
        """When its last entry has been taken, and not before."""
        await rig.produce(3)
        one, dead = await settled(rig, "one", "dead")
        await dead.read()
        await dead.reader.leave()
        assert len(await one.take(3)) == 2
        assert (await rig.rows()).keys() == {"one", "dead"}
        assert len(await one.take(3)) == 1
        assert (await rig.rows()).keys() == {"one"}
        assert (await rig.state()).consumers == 1

    async def test_a_crashed_member_with_nothing_pending_is_removed_too(self, rig: Rig) -> None:
        """When its row has ended, also by a look that may take nothing."""
        await rig.produce(1)
        one, dead = await settled(rig, "one", "dead")
        await dead.leases.ack(leases_of(await dead.read()))
        await time_passes(rig, LEASE - 10 * SECOND, one)
        assert (await rig.rows()).keys() == {"one", "dead"}
        await time_passes(rig, 12 * SECOND, one)
        assert (await rig.rows()).keys() == {"one"}
        assert (await rig.state()).consumers == 0

    async def test_what_was_taken_is_left_behind_again(self, rig: Rig) -> None:
        """Every end of a row counts as a delivery, without limit."""
        await rig.produce(1)
        everyone = await settled(rig, "one", "two", "three", "four")
        await everyone[0].read()
        for attempt, (old, new) in enumerate(pairwise(everyone), start=2):
            assert [each.attempt for each in await leave_to(old, new)] == [attempt]
