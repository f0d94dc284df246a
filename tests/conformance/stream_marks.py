"""Which attempts ended their process while they were marked as running alone in their member."""

from tests.conformance.stream_suite import LETTER, NO_WAIT, Rig, admin, lease_of, leave_to, members, settled


class MarkSuite:
    """Runs on every implementation."""

    async def test_an_end_while_marked_alone_is_counted(self, rig: Rig) -> None:
        """Each attempt once, however often it was marked; ends without a mark are not."""
        [key] = await rig.produce(1)
        one, two, three, four = await settled(rig, "one", "two", "three", "four")
        [first] = await one.read()
        assert await one.leases.mark_alone(lease_of(first)) == frozenset()
        assert await one.leases.mark_alone(lease_of(first)) == frozenset()
        [second] = await leave_to(one, two)
        [third] = await leave_to(two, three)
        assert await three.leases.mark_alone(lease_of(third)) == frozenset()
        [fourth] = await leave_to(three, four)
        counts = [(each.entry.key, each.attempt, each.failures, each.ends_alone) for each in (second, third, fourth)]
        assert counts == [(key, 2, 0, 1), (key, 3, 0, 1), (key, 4, 0, 2)]

    async def test_the_running_attempt_is_not_counted_yet(self, rig: Rig) -> None:
        """A member that runs a marked attempt learns how the earlier ones ended."""
        await rig.produce(1)
        one, two = await settled(rig, "one", "two")
        [first] = await one.read()
        await one.leases.mark_alone(lease_of(first))
        [second] = await leave_to(one, two)
        await two.leases.mark_alone(lease_of(second))
        [known] = (await two.reader.compare(())).deliveries
        assert (known.attempt, known.ends_alone) == (2, 1)

    async def test_a_mark_can_be_taken_back(self, rig: Rig) -> None:
        """Then the end of this attempt is not counted; the ends of earlier ones stay counted."""
        await rig.produce(1)
        one, two, three = await settled(rig, "one", "two", "three")
        [first] = await one.read()
        await one.leases.mark_alone(lease_of(first))
        [second] = await leave_to(one, two)
        assert await two.leases.unmark_alone(lease_of(second)) == frozenset()  # it never was marked
        await two.leases.mark_alone(lease_of(second))
        assert await two.leases.unmark_alone(lease_of(second)) == frozenset()
        [third] = await leave_to(two, three)
        assert (third.attempt, third.ends_alone) == (3, 1)

    async def test_a_recorded_failure_takes_the_mark_back(self, rig: Rig) -> None:
        """The attempt ended with a reason; the ends of earlier ones stay counted."""
        await rig.produce(1)
        one, two, three = await settled(rig, "one", "two", "three")
        [first] = await one.read()
        await one.leases.mark_alone(lease_of(first))
        [second] = await leave_to(one, two)
        await two.leases.mark_alone(lease_of(second))
        await two.leases.park(lease_of(second), NO_WAIT)
        [third] = await three.take()
        assert (third.attempt, third.failures, third.ends_alone) == (3, 1, 1)

    async def test_parking_counts_the_marked_end_before_it(self, rig: Rig) -> None:
        """Also when the attempt that is parked was not marked itself."""
        await rig.produce(1)
        one, two, three = await settled(rig, "one", "two", "three")
        [first] = await one.read()
        await one.leases.mark_alone(lease_of(first))
        [second] = await leave_to(one, two)
        await two.leases.park(lease_of(second), NO_WAIT)
        [third] = await three.take()
        assert (third.attempt, third.failures, third.ends_alone) == (3, 1, 1)

    async def test_a_release_takes_the_mark_of_its_attempt_back(self, rig: Rig) -> None:
        """The event is not to blame for a stop, nor for a later end of the same attempt; an older mark stays."""
        await rig.produce(1)
        one, two, three, four = await settled(rig, "one", "two", "three", "four")
        [first] = await one.read()
        await one.leases.mark_alone(lease_of(first))
        await one.leases.release([lease_of(first)])
        [again] = await one.take()
        [second] = await leave_to(one, two)
        await two.leases.mark_alone(lease_of(second))
        [third] = await leave_to(two, three)
        await three.leases.release([lease_of(third)])
        [fourth] = await four.take()
        assert [(each.attempt, each.ends_alone) for each in (again, second, third, fourth)] == [
            (1, 0),
            (2, 0),
            (3, 1),
            (3, 1),
        ]

    async def test_a_mark_ends_with_its_entry(self, rig: Rig) -> None:
        """A redriven event starts without one."""
        await rig.produce(1)
        one, two, three = await settled(rig, "one", "two", "three")
        [first] = await one.read()
        await one.leases.mark_alone(lease_of(first))
        [second] = await leave_to(one, two)
        await two.leases.dead_letter(lease_of(second), LETTER)
        [letter] = await admin(rig).dead_letters(None, 10)
        await admin(rig).redrive([letter])
        [again] = await two.take()
        assert (again.attempt, again.ends_alone) == (1, 0)
        [second] = await leave_to(two, three)
        assert (second.attempt, second.ends_alone) == (2, 0)

    async def test_marking_what_is_finished_is_reported_as_lost(self, rig: Rig) -> None:
        """And leaves no note behind."""
        [key] = await rig.produce(1)
        [one] = await members(rig, "one")
        [delivery] = await one.read()
        await one.leases.ack([lease_of(delivery)])
        assert await one.leases.mark_alone(lease_of(delivery)) == frozenset({key})
        assert await one.leases.unmark_alone(lease_of(delivery)) == frozenset({key})
