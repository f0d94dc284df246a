"""Moving a group to another place in its stream, and deleting it."""

import pytest

from event_backbone.errors import GroupMissing
from event_backbone.model import EventKey, new_event_id
from event_backbone.stream.values import GroupDeletion
from tests.conformance.stream_follow_ups import FOLLOW_UP
from tests.conformance.stream_suite import (
    LETTER,
    NAME,
    SECOND,
    Rig,
    admin,
    lease_of,
    leases_of,
    numbers,
    settled,
    time_passes,
)


class MoveSuite:
    """Runs on every implementation."""

    async def test_a_group_that_moves_back_reads_again_from_there(self, rig: Rig) -> None:
        """Whatever became of the events after its new place; as attempt 1, with nothing noted. Before it, all stays."""
        keys = await rig.produce(6)
        one, two = await settled(rig, "one", "two")
        first, second, third, fourth, fifth, sixth = await one.read()
        place = ("a.py:1 in f", "b/c.py:2 in g")
        await one.leases.park(lease_of(second), SECOND * 100, error="LookupError", place=place)
        await one.leases.park(lease_of(fourth), SECOND * 100)
        await one.leases.reserve_follow_up(lease_of(fifth), FOLLOW_UP, new_event_id())
        await one.leases.ack(leases_of([third, sixth]))
        assert await admin(rig).count(EventKey(0), keys[-1]) == 6
        moved = await admin(rig).move(keys[2])
        assert (moved.left, moved.came_again, moved.vanished) == (keys[5], 2, 0)
        state = await rig.state()
        assert (state.last_delivered, state.pending, state.parked, state.unread) == (keys[2], 2, 1, 3)
        assert await rig.kept_follow_ups() == set()
        [_, parked] = await admin(rig).pending(None, 10)
        assert (parked.failures, parked.error, parked.place) == (1, "LookupError", place)
        assert (await rig.has_note(keys[1]), await rig.has_note(keys[3])) == (True, False)
        assert await one.leases.ack([lease_of(fifth)]) == {keys[4]}
        look = await one.look()
        assert (look.row_ended, look.parked) == (True, 1)
        comparison = await one.reader.compare(leases_of([first, fifth]))
        assert comparison.lost == {keys[4]}
        assert not comparison.deliveries
        again = await two.read()
        assert numbers(again) == [3, 4, 5]
        assert {(each.attempt, each.failures, each.ends_alone) for each in again} == {(1, 0, 0)}
        assert await one.leases.ack([lease_of(first)]) == frozenset()

    async def test_what_living_members_have_before_the_new_place_stays_with_them(self, rig: Rig) -> None:
        """Their rows are ended so that they compare, and others wait until they have; a dead member's is taken then."""
        keys = await rig.produce(4)
        one, two, dead = await settled(rig, "one", "two", "dead")
        [left], [kept, _] = await dead.read(1), await one.read(2)
        await admin(rig).move(keys[1])
        assert not await two.take()
        assert (await one.look(0)).row_ended
        await time_passes(rig, SECOND * 12, one, two)
        assert [each.entry.key for each in await two.take()] == [left.entry.key]
        assert await one.leases.ack([lease_of(kept)]) == frozenset()

    async def test_a_group_that_moves_forward_skips_what_lies_between(self, rig: Rig) -> None:
        """What it was given before stays with whoever has it, whose row does not end."""
        keys = await rig.produce(5)
        [one] = await settled(rig, "one")
        [has] = await one.read(1)
        moved = await admin(rig).move(keys[3])
        assert (moved.left, moved.came_again) == (keys[0], 0)
        state = await rig.state()
        assert (state.last_delivered, state.pending, state.unread) == (keys[3], 1, 1)
        assert (state.skipped_after, state.skipped_until) == (keys[0], keys[3])
        assert not (await one.look()).row_ended
        assert numbers(await one.read()) == [4]
        assert await one.leases.ack([lease_of(has)]) == frozenset()
        for back, skipped in ((keys[2], (keys[0], keys[2])), (keys[0], (None, None))):
            await admin(rig).move(back)
            state = await rig.state()
            assert (state.skipped_after, state.skipped_until) == skipped

    async def test_what_has_left_the_stream_does_not_come_again(self, rig: Rig) -> None:
        """It is no longer pending either, and is counted."""
        keys = await rig.produce(3)
        [one] = await settled(rig, "one")
        await one.read()
        await rig.remove_entry(keys[1])
        moved = await admin(rig).move(EventKey(0))
        assert (moved.came_again, moved.vanished) == (2, 1)
        assert numbers(await one.read()) == [0, 2]

    async def test_far_more_than_one_step_can_give_up(self, rig: Rig) -> None:
        """All of it comes again."""
        keys = await rig.produce(3500)
        [one] = await settled(rig, "one")
        await one.read(3500)
        moved = await admin(rig).move(keys[99])
        state = await rig.state()
        assert (moved.came_again, state.pending, state.last_delivered) == (3400, 100, keys[99])
        assert numbers(await one.read(3500)) == list(range(100, 3500))

    async def test_a_missing_group_is_not_moved(self, rig: Rig) -> None:
        """Nor made."""
        await rig.produce(1)
        with pytest.raises(GroupMissing):
            await admin(rig).move(EventKey(0))

    async def test_a_deleted_group_leaves_nothing(self, rig: Rig) -> None:
        """Unless a member is alive, or it has dead letters that were to stay; a dry run only counts."""
        await rig.produce(4)
        one, two = await settled(rig, "one", "two")
        rejected, parked, *_ = await one.read()
        await one.leases.dead_letter(lease_of(rejected), LETTER)
        await one.leases.park(lease_of(parked), SECOND)
        there = GroupDeletion(exists=True, consumers=2, pending=3, parked=1, dead_letters=1)
        assert await admin(rig).delete(dead_letters=True) == there
        for member in (one, two):
            await member.reader.leave()
        stopped = GroupDeletion(exists=True, consumers=0, pending=3, parked=1, dead_letters=1)
        assert await admin(rig).delete(dead_letters=False) == stopped
        assert await admin(rig).delete(dead_letters=True, dry_run=True) == stopped
        assert (await rig.state()).pending == 3
        assert await admin(rig).delete(dead_letters=True) == stopped
        assert list(await rig.streams.stream(NAME).groups()) == []
        assert await rig.keys_of_group() == []
        nothing = GroupDeletion(exists=False, consumers=0, pending=0, parked=0, dead_letters=0)
        assert await admin(rig).delete(dead_letters=True) == nothing
