"""What a group keeps of the events that the handlers of an entry produce once, and finding such an event later."""

from datetime import timedelta
from uuid import UUID

from event_backbone.model import EventKey, FollowUp, KeptFollowUp, NewDeadLetter, new_event_id
from event_backbone.stream import Lease, NewEntry
from event_backbone.wire import MetadataMembers, write_metadata
from tests.conformance.stream_suite import (
    LETTER,
    NAME,
    NO_WAIT,
    Member,
    Rig,
    admin,
    keys_of,
    lease_of,
    leases_of,
    leave_to,
    members,
    settled,
)

FOLLOW_UP = FollowUp("billing", "invoiced", "first")
LIKE_IT = (
    FollowUp("bill", "ing", "first"),
    FollowUp("billing", "invoiced", "fir"),
    FollowUp("billing", "voiced", "first"),
)
KEY = EventKey(7, 1, 2)


async def reserved(member: Member, lease: Lease, follow_up: FollowUp = FOLLOW_UP) -> KeptFollowUp:
    """Reserve a new event id, and return what is kept."""
    kept = await member.leases.reserve_follow_up(lease, follow_up, new_event_id())
    assert kept is not None
    return kept


class FollowUpSuite:
    """Runs on every implementation."""

    async def test_the_first_reserved_id_is_kept_through_every_attempt(self, rig: Rig) -> None:
        """After a failure, a release and a crash as well, and for whichever member."""
        await rig.produce(1)
        one, two = await settled(rig, "one", "two")
        [delivery] = await one.read()
        first = await reserved(one, lease_of(delivery))
        assert await reserved(one, lease_of(delivery)) == first
        await one.leases.park(lease_of(delivery), NO_WAIT)
        [delivery] = await one.take()
        await one.leases.release([lease_of(delivery)])
        [delivery] = await one.take()
        [delivery] = await leave_to(one, two)
        assert await reserved(two, lease_of(delivery)) == first == KeptFollowUp(first.event_id, None)

    async def test_entries_and_follow_ups_are_kept_apart(self, rig: Rig) -> None:
        """By entry, URI, event and label; similar names are not mixed up, in whatever order they are kept."""
        await rig.produce(2)
        [one] = await members(rig, "one")
        leases = leases_of(await one.read())
        ids = {
            (lease, follow_up): (await reserved(one, lease, follow_up)).event_id
            for follow_up in (FOLLOW_UP, *LIKE_IT, FollowUp("billing", "invoiced", "zweites-%d$\\n(é)"))
            for lease in leases
        }
        assert len(set(ids.values())) == len(ids) == 10
        for (lease, follow_up), event_id in ids.items():
            await one.leases.note_follow_up(lease.key, follow_up, event_id, KEY)
            assert await reserved(one, lease, follow_up) == KeptFollowUp(event_id, KEY)
        assert {(await reserved(one, *each)).event_id for each in ids} == set(ids.values())

    async def test_only_the_holder_of_the_lease_reserves(self, rig: Rig) -> None:
        """Neither a former attempt, nor a former holder, nor anybody after the ack, nor without the group."""
        await rig.produce(1)
        one, two = await settled(rig, "one", "two")
        [old] = leases_of(await one.read())
        [delivery] = await leave_to(one, two)
        lease = lease_of(delivery)
        assert await one.leases.reserve_follow_up(old, FOLLOW_UP, new_event_id()) is None
        assert await two.leases.reserve_follow_up(old, FOLLOW_UP, new_event_id()) is None
        await two.leases.ack([lease])
        assert await two.leases.reserve_follow_up(lease, FOLLOW_UP, new_event_id()) is None
        await rig.remove_group()
        assert await two.leases.reserve_follow_up(lease, FOLLOW_UP, new_event_id()) is None
        assert await rig.kept_follow_ups() == set()

    async def test_a_key_is_noted_only_for_the_id_that_is_kept(self, rig: Rig) -> None:
        """Also by a member that has lost the lease; once the entry is finished, nothing is kept again."""
        [key] = await rig.produce(1)
        one, two = await settled(rig, "one", "two")
        [old] = leases_of(await one.read())
        kept = await reserved(one, old)
        [delivery] = await leave_to(one, two)
        await one.leases.note_follow_up(key, FOLLOW_UP, new_event_id(), EventKey(9))
        assert await reserved(two, lease_of(delivery)) == kept
        await one.leases.note_follow_up(key, FOLLOW_UP, kept.event_id, KEY)
        assert await reserved(two, lease_of(delivery)) == KeptFollowUp(kept.event_id, KEY)
        await two.leases.ack([lease_of(delivery)])
        await two.leases.note_follow_up(key, FOLLOW_UP, kept.event_id, KEY)
        assert await rig.kept_follow_ups() == set()

    async def test_an_id_is_replaced_by_one_that_knows_it(self, rig: Rig) -> None:
        """Unless its key is noted. Whoever comes second with the same reason gets the new id."""
        [key] = await rig.produce(1)
        [one] = await members(rig, "one")
        [lease] = leases_of(await one.read())
        first = await reserved(one, lease)
        other, second = new_event_id(), new_event_id()
        replace = one.leases.reserve_follow_up
        assert await replace(lease, FOLLOW_UP, second, instead_of=other) == first
        assert await replace(lease, FOLLOW_UP, second, instead_of=first.event_id) == KeptFollowUp(second)
        assert await replace(lease, FOLLOW_UP, other, instead_of=first.event_id) == KeptFollowUp(second)
        await one.leases.note_follow_up(key, FOLLOW_UP, second, KEY)
        assert await replace(lease, FOLLOW_UP, other, instead_of=second) == KeptFollowUp(second, KEY)

    async def test_what_is_kept_goes_with_the_end_of_the_entry(self, rig: Rig) -> None:
        """Acked, or gone from the stream and then parked, released, compared or taken over; the others' stays."""
        keys = await rig.produce(6)
        one, two = await settled(rig, "one", "two")
        acked, parked, released, compared, taken, stays = leases = leases_of(await one.read())
        for lease in leases:
            await reserved(one, lease)
        assert await rig.kept_follow_ups() == set(keys)
        for lease in (parked, released, compared, taken):
            await rig.remove_entry(lease.key)
        await one.leases.ack([acked])
        await one.leases.park(parked, NO_WAIT)
        await one.leases.release([released])
        assert (await one.reader.compare([taken, stays])).vanished == (compared.key,)
        assert await rig.kept_follow_ups() == {taken.key, stays.key}
        await one.reader.leave()
        assert (await two.look()).vanished == (taken.key,)
        assert await rig.kept_follow_ups() == {stays.key}

    async def test_dead_letters_and_redrives_keep_it(self, rig: Rig) -> None:
        """A redriven event knows what it has produced; its ack ends that, and so does discarding the dead letter."""
        [key] = await rig.produce(1)
        one, two = await members(rig, "one", "two")
        [delivery] = await one.read()
        kept = await reserved(one, lease_of(delivery))
        await one.leases.note_follow_up(key, FOLLOW_UP, kept.event_id, KEY)
        await one.leases.dead_letter(lease_of(delivery), NewDeadLetter("attempts-exhausted", "", ""))
        [letter] = await admin(rig).dead_letters(None, 10)
        assert await admin(rig).redrive([letter]) == ["redriven"]
        [again] = await two.take()
        assert await reserved(two, lease_of(again)) == KeptFollowUp(kept.event_id, KEY)
        await two.leases.dead_letter(lease_of(again), NewDeadLetter("attempts-exhausted", "", ""))
        assert await rig.kept_follow_ups() == {key}
        assert await admin(rig).discard(await admin(rig).dead_letters(None, 10)) == 1
        assert await rig.kept_follow_ups() == set()

    async def test_a_new_group_of_the_same_name_knows_nothing(self, rig: Rig) -> None:
        """Whatever was pending or a dead letter before: it handles every event again, and produces again."""
        await rig.produce(2)
        [one] = await members(rig, "one")
        _, lease = leases_of(await one.read())
        kept = await reserved(one, lease)
        await one.leases.dead_letter(lease, LETTER)
        await rig.remove_group()
        assert await one.reader.ensure("beginning") is True
        assert await rig.kept_follow_ups() == set()
        again = (await one.read())[-1]
        assert (await reserved(one, lease_of(again))).event_id != kept.event_id

    async def test_an_entry_is_found_by_its_event_id(self, rig: Rig) -> None:
        """Wherever it is among others, also when its producer's clock was ahead; an id that only caused one is not."""
        stream = rig.streams.stream(NAME)
        await rig.produce(1500)
        ahead = new_event_id().int + (timedelta(minutes=9) // timedelta(milliseconds=1) << 80)
        ids = [UUID(int=ahead), new_event_id(), new_event_id()]
        entries = [NewEntry(each, _metadata(each, str(ids[2]))) for each in ids[:2]]
        keys = keys_of(await stream.append(entries))
        await rig.produce(10)
        assert [await stream.find(each) for each in ids] == [*keys, None]


def _metadata(event_id: UUID, causation_id: str) -> bytes:
    """Return metadata as a producer writes it."""
    members = MetadataMembers(event_id, str(event_id), "invoiced", 1, 0, None, causation_id, None, {})
    return write_metadata(members, '["redis-hash"]', 0)
