"""A member's row, which is its lease, and what protects live members when nobody looked or the clock moved."""

from datetime import timedelta

import pytest

from tests.conformance.stream_suite import (
    HOLD,
    LEASE,
    SECOND,
    Member,
    Rig,
    admin,
    lease_of,
    leases_of,
    members,
    numbers,
    settled,
    time_passes,
)

HOUR = timedelta(hours=1)


class RowSuite:
    """Runs on every implementation."""

    async def test_a_look_reports_whether_the_row_had_ended(self, rig: Rig) -> None:
        """It had for a member that never looked, and for one that looked too late."""
        one, two = await members(rig, "one", "two")
        assert (await one.look()).row_ended is True
        assert (await one.look()).row_ended is False
        await time_passes(rig, LEASE - 4 * SECOND, two)
        assert (await one.look()).row_ended is False
        await time_passes(rig, LEASE + SECOND, two)
        assert (await one.look()).row_ended is True

    async def test_a_row_is_written_when_a_quarter_of_it_has_passed(self, rig: Rig) -> None:
        """Looks in between write nothing; then the row is extended by a whole lease."""
        [one] = await members(rig, "one")
        await one.look()
        first = await rig.rows()
        await time_passes(rig, 6 * SECOND, one)
        assert await rig.rows() == first
        await time_passes(rig, 2 * SECOND, one)
        assert (await rig.rows())["one"] >= first["one"] + 8000

    async def test_a_shorter_lease_shortens_the_row(self, rig: Rig) -> None:
        """A row never outlasts the lease of the last look."""
        [one] = await members(rig, "one")
        await one.look()
        first = await rig.rows()
        one.lease = 10 * SECOND
        assert (await one.look()).row_ended is False
        assert (await rig.rows())["one"] < first["one"] - 15_000

    async def test_a_member_that_never_looked_gets_a_row(self, rig: Rig) -> None:
        """From others, within a quarter of a lease; if it still does not look, that row ends."""
        await rig.produce(1)
        [one] = await settled(rig, "one")
        silent = Member(rig, "silent")
        await silent.read()
        await time_passes(rig, LEASE - 2 * SECOND, one)
        assert list(await one.take()) == []
        assert (await rig.rows()).keys() == {"one", "silent"}
        await time_passes(rig, LEASE / 4 + 4 * SECOND, one)
        assert numbers(await one.take()) == [0]

    async def test_who_leaves_with_nothing_pending_is_gone(self, rig: Rig) -> None:
        """Its name and its row; leaving twice is not an error."""
        await rig.produce(2)
        one, two = await members(rig, "one", "two")
        for member in (one, two):
            await member.leases.ack(leases_of(await member.read(1)))
            await member.look(0)
        assert (await rig.state()).consumers == 2
        await one.reader.leave()
        await one.reader.leave()
        assert (await rig.state()).consumers == 1
        assert (await rig.rows()).keys() == {"two"}

    async def test_who_leaves_with_something_pending_ends_its_row(self, rig: Rig) -> None:
        """Others take it at once; until then the member may finish it. What is parked is no longer the member's."""
        await rig.produce(3)
        one, two = await settled(rig, "one", "two")
        finished, parked, left = await one.read()
        await one.leases.park(lease_of(parked), HOUR)
        await one.reader.leave()
        assert await one.leases.ack([lease_of(finished)]) == frozenset()
        look = await two.look()
        assert (numbers(look.deliveries), look.parked) == ([2], 1)
        assert await one.leases.ack([lease_of(left)]) == frozenset({left.entry.key})
        assert (await rig.rows()).keys() == {"two"}

    async def test_the_first_look_of_a_group_holds(self, rig: Rig) -> None:
        """Nobody knows how long the others were unable to look, so ended rows are left alone at first."""
        await rig.produce(1)
        one, two = await members(rig, "one", "two")
        await one.read()
        await one.reader.leave()
        assert list(await two.take()) == []
        await time_passes(rig, HOLD - 3 * SECOND, two)
        assert list(await two.take()) == []
        await time_passes(rig, 5 * SECOND, two)
        assert numbers(await two.take()) == [0]

    @pytest.mark.parametrize("gap", [2 * LEASE, 6 * SECOND, HOUR])
    async def test_after_a_gap_of_looks_living_members_keep_what_they_have(self, rig: Rig, gap: timedelta) -> None:
        """The server was frozen, or its clock went forward: each finds its row ended, and can renew it first."""
        await rig.produce(2)
        one, two, dead = await settled(rig, "one", "two", "dead")
        [in_flight] = await one.read(1)
        await dead.read(1)
        await dead.reader.leave()
        await rig.pass_time(gap)
        look = await two.look()
        assert (list(look.deliveries), look.more, look.row_ended) == ([], False, gap > LEASE)
        await time_passes(rig, HOLD - 3 * SECOND, two)
        assert list(await two.take()) == []
        assert (await one.look()).row_ended is (gap > LEASE)
        await time_passes(rig, 5 * SECOND, one, two)
        assert numbers(await two.take()) == [1]
        assert await one.leases.ack([lease_of(in_flight)]) == frozenset()

    async def test_looks_that_go_on_do_not_hold(self, rig: Rig) -> None:
        """A pause shorter than five seconds is not a gap."""
        await rig.produce(1)
        one, two = await settled(rig, "one", "two")
        await one.read()
        await one.reader.leave()
        await rig.pass_time(3 * SECOND)
        assert numbers(await two.take()) == [0]

    async def test_a_short_lease_holds_for_half_of_it(self, rig: Rig) -> None:
        """After a gap of half of it."""
        await rig.produce(1)
        one, two = await members(rig, "one", "two")
        one.lease = two.lease = 8 * SECOND
        for member in (one, two):
            await member.look(0)
        await time_passes(rig, 5 * SECOND, one, two)
        await one.read()
        await one.reader.leave()
        await rig.pass_time(4.5 * SECOND)
        assert list(await two.take()) == []
        await time_passes(rig, 5 * SECOND, two)
        assert numbers(await two.take()) == [0]

    async def test_the_hold_goes_by_the_longest_lease_of_the_group(self, rig: Rig) -> None:
        """A member with a short one must not cut the time of those that look less often."""
        await rig.produce(1)
        one, two = await settled(rig, "one", "two")
        await one.read()
        await one.reader.leave()
        two.lease = 8 * SECOND
        await rig.pass_time(6 * SECOND)
        assert list(await two.take()) == []
        await time_passes(rig, 7 * SECOND, two)
        assert list(await two.take()) == []
        await time_passes(rig, 5 * SECOND, two)
        assert numbers(await two.take()) == [0]

    async def test_what_is_due_does_not_wait_for_the_hold(self, rig: Rig) -> None:
        """No member could still have it in flight."""
        await rig.produce(1)
        one, two = await settled(rig, "one", "two")
        [delivery] = await one.read()
        await one.leases.park(lease_of(delivery), 8 * SECOND)
        await rig.pass_time(9 * SECOND)
        assert numbers(await two.take()) == [0]

    async def test_when_the_clock_goes_back_rows_are_dropped_and_due_times_move(self, rig: Rig) -> None:
        """Rows of the old time would last an hour too long, and parked entries would wait as much longer."""
        await rig.produce(3)
        one, two, dead = await settled(rig, "one", "two", "dead")
        in_flight, parked = await one.read(2)
        await one.leases.park(lease_of(parked), 20 * SECOND)
        await dead.read()
        await rig.pass_time(-HOUR)
        look = await two.look()
        assert (list(look.deliveries), look.row_ended, look.parked) == ([], True, 1)
        await time_passes(rig, HOLD + 3 * SECOND, one, two)
        assert list(await two.take()) == []
        await time_passes(rig, 9 * SECOND, one, two)
        assert numbers(await two.take()) == [1]
        await time_passes(rig, LEASE - HOLD, one, two)
        assert numbers(await two.take()) == [2]
        assert await one.leases.ack([lease_of(in_flight)]) == frozenset()

    async def test_living_members_survive_the_loss_of_all_rows(self, rig: Rig) -> None:
        """The first to look gives the others rows as well, so nobody takes what they have in flight."""
        await rig.produce(2)
        one, two, dead = await settled(rig, "one", "two", "dead")
        [in_flight] = await one.read(1)
        await dead.read(1)
        await rig.remove_rows()
        look = await two.look()
        assert (list(look.deliveries), look.row_ended) == ([], True)
        await time_passes(rig, LEASE - 3 * SECOND, one, two)
        assert list(await two.take()) == []
        await time_passes(rig, LEASE / 2, one, two)
        assert numbers(await two.take()) == [1]
        assert await one.leases.ack([lease_of(in_flight)]) == frozenset()

    async def test_a_due_time_without_its_entry_is_dropped(self, rig: Rig) -> None:
        """As when somebody acked the entry manually, or a member has it after all."""
        keys = await rig.produce(2)
        one, two = await members(rig, "one", "two")
        parked, in_flight = await one.read()
        await one.leases.park(lease_of(parked), SECOND)
        await rig.remove_pending(keys[0])
        await rig.set_due(in_flight.entry.key, SECOND)
        await rig.pass_time(2 * SECOND)
        look = await two.look()
        assert (list(look.deliveries), look.vanished, look.parked, look.more) == ([], (), 0, False)
        assert await one.leases.ack([lease_of(in_flight)]) == frozenset()

    async def test_due_times_of_a_group_that_others_created_again_are_dropped(self, rig: Rig) -> None:
        """Within a quarter of a lease: they would otherwise count towards the bound of parked entries."""
        await rig.produce(2)
        one, two = await members(rig, "one", "two")
        await two.look()
        for delivery in await one.read():
            await one.leases.park(lease_of(delivery), HOUR)
            await rig.remove_pending(delivery.entry.key)
        assert (await two.look()).parked == 2
        await time_passes(rig, LEASE / 4 + SECOND, two)
        assert (await two.look()).parked == 0

    async def test_a_waiting_entry_without_a_due_time_gets_one(self, rig: Rig) -> None:
        """Within a quarter of a lease, and it is due at once; others keep theirs. The reserved name has no row."""
        keys = await rig.produce(2)
        one, two = await members(rig, "one", "two")
        await two.look()
        for delivery in await one.read():
            await one.leases.park(lease_of(delivery), HOUR)
        await rig.set_due(keys[0], None)
        assert list(await two.take()) == []
        await time_passes(rig, LEASE / 4 + SECOND, two)
        look = await two.look()
        assert ([(each.entry.key, each.attempt) for each in look.deliveries], look.parked) == ([(keys[0], 2)], 1)
        [taken, waiting] = await admin(rig).pending(None, 10)
        assert (taken.consumer, waiting.consumer) == ("two", None)
        assert "waiting" not in await rig.rows()
