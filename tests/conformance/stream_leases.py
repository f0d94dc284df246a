"""Acting on what a group was delivered: who holds a lease, what failures leave behind, and the dead letters."""

from datetime import UTC, datetime, timedelta

import pytest

from event_backbone.errors import EventNotFound
from tests.conformance.stream_suite import (
    LEASE,
    LETTER,
    NAME,
    Rig,
    admin,
    lease_of,
    members,
    numbers,
)


class LeaseSuite:
    """Runs on every implementation."""

    async def test_a_fresh_delivery_cannot_be_claimed(self, rig: Rig) -> None:
        """Who holds a lease keeps it; when it is over, another consumer gets the entry as the next attempt."""
        keys = await rig.produce(2)
        one, two = await members(rig, "one", "two")
        await one.read()
        assert list(await two.claim()) == []
        await rig.age(keys[0], LEASE)
        [delivery] = await two.claim()
        assert (delivery.entry.key, delivery.attempt, delivery.failures) == (keys[0], 2, 0)
        assert delivery.entry.fields[b"metadata"] == b"0"
        assert list(await one.claim()) == []

    async def test_a_renewed_lease_goes_on(self, rig: Rig) -> None:
        """Renewing starts the time anew and does not count as an attempt."""
        [key] = await rig.produce(1)
        one, two = await members(rig, "one", "two")
        [delivery] = await one.read()
        await rig.age(key, LEASE)
        assert await one.leases.renew([lease_of(delivery)]) == frozenset()
        assert list(await two.claim()) == []
        await rig.age(key, LEASE)
        [delivery] = await two.claim()
        assert delivery.attempt == 2

    async def test_an_acked_entry_is_finished(self, rig: Rig) -> None:
        """It is not pending any more, and a second ack is told as lost."""
        await rig.produce(3)
        [one] = await members(rig, "one")
        leases = [lease_of(delivery) for delivery in await one.read()]
        assert await one.leases.ack(leases[:2]) == frozenset()
        assert [entry.key for entry in await admin(rig).pending(None, 10)] == [leases[2].key]
        assert await one.leases.ack(leases) == frozenset(lease.key for lease in leases[:2])
        assert list(await admin(rig).pending(None, 10)) == []

    async def test_who_lost_the_lease_can_do_nothing(self, rig: Rig) -> None:
        """Renew, ack, release, notes and dead letters of the former holder change nothing and are told as lost."""
        [key] = await rig.produce(1)
        one, two = await members(rig, "one", "two")
        [lost] = [lease_of(delivery) for delivery in await one.read()]
        await rig.age(key, LEASE)
        [held] = await two.claim()
        for outcome in (
            await one.leases.renew([lost]),
            await one.leases.ack([lost]),
            await one.leases.release([lost]),
            await one.leases.record_failure(lost),
            await one.leases.mark_alone(lost),
            await one.leases.dead_letter(lost, LETTER),
        ):
            assert outcome == frozenset({key})
        assert await one.leases.begin_attempt(lost) is None
        [pending] = await admin(rig).pending(None, 10)
        assert (pending.key, pending.consumer, pending.attempt) == (key, "two", 2)
        assert list(await admin(rig).dead_letters(None, 10)) == []
        await rig.age(key, LEASE)
        [again] = await one.claim()
        assert (again.attempt, again.failures, again.ran_alone) == (3, 0, False)
        assert await two.leases.ack([lease_of(held)]) == frozenset({key})

    async def test_the_same_consumer_loses_an_old_lease_too(self, rig: Rig) -> None:
        """The lease is consumer and attempt: after a claim of one's own, only the new one counts."""
        [key] = await rig.produce(1)
        [one] = await members(rig, "one")
        [old] = await one.read()
        await rig.age(key, LEASE)
        [new] = await one.claim()
        assert await one.leases.ack([lease_of(old)]) == frozenset({key})
        assert await one.leases.ack([lease_of(new)]) == frozenset()

    async def test_many_leases_are_acked_among_others_that_stay(self, rig: Rig) -> None:
        """A consumer that holds far more entries than it acks, spread over all of them, acks exactly those."""
        await rig.produce(256)
        [one] = await members(rig, "one")
        leases = [lease_of(delivery) for delivery in await one.read(256)]
        some = leases[::60]
        assert await one.leases.ack(some) == frozenset()
        assert await one.leases.renew(some) == frozenset(lease.key for lease in some)
        assert len(await admin(rig).pending(None, 1000)) == 256 - len(some)
        assert await one.leases.renew(()) == frozenset()

    async def test_the_lease_of_a_deleted_entry_is_lost(self, rig: Rig) -> None:
        """Its holder learns of it with the next renewal."""
        [key] = await rig.produce(1)
        [one] = await members(rig, "one")
        [delivery] = await one.read()
        await rig.remove_entry(key)
        assert await one.leases.renew([lease_of(delivery)]) == frozenset({key})

    async def test_released_entries_can_be_claimed_at_once(self, rig: Rig) -> None:
        """Without waiting for a lease to end, by anybody, and the attempt that was not begun is taken back."""
        await rig.produce(2)
        one, two = await members(rig, "one", "two")
        assert await one.leases.release([lease_of(delivery) for delivery in await one.read()]) == frozenset()
        assert [delivery.attempt for delivery in await two.claim()] == [1, 1]

    async def test_a_released_retry_keeps_the_attempt_that_failed(self, rig: Rig) -> None:
        """An entry given back while it waits for its next attempt comes as that next attempt."""
        await rig.produce(1)
        one, two = await members(rig, "one", "two")
        [delivery] = await one.read()
        await one.leases.record_failure(lease_of(delivery))
        assert await one.leases.release([lease_of(delivery)]) == frozenset()
        [again] = await two.claim()
        assert (again.attempt, again.failures) == (2, 1)

    async def test_failures_are_counted_apart_from_attempts(self, rig: Rig) -> None:
        """An attempt whose failure was recorded is told from one that ended in a crash; recording twice counts once."""
        [key] = await rig.produce(1)
        one, two = await members(rig, "one", "two")
        [delivery] = await one.read()
        assert await one.leases.record_failure(lease_of(delivery)) == frozenset()
        assert await one.leases.record_failure(lease_of(delivery)) == frozenset()
        await rig.age(key, LEASE)
        [second] = await two.claim()
        await rig.age(key, LEASE)
        [third] = await one.claim()
        assert [(each.attempt, each.failures) for each in (second, third)] == [(2, 1), (3, 1)]

    async def test_a_consumer_begins_the_next_attempt_itself(self, rig: Rig) -> None:
        """The old lease ends, the new one holds; begun twice, because an answer was lost, it is one attempt."""
        [key] = await rig.produce(1)
        one, two = await members(rig, "one", "two")
        [delivery] = await one.read()
        await one.leases.record_failure(lease_of(delivery))
        await rig.age(key, LEASE)
        again = await one.leases.begin_attempt(lease_of(delivery))
        assert again is not None
        assert (again.attempt, again.failures, again.entry) == (2, 1, delivery.entry)
        assert await one.leases.begin_attempt(lease_of(delivery)) == again
        assert list(await two.claim()) == []
        assert await one.leases.ack([lease_of(delivery)]) == frozenset({key})
        assert await one.leases.ack([lease_of(again)]) == frozenset()

    async def test_having_run_alone_is_remembered(self, rig: Rig) -> None:
        """The note outlives the process that made it, and ends with the entry."""
        [key] = await rig.produce(1)
        one, two = await members(rig, "one", "two")
        [delivery] = await one.read()
        assert await one.leases.mark_alone(lease_of(delivery)) == frozenset()
        await rig.age(key, LEASE)
        [again] = await two.claim()
        assert (again.ran_alone, again.failures) == (True, 0)

    async def test_a_dead_letter_is_a_copy_with_its_reason(self, rig: Rig) -> None:
        """It holds the entry, why it was given up and how often it was tried; the entry is pending no more."""
        [key] = await rig.produce(1)
        [one] = await members(rig, "one")
        [delivery] = await one.read()
        assert await one.leases.dead_letter(lease_of(delivery), LETTER) == frozenset()
        [letter] = await admin(rig).dead_letters(None, 10)
        assert letter.entry == delivery.entry
        assert (letter.reason, letter.detail, letter.error) == ("rejected", "no such customer", "LookupError")
        assert letter.attempts == 1
        assert abs(letter.failed_at - datetime.now(UTC)) < timedelta(minutes=1)
        assert list(await admin(rig).pending(None, 10)) == []
        assert await one.leases.dead_letter(lease_of(delivery), LETTER) == frozenset({key})
        [state] = await rig.streams.stream(NAME).groups()
        assert (state.dead_letters, state.pending) == (1, 0)

    async def test_dead_letters_are_listed_in_pages(self, rig: Rig) -> None:
        """In the order in which they were given up; other groups have their own."""
        await rig.produce(3)
        [one] = await members(rig, "one")
        for delivery in await one.read():
            await one.leases.dead_letter(lease_of(delivery), LETTER)
        first = await admin(rig).dead_letters(None, 2)
        rest = await admin(rig).dead_letters(first[-1].id, 2)
        assert [int(letter.entry.fields[b"metadata"]) for letter in (*first, *rest)] == [0, 1, 2]
        assert list(await rig.streams.group_admin(NAME, "shipping").dead_letters(None, 10)) == []

    async def test_a_redriven_event_is_delivered_as_if_for_the_first_time(self, rig: Rig) -> None:
        """At once, to this group, as attempt 1 without failures; its dead letter is gone."""
        [key] = await rig.produce(1)
        one, two = await members(rig, "one", "two")
        [delivery] = await one.read()
        await one.leases.record_failure(lease_of(delivery))
        await one.leases.dead_letter(lease_of(delivery), LETTER)
        [letter] = await admin(rig).dead_letters(None, 10)
        assert await admin(rig).redrive(letter) is True
        assert await admin(rig).redrive(letter) is False
        assert list(await admin(rig).dead_letters(None, 10)) == []
        [again] = await two.claim()
        assert (again.entry.key, again.attempt, again.failures) == (key, 1, 0)
        assert await two.leases.ack([lease_of(again)]) == frozenset()

    async def test_a_redriven_event_that_has_left_the_stream_is_not_found(self, rig: Rig) -> None:
        """The dead letter stays, with its copy of the entry."""
        [key] = await rig.produce(1)
        [one] = await members(rig, "one")
        [delivery] = await one.read()
        await one.leases.dead_letter(lease_of(delivery), LETTER)
        await rig.remove_entry(key)
        [letter] = await admin(rig).dead_letters(None, 10)
        with pytest.raises(EventNotFound, match=str(key)):
            await admin(rig).redrive(letter)
        assert len(await admin(rig).dead_letters(None, 10)) == 1

    async def test_a_redriven_event_that_is_pending_keeps_its_holder(self, rig: Rig) -> None:
        """A group made anew may have been delivered it again: then only the dead letter is removed."""
        [key] = await rig.produce(1)
        [one] = await members(rig, "one")
        [delivery] = await one.read()
        await one.leases.dead_letter(lease_of(delivery), LETTER)
        [letter] = await admin(rig).dead_letters(None, 10)
        await rig.remove_group()
        await one.reader.ensure("beginning")
        [again] = await one.read()
        assert await admin(rig).redrive(letter) is True
        assert list(await admin(rig).dead_letters(None, 10)) == []
        assert await one.leases.ack([lease_of(again)]) == frozenset()
        assert again.entry.key == key

    async def test_a_redriven_event_that_is_unread_is_delivered_once(self, rig: Rig) -> None:
        """A group made anew that has not come to it yet will read it; it does not get it twice."""
        await rig.produce(1)
        one, two = await members(rig, "one", "two")
        [delivery] = await one.read()
        await one.leases.dead_letter(lease_of(delivery), LETTER)
        [letter] = await admin(rig).dead_letters(None, 10)
        await rig.remove_group()
        await one.reader.ensure("beginning")
        assert await admin(rig).redrive(letter) is True
        assert list(await two.claim()) == []
        assert numbers(await one.read()) == [0]
        assert list(await two.claim()) == []
