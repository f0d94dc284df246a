"""How far each group of a stream is: what it has unread, pending and parked, and since when."""

from collections.abc import Sequence
from datetime import timedelta

import pytest

from event_backbone.model import EventKey
from event_backbone.stream import GroupState
from tests.conformance.stream_suite import GROUP, NAME, NO_WAIT, SECOND, Rig, lease_of, leases_of, members

AT_MOST = timedelta(seconds=30)


async def state_of(rig: Rig, group: str) -> GroupState:
    """Return the state of a group, whether it exists or not."""
    (state,) = [each for each in await rig.streams.stream(NAME).groups([group]) if each.name == group]
    return state


class StateSuite:
    """Runs on every implementation."""

    async def test_the_backlog_is_what_needs_a_consumer_now(self, rig: Rig) -> None:
        """Unread, in flight, or parked and due; what waits for a later attempt does not count, nor what is finished."""
        keys = await rig.produce(4)
        [one] = await members(rig, "one")
        done, failed, _ = await one.read(3)
        await one.leases.ack([lease_of(done)])
        await one.leases.park(lease_of(failed), 10 * SECOND)
        state = await rig.state()
        assert (state.unread, state.pending, state.parked, state.due, state.in_flight) == (1, 2, 1, 0, 1)
        assert (state.backlog, state.exists, state.consumers) == (2, True, 1)
        await rig.pass_time(11 * SECOND)
        state = await rig.state()
        assert (state.parked, state.due, state.backlog, state.last_delivered) == (1, 1, 3, keys[2])

    async def test_the_oldest_entries_have_an_age(self, rig: Rig) -> None:
        """By the server's clock; None where there is nothing."""
        await rig.produce(1)
        [one] = await members(rig, "one")
        assert (await rig.state()).oldest_pending is None
        deliveries = await one.read()
        assert (await rig.state()).oldest_unread is None
        await rig.produce(1)
        state = await rig.state()
        assert state.oldest_unread is not None
        assert state.oldest_pending is not None
        assert NO_WAIT <= state.oldest_unread <= state.oldest_pending < AT_MOST
        await one.leases.ack(leases_of([*deliveries, *await one.read()]))
        state = await rig.state()
        assert (state.oldest_unread, state.oldest_pending, state.backlog) == (None, None, 0)

    async def test_what_is_finished_between_two_states_is_counted(self, rig: Rig) -> None:
        """Whatever was appended or delivered meanwhile."""
        await rig.produce(3)
        [one] = await members(rig, "one")
        before, deliveries = await rig.state(), await one.read()
        await rig.produce(2)
        assert (await rig.state()).finished == before.finished
        await one.leases.ack(leases_of(deliveries[:2]))
        assert (await rig.state()).finished == before.finished + 2

    async def test_a_group_that_does_not_exist_has_read_nothing(self, rig: Rig) -> None:
        """It is returned when it is expected, once, after those that exist, also before there is a stream."""
        stream = rig.streams.stream(NAME)
        empty = await state_of(rig, "later")
        assert (empty.exists, empty.unread, empty.backlog, empty.oldest_unread) == (False, 0, 0, None)
        await rig.produce(2)
        await members(rig, "one")
        first, later = await stream.groups(["later", GROUP, "later"])
        assert (first.name, first.exists, later.name, later.exists) == (GROUP, True, "later", False)
        assert (later.unread, later.pending, later.consumers, later.last_delivered) == (2, 0, 0, EventKey(0))
        assert later.oldest_unread == first.oldest_unread is not None
        assert [each.name for each in await stream.groups()] == [GROUP]

    @pytest.mark.parametrize(
        ("produced", "begins", "removed", "unread"),
        [
            (10, 4, (), 6),
            (10, 4, (0, 1, 5, 9), 4),
            (10, 0, range(10), 0),
            (1200, 1100, (0, 1150), 99),
            (1200, 50, (0, 1150), 1149),
            (3500, 1200, (2000, 3499), 2298),
        ],
        ids=["begins-late", "removed-ahead", "all-removed", "near-the-end", "near-the-beginning", "in-the-middle"],
    )
    async def test_what_is_unread_is_known_wherever_a_group_begins_and_whatever_is_deleted(
        self, rig: Rig, produced: int, begins: int, removed: Sequence[int], unread: int
    ) -> None:
        """Redis and Valkey lose count of it then."""
        keys = await rig.produce(produced)
        reader = rig.streams.group_reader(NAME, GROUP, "one")
        await reader.ensure(keys[begins])
        for each in removed:
            await rig.remove_entry(keys[each])
        state, missing = await rig.streams.stream(NAME).groups(["missing"])
        assert (state.unread, state.oldest_unread is None) == (unread, unread == 0)
        assert missing.unread == produced - len(removed)
        (roughly,) = await rig.streams.stream(NAME).groups(most_counted=1)
        assert unread <= roughly.unread <= produced
        assert (roughly.unread == 0) == (unread == 0)
        await reader.read(unread // 2 + 1, NO_WAIT)
        state = await rig.state()
        assert state.unread == max(0, unread - unread // 2 - 1)
