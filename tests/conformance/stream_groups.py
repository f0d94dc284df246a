"""Reading a stream by a consumer group: who gets an entry, when it comes again, and what the group keeps of it."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from event_backbone.errors import GroupMissing
from event_backbone.metadata import EventKey
from tests.conformance.stream_suite import (
    GROUP,
    LEASE,
    NAME,
    NO_WAIT,
    Member,
    Rig,
    admin,
    lease_of,
    members,
    numbers,
)

SECOND = timedelta(seconds=1)
LONG = timedelta(hours=1)


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

    async def test_a_group_is_made_once(self, rig: Rig) -> None:
        """Also before the stream exists; a later start does not move it."""
        [one] = await members(rig, "one")
        await rig.produce(1)
        assert await one.reader.ensure("now") is False
        assert numbers(await one.read()) == [0]

    @pytest.mark.parametrize(
        ("start", "expected"), [("beginning", [0, 1, 2]), ("now", []), (1, [1, 2]), (0, [0, 1, 2])]
    )
    async def test_a_group_begins_where_it_is_told(self, rig: Rig, start: str | int, expected: list[int]) -> None:
        """At the beginning, with the next entry, or with an entry that is named, that one included."""
        keys = await rig.produce(3)
        reader = rig.streams.group_reader(NAME, GROUP, "one")
        assert await reader.ensure(
            "beginning" if start == "beginning" else "now" if start == "now" else keys[int(start)]
        )
        assert numbers(await reader.read(10, NO_WAIT)) == expected

    async def test_a_group_begins_at_a_time(self, rig: Rig) -> None:
        """The time is the server's append time, inclusive."""
        keys = await rig.produce(1)
        moment = datetime.fromtimestamp(keys[0].milliseconds / 1000, UTC)
        for group, start, expected in (("at", moment, [0]), ("later", moment + timedelta(milliseconds=1), [])):
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
        """Waking ends the wait early and takes no entry; a reader that does not wait is not bothered by it."""
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

    async def test_a_claim_passes_over_what_is_held(self, rig: Rig) -> None:
        """What this process still works on is neither delivered to it again nor counted."""
        keys = await rig.produce(2)
        [one] = await members(rig, "one")
        held = await one.read()
        for key in keys:
            await rig.age(key, LEASE)
        claimed = await one.reader.claim(10, LEASE, {keys[0]})
        assert [(each.entry.key, each.attempt) for each in claimed.deliveries] == [(keys[1], 2)]
        assert await one.leases.ack([lease_of(held[0])]) == frozenset()

    async def test_claims_go_on_where_the_last_one_stopped(self, rig: Rig) -> None:
        """However many fresh entries come first, claims of bounded cost get to the stale ones behind them."""
        keys = await rig.produce(100)
        one, two = await members(rig, "one", "two")
        await one.read(100)
        for key in keys[-2:]:
            await rig.age(key, LEASE)
        found: list[EventKey] = []
        for _ in range(10):  # 2 wanted, so 20 looked at by each call
            found += [delivery.entry.key for delivery in await two.claim(2)]
        assert found == keys[-2:]

    async def test_a_claim_takes_no_more_than_asked_for(self, rig: Rig) -> None:
        """The rest is left for the next claim; no free place means no claim."""
        keys = await rig.produce(5)
        one, two = await members(rig, "one", "two")
        await one.read()
        for key in keys:
            await rig.age(key, LEASE)
        assert list(await two.claim(0)) == []
        assert [len(await two.claim(3)), len(await two.claim(3))] == [3, 2]

    async def test_an_entry_deleted_while_pending_vanishes(self, rig: Rig) -> None:
        """A claim reports it once, by its key, and it is pending no more."""
        keys = await rig.produce(2)
        one, two = await members(rig, "one", "two")
        await one.read()
        for key in keys:
            await rig.age(key, LEASE)
        await rig.remove_entry(keys[0])
        claimed = await two.reader.claim(10, LEASE, ())
        assert [delivery.entry.key for delivery in claimed.deliveries] == [keys[1]]
        assert claimed.vanished == (keys[0],)
        assert [entry.key for entry in await admin(rig).pending(None, 10)] == [keys[1]]

    async def test_entries_of_a_lost_answer_are_recovered(self, rig: Rig) -> None:
        """What is pending under one's own name and not held comes again, and its attempt stays as it was."""
        keys = await rig.produce(3)
        one, two = await members(rig, "one", "two")
        await one.read(2)
        await two.read()
        recovered = await Member(rig, "one").reader.recover({keys[0]})
        assert [(each.entry.key, each.attempt) for each in recovered] == [(keys[1], 1)]
        assert numbers(recovered) == [1]

    async def test_recovering_renews_and_tells_failures(self, rig: Rig) -> None:
        """Nobody can claim what was just recovered."""
        [key] = await rig.produce(1)
        one, two = await members(rig, "one", "two")
        [delivery] = await one.read()
        await one.leases.record_failure(lease_of(delivery))
        await rig.age(key, LEASE)
        [recovered] = await one.reader.recover(())
        assert (recovered.attempt, recovered.failures) == (1, 1)
        assert list(await two.claim()) == []

    async def test_many_entries_are_recovered(self, rig: Rig) -> None:
        """All of them, in order."""
        keys = await rig.produce(250)
        [one] = await members(rig, "one")
        await one.read(250)
        assert [each.entry.key for each in await one.reader.recover(())] == keys

    async def test_pending_entries_are_listed_in_pages(self, rig: Rig) -> None:
        """Oldest first, with holder, attempt and the time since the last renewal."""
        keys = await rig.produce(3)
        [one] = await members(rig, "one")
        await one.read()
        await rig.age(keys[0], LONG)
        first = await admin(rig).pending(None, 2)
        rest = await admin(rig).pending(first[-1].key, 2)
        assert [entry.key for entry in (*first, *rest)] == keys
        assert first[0].idle >= LONG > first[1].idle
        assert {(entry.consumer, entry.attempt) for entry in first} == {("one", 1)}

    async def test_a_consumer_that_holds_nothing_can_leave(self, rig: Rig) -> None:
        """It is deleted only when nothing is pending for it; those of crashed processes likewise."""
        await rig.produce(2)
        one, two = await members(rig, "one", "two")
        await two.read(1)
        [finished] = await one.read()  # a server of version 7.0 knows a consumer only once it was given something
        await one.leases.ack([lease_of(finished)])
        assert (await rig.streams.stream(NAME).groups())[0].consumers == 2
        await one.reader.leave(LONG)
        assert (await rig.streams.stream(NAME).groups())[0].consumers == 1
        await two.reader.leave(LONG)
        [state] = await rig.streams.stream(NAME).groups()
        assert (state.consumers, state.pending) == (1, 1)

    async def test_leaving_sweeps_consumers_of_crashed_processes(self, rig: Rig) -> None:
        """Another consumer that was not heard of for long goes too, unless something is pending for it."""
        await rig.produce(1)
        one, two, three = await members(rig, "one", "two", "three")
        await one.read()
        await two.read()
        await three.read()
        await three.reader.leave(timedelta(0))
        [state] = await rig.streams.stream(NAME).groups()
        assert (state.consumers, state.pending) == (1, 1)

    async def test_a_consumer_that_left_can_come_back(self, rig: Rig) -> None:
        """Reading again makes it anew."""
        [one] = await members(rig, "one")
        await one.read()
        await one.reader.leave(LONG)
        await rig.produce(1)
        assert numbers(await one.read()) == [0]

    async def test_a_missing_group_is_an_error_of_its_own(self, rig: Rig) -> None:
        """Reading, claiming and recovering raise it; leases of a vanished group are simply lost."""
        [key] = await rig.produce(1)
        [one] = await members(rig, "one")
        [delivery] = await one.read()
        await rig.remove_group()
        with pytest.raises(GroupMissing, match=GROUP):
            await one.read()
        with pytest.raises(GroupMissing):
            await one.claim()
        with pytest.raises(GroupMissing):
            await one.reader.recover(())
        with pytest.raises(GroupMissing):
            await admin(rig).pending(None, 10)
        assert await one.leases.ack([lease_of(delivery)]) == frozenset({key})
        assert await one.leases.begin_attempt(lease_of(delivery)) is None
        await one.reader.leave(LONG)

    async def test_a_group_that_vanishes_under_a_waiting_read_is_told_at_once(self, rig: Rig) -> None:
        """With the whole stream; made anew from the beginning, the group misses nothing."""
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

    async def test_a_group_made_anew_has_forgotten_old_failures(self, rig: Rig) -> None:
        """Attempts begin at one again, and so do their notes."""
        await rig.produce(1)
        [one] = await members(rig, "one")
        [delivery] = await one.read()
        await one.leases.record_failure(lease_of(delivery))
        await rig.remove_group()
        await one.reader.ensure("beginning")
        await one.read()
        [again] = await one.reader.recover(())
        assert (again.attempt, again.failures) == (1, 0)

    async def test_many_consumers_share_without_loss_or_twins(self, rig: Rig) -> None:
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
        """And closing twice is no error."""
        await rig.streams.check()
        await rig.streams.close()
        await rig.streams.close()
