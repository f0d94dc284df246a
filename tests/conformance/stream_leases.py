"""Acting on what a group was delivered: who holds a lease, and what an attempt leaves behind."""

from datetime import timedelta

from tests.conformance.stream_suite import (
    LEASE,
    LETTER,
    NO_WAIT,
    SECOND,
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


class LeaseSuite:
    """Runs on every implementation."""

    async def test_an_acked_entry_is_finished(self, rig: Rig) -> None:
        """It is no longer pending, and a second ack is reported as lost."""
        await rig.produce(3)
        [one] = await members(rig, "one")
        leases = leases_of(await one.read())
        assert await one.leases.ack(leases[:2]) == frozenset()
        assert [entry.key for entry in await admin(rig).pending(None, 10)] == [leases[2].key]
        assert await one.leases.ack(leases) == frozenset(lease.key for lease in leases[:2])
        assert list(await admin(rig).pending(None, 10)) == []

    async def test_what_nobody_has_taken_can_be_acked_after_the_row_has_ended(self, rig: Rig) -> None:
        """A lease is a member and a delivery count: what was taken is lost, the rest is not."""
        keys = await rig.produce(3)
        one, two = await settled(rig, "one", "two")
        leases = leases_of(await one.read())
        await time_passes(rig, LEASE + 2 * SECOND, two)
        assert numbers(await two.take(1)) == [0]
        assert await one.leases.ack(leases[:2]) == frozenset({keys[0]})
        assert (await one.look()).row_ended is True
        assert await one.leases.ack(leases[2:]) == frozenset()
        assert [(entry.key, entry.consumer) for entry in await admin(rig).pending(None, 10)] == [(keys[0], "two")]

    async def test_who_lost_the_lease_can_do_nothing(self, rig: Rig) -> None:
        """Whatever the former holder does changes nothing and is reported as lost."""
        [key] = await rig.produce(1)
        one, two, three = await settled(rig, "one", "two", "three")
        [lost] = leases_of(await one.read())
        [delivery] = await leave_to(one, two)
        for outcome in (
            await one.leases.ack([lost]),
            await one.leases.release([lost]),
            await one.leases.mark_alone(lost),
            await one.leases.unmark_alone(lost),
            await one.leases.dead_letter(lost, LETTER),
        ):
            assert outcome == frozenset({key})
        assert await one.leases.park(lost, NO_WAIT) == "lost"
        [pending] = await admin(rig).pending(None, 10)
        assert (pending.key, pending.consumer, pending.attempt) == (key, "two", 2)
        assert list(await admin(rig).dead_letters(None, 10)) == []
        [again] = await leave_to(two, three)
        assert (again.attempt, again.failures, again.ends_alone) == (3, 0, 0)
        assert await two.leases.ack([lease_of(delivery)]) == frozenset({key})

    async def test_the_same_member_loses_an_old_lease_too(self, rig: Rig) -> None:
        """When it takes its own entry again, only the new lease counts."""
        [key] = await rig.produce(1)
        [one] = await members(rig, "one")
        [old] = await one.read()
        await one.leases.park(lease_of(old), NO_WAIT)
        [new] = await one.take()
        assert await one.leases.ack([lease_of(old)]) == frozenset({key})
        assert await one.leases.park(lease_of(old), NO_WAIT) == "lost"
        assert await one.leases.ack([lease_of(new)]) == frozenset()

    async def test_many_leases_are_acked_among_others_that_stay(self, rig: Rig) -> None:
        """A member with far more entries than it acks, spread over all of them, acks exactly those."""
        await rig.produce(256)
        [one] = await members(rig, "one")
        leases = leases_of(await one.read(256))
        some = leases[::60]
        assert await one.leases.ack(some) == frozenset()
        assert await one.leases.ack(some) == frozenset(lease.key for lease in some)
        assert len(await admin(rig).pending(None, 1000)) == 256 - len(some)
        assert await one.leases.ack(()) == frozenset()

    async def test_more_leases_than_one_call_takes_are_acked(self, rig: Rig) -> None:
        """All of them, in one call, and every lost one among them is reported."""
        keys = await rig.produce(1100)
        [one] = await members(rig, "one")
        leases = leases_of(await one.read(1100))
        await one.leases.ack([leases[0], leases[-1]])
        assert await one.leases.ack(leases) == frozenset({keys[0], keys[-1]})
        assert list(await admin(rig).pending(None, 10)) == []

    async def test_a_parked_entry_belongs_to_no_member(self, rig: Rig) -> None:
        """It is pending for no consumer, idle since it was parked, with a due time; no consumer is counted for it."""
        [key] = await rig.produce(1)
        [one] = await members(rig, "one")
        [delivery] = await one.read()
        await rig.pass_time(timedelta(hours=1))
        assert (await admin(rig).pending(None, 10))[0].idle >= timedelta(hours=1)
        assert await one.leases.park(lease_of(delivery), LEASE) == "parked"
        [pending] = await admin(rig).pending(None, 10)
        assert (pending.key, pending.consumer, pending.attempt) == (key, None, 1)
        assert pending.idle < timedelta(minutes=1)
        assert pending.due is not None
        await one.reader.leave()
        state = await rig.state()
        assert (state.consumers, state.pending, state.parked) == (0, 1, 1)

    async def test_an_attempt_that_is_given_back_for_later_is_not_counted(self, rig: Rig) -> None:
        """It is parked as after a failure, due at its time and within the limit, but nothing is noted of it."""
        await rig.produce(3)
        one, two = await members(rig, "one", "two")
        first, second, third = await one.read()
        assert await one.leases.park(lease_of(first), NO_WAIT) == "parked"
        [again] = await two.take()
        assert await two.leases.park(lease_of(again), NO_WAIT, failed=False) == "parked"
        assert await one.leases.park(lease_of(second), LEASE, failed=False) == "parked"
        assert await one.leases.park(lease_of(third), LEASE, limit=2, failed=False) == "full"
        earlier, later, _ = await admin(rig).pending(None, 10)
        assert earlier.due is not None
        assert later.due is not None
        assert LEASE / 2 < later.due - earlier.due < LEASE + timedelta(minutes=1)
        [taken] = await one.take()
        assert (taken.entry, taken.attempt, taken.failures) == (first.entry, 2, 1)

    async def test_parking_twice_counts_one_failure(self, rig: Rig) -> None:
        """The second call finds the lease lost and changes nothing, not even the due time."""
        await rig.produce(1)
        one, two = await members(rig, "one", "two")
        [delivery] = await one.read()
        assert await one.leases.park(lease_of(delivery), NO_WAIT) == "parked"
        assert await one.leases.park(lease_of(delivery), timedelta(hours=1)) == "lost"
        [again] = await two.take()
        assert (again.attempt, again.failures) == (2, 1)

    async def test_failures_are_counted_apart_from_attempts(self, rig: Rig) -> None:
        """An attempt that ended in a recorded failure is not counted like one that ended in a crash."""
        await rig.produce(1)
        one, two, three = await settled(rig, "one", "two", "three")
        [first] = await one.read()
        await one.leases.park(lease_of(first), NO_WAIT)
        [second] = await two.take()
        [third] = await leave_to(two, three)
        await three.leases.park(lease_of(third), NO_WAIT)
        [fourth] = await one.take()
        assert [(each.attempt, each.failures) for each in (second, third, fourth)] == [(2, 1), (3, 1), (4, 2)]

    async def test_no_more_is_parked_than_the_limit(self, rig: Rig) -> None:
        """What is refused stays pending for its member as it was; it can be parked once fewer are."""
        keys = await rig.produce(3)
        one, two = await members(rig, "one", "two")
        first, second, third = leases_of(await one.read())
        assert await one.leases.park(first, NO_WAIT, limit=2) == "parked"
        assert await one.leases.park(second, timedelta(hours=1), limit=2) == "parked"
        assert await one.leases.park(third, NO_WAIT, limit=2) == "full"
        assert [entry.consumer for entry in await admin(rig).pending(None, 10)] == [None, None, "one"]
        assert numbers(await two.take()) == [0]
        assert await one.leases.park(third, NO_WAIT, limit=2) == "parked"
        [again] = await two.take()
        assert (again.entry.key, again.attempt, again.failures) == (keys[2], 2, 1)

    async def test_a_lost_lease_is_reported_before_the_limit(self, rig: Rig) -> None:
        """So its member drops it, and does not wait until it can be parked."""
        await rig.produce(1)
        [one] = await members(rig, "one")
        [lease] = leases_of(await one.read())
        await one.leases.park(lease, LEASE)
        assert await one.leases.park(lease, LEASE, limit=1) == "lost"

    async def test_parking_an_entry_that_left_the_stream_ends_it(self, rig: Rig) -> None:
        """There is nothing to deliver again."""
        [key] = await rig.produce(1)
        [one] = await members(rig, "one")
        [delivery] = await one.read()
        await rig.remove_entry(key)
        assert await one.leases.park(lease_of(delivery), NO_WAIT) == "vanished"
        assert list(await admin(rig).pending(None, 10)) == []
        assert (await rig.state()).parked == 0

    async def test_a_release_keeps_the_failures_of_earlier_attempts(self, rig: Rig) -> None:
        """Only the unfinished attempt is taken back; releasing twice takes back one."""
        [key] = await rig.produce(1)
        one, two = await members(rig, "one", "two")
        [delivery] = await one.read()
        await one.leases.park(lease_of(delivery), NO_WAIT)
        [second] = await one.take()
        assert await one.leases.release([lease_of(second)]) == frozenset()
        assert await one.leases.release([lease_of(second)]) == frozenset({key})
        [again] = await two.take()
        assert (again.attempt, again.failures) == (2, 1)

    async def test_releasing_an_entry_that_left_the_stream_ends_it(self, rig: Rig) -> None:
        """It is no longer pending; that does not count as a lost lease."""
        keys = await rig.produce(2)
        one, two = await members(rig, "one", "two")
        leases = leases_of(await one.read())
        await rig.remove_entry(keys[0])
        assert await one.leases.release(leases) == frozenset()
        assert [entry.key for entry in await admin(rig).pending(None, 10)] == [keys[1]]
        assert numbers(await two.take()) == [1]

    async def test_a_note_that_exceeds_the_delivery_count_is_ignored(self, rig: Rig) -> None:
        """It belongs to an earlier state of the group, as after a restore; the next failure starts a new one."""
        keys = await rig.produce(2)
        one, two = await members(rig, "one", "two")
        deliveries = await one.read()
        await rig.set_note(keys[0], "4/5/1/0")
        await rig.set_note(keys[1], "1/1/1/7")
        assert [(each.failures, each.ends_alone) for each in (await one.reader.compare(())).deliveries] == [(0, 0)] * 2
        for delivery in deliveries:
            await one.leases.park(lease_of(delivery), NO_WAIT)
        assert [(each.failures, each.ends_alone) for each in await two.take()] == [(1, 0)] * 2
