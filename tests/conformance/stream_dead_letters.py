"""The dead letters of a group, and how they are delivered again."""

from collections.abc import Sequence
from dataclasses import astuple
from datetime import UTC, datetime, timedelta

from event_backbone.stream.values import DeadLetter
from tests.conformance.stream_suite import LETTER, NAME, NO_WAIT, Member, Rig, admin, lease_of, members, numbers


class DeadLetterSuite:
    """Runs on every implementation."""

    async def test_a_dead_letter_is_a_copy_with_its_reason(self, rig: Rig) -> None:
        """It has the entry, why and where it failed, and its attempts; the entry is no longer pending."""
        [key] = await rig.produce(1)
        [one] = await members(rig, "one")
        [delivery] = await one.read()
        assert await one.leases.dead_letter(lease_of(delivery), LETTER) == frozenset()
        [letter] = await admin(rig).dead_letters(None, 10)
        assert letter.entry == delivery.entry
        assert (letter.reason, letter.detail, letter.error, letter.place) == astuple(LETTER)
        assert letter.attempts == 1
        assert abs(letter.failed_at - datetime.now(UTC)) < timedelta(minutes=1)
        assert list(await admin(rig).pending(None, 10)) == []
        assert await one.leases.dead_letter(lease_of(delivery), LETTER) == frozenset({key})
        state = await rig.state()
        assert (state.dead_letters, state.pending) == (1, 0)

    async def test_dead_letters_are_listed_in_pages(self, rig: Rig) -> None:
        """In the order in which they were dead-lettered; other groups have their own."""
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
        await one.leases.park(lease_of(delivery), NO_WAIT)
        [delivery] = await one.take()
        await one.leases.dead_letter(lease_of(delivery), LETTER)
        [letter] = await admin(rig).dead_letters(None, 10)
        await rig.set_note(key, "1/1/1/0")  # as an entry that was acked manually leaves one
        assert list(await admin(rig).redrive([letter])) == ["redriven"]
        assert list(await admin(rig).redrive([letter])) == ["gone"]
        assert list(await admin(rig).dead_letters(None, 10)) == []
        assert (await rig.state()).parked == 1
        [again] = await two.take()
        assert (again.entry.key, again.attempt, again.failures, again.ends_alone) == (key, 1, 0, 0)
        assert await two.leases.ack([lease_of(again)]) == frozenset()

    async def test_a_redriven_event_that_has_left_the_stream_is_not_found(self, rig: Rig) -> None:
        """The dead letter stays, with its copy of the entry."""
        [key] = await rig.produce(1)
        [one] = await members(rig, "one")
        [delivery] = await one.read()
        await one.leases.dead_letter(lease_of(delivery), LETTER)
        await rig.remove_entry(key)
        [letter] = await admin(rig).dead_letters(None, 10)
        assert list(await admin(rig).redrive([letter])) == ["not-found"]
        assert len(await admin(rig).dead_letters(None, 10)) == 1

    async def test_many_are_redriven_or_discarded_at_once(self, rig: Rig) -> None:
        """Each in its own step, with its own answer; more than one call of a script takes."""
        keys = await rig.produce(250)
        [one] = await members(rig, "one")
        for delivery in await one.read(250):
            await one.leases.dead_letter(lease_of(delivery), LETTER)
        letters = [*await admin(rig).dead_letters(None, 1000)]
        assert await admin(rig).newest_dead_letter() == letters[-1].id
        await rig.remove_entry(keys[3])
        assert await admin(rig).discard(letters[:2]) == 2
        answers = list(await admin(rig).redrive(letters[:110]))
        assert answers[:5] == ["gone", "gone", "redriven", "not-found", "redriven"]
        assert answers.count("redriven") == 107
        assert await admin(rig).discard(letters) == 141
        assert await admin(rig).newest_dead_letter() is None
        assert ((await rig.state()).dead_letters, (await rig.state()).parked) == (0, 107)

    async def test_a_discarded_dead_letter_takes_the_notes_of_its_event_along(self, rig: Rig) -> None:
        """The entry stays in the stream, delivered to nobody. Discarding again, or without the group, is fine."""
        keys = await rig.produce(2)
        one, two = await members(rig, "one", "two")
        for delivery in await one.read():
            await one.leases.dead_letter(lease_of(delivery), LETTER)
        first, second = await admin(rig).dead_letters(None, 10)
        await rig.set_note(keys[0], "1/1/1/0")
        assert await admin(rig).discard([first]) == 1
        assert await admin(rig).discard([first]) == 0
        assert not await rig.has_note(keys[0])
        assert (list(await two.take()), (await rig.state()).pending) == ([], 0)
        assert await rig.streams.stream(NAME).get(keys[0]) is not None
        await rig.remove_group()
        assert await admin(rig).discard([second]) == 1
        assert list(await admin(rig).dead_letters(None, 10)) == []

    async def test_discarding_leaves_the_notes_of_an_event_that_is_pending(self, rig: Rig) -> None:
        """A group that was created again was given it again: its failures count."""
        (one, two), letter = await _created_again(rig, "one", "two")
        key = letter.entry.key
        [again] = await one.read()
        await one.leases.park(lease_of(again), NO_WAIT)
        assert await admin(rig).discard([letter]) == 1
        [taken] = await two.take()
        assert (taken.entry.key, taken.attempt, taken.failures) == (key, 2, 1)

    async def test_a_redriven_event_that_is_pending_keeps_its_holder(self, rig: Rig) -> None:
        """A group that was created again may have been given it again: then only the dead letter is removed."""
        (one,), letter = await _created_again(rig, "one")
        key = letter.entry.key
        [again] = await one.read()
        assert list(await admin(rig).redrive([letter])) == ["redriven"]
        assert list(await admin(rig).dead_letters(None, 10)) == []
        assert await one.leases.ack([lease_of(again)]) == frozenset()
        assert again.entry.key == key

    async def test_a_redriven_event_that_is_unread_is_delivered_once(self, rig: Rig) -> None:
        """A group that was created again and has not yet reached it will read it; it does not get it twice."""
        (one, two), letter = await _created_again(rig, "one", "two")
        assert list(await admin(rig).redrive([letter])) == ["redriven"]
        assert list(await two.take()) == []
        assert numbers(await one.read()) == [0]
        assert list(await two.take()) == []

    async def test_redrives_are_counted_until_the_event_has_ended(self, rig: Rig) -> None:
        """While it is parked, fails, runs alone, is given back, and as a dead letter again; then it is forgotten."""
        [key] = await rig.produce(1)
        [one] = await members(rig, "one")
        [delivery] = await one.read()
        for times in (1, 2):
            await one.leases.dead_letter(lease_of(delivery), LETTER)
            [letter] = await admin(rig).dead_letters(None, 10)
            assert letter.redrives == times - 1
            await admin(rig).redrive([letter])
            [delivery] = await one.take()
            await one.leases.park(lease_of(delivery), NO_WAIT, error="KeyError", place=("shop.py:1 in f",))
            [delivery] = await one.take()
            await one.leases.mark_alone(lease_of(delivery))
            await one.leases.release([lease_of(delivery)])
            [delivery] = await one.take()
            assert (delivery.failures, delivery.ends_alone) == (1, 0)
            [pending] = await admin(rig).pending(None, 10)
            assert (pending.redrives, pending.failures, pending.error) == (times, 1, "KeyError")
            assert pending.place == ("shop.py:1 in f",)
        assert dict(await admin(rig).redriven(key)) == {}
        await one.leases.ack([lease_of(delivery)])
        await one.leases.dead_letter(lease_of(delivery), LETTER)
        assert list(await admin(rig).dead_letters(None, 10)) == []


async def _created_again(rig: Rig, *names: str) -> tuple[Sequence[Member], DeadLetter]:
    """Dead-letter an entry, then create its group again: it has not read the entry yet."""
    await rig.produce(1)
    found = await members(rig, *names)
    [delivery] = await found[0].read()
    await found[0].leases.dead_letter(lease_of(delivery), LETTER)
    [letter] = await admin(rig).dead_letters(None, 10)
    await rig.remove_group()
    await found[0].reader.ensure("beginning")
    return found, letter
