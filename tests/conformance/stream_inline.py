"""Entries that contain their payload, and what is left of them when they are erased."""

from event_backbone.model import EventKey, new_event_id
from event_backbone.stream import NewEntry
from event_backbone.stream.values import Comparison
from tests.conformance.stream_suite import (
    LETTER,
    NAME,
    NO_WAIT,
    Rig,
    admin,
    keys_of,
    lease_of,
    leases_of,
    members,
    numbers,
    settled,
)

PAYLOAD = {"user": b'{"name":"\xc3\xa9"}', "raw": bytes(range(256)), "empty": b""}


def inline_entry() -> NewEntry:
    """Return an entry with its payload."""
    return NewEntry(new_event_id(), b"0", inline=PAYLOAD)


class InlineSuite:
    """Runs on every implementation."""

    async def test_an_inline_payload_is_fields_of_its_entry(self, rig: Rig) -> None:
        """One for each argument, byte for byte, beside entries without; a repeated append changes nothing."""
        stream, inline = rig.streams.stream(NAME), inline_entry()
        keys = keys_of(await stream.append([inline, NewEntry(new_event_id(), b"1")]))
        assert keys_of(await stream.append([inline])) == keys[:1]
        entries = await stream.range(None, None, 10)
        payload = {f"arg:{name}".encode(): value for name, value in PAYLOAD.items()}
        assert entries[0].fields == {b"wire": b"1", b"metadata": b"0", **payload}
        assert entries[1].fields == {b"wire": b"1", b"metadata": b"1"}

    async def test_an_erased_entry_is_gone_and_known_as_erased(self, rig: Rig) -> None:
        """Once: a second time there is nothing to erase. A producer that repeats its call does not bring it back."""
        stream, inline = rig.streams.stream(NAME), inline_entry()
        [key, other] = keys_of(await stream.append([inline, inline_entry()]))
        assert (await stream.erase(key), await stream.erase(key)) == (True, False)
        assert await stream.erase(EventKey(1)) is False
        assert await stream.erased([key, other, EventKey(1)]) == {key}
        assert await stream.erased([]) == frozenset()
        assert keys_of(await stream.append([inline])) == [key]
        assert [entry.key for entry in await stream.range(None, None, 10)] == [other]

    async def test_an_erased_entry_is_not_taken_for_a_lost_one(self, rig: Rig) -> None:
        """Whether it is due, left behind or unknown to its member: it is reported once, and is no longer pending."""
        keys = await rig.produce(5)
        one, dead = await settled(rig, "one", "dead")
        [unknown] = await one.read(1)
        for delivery in (await dead.read())[:2]:
            await dead.leases.park(lease_of(delivery), NO_WAIT)
        for key in (keys[0], keys[1], keys[3]):
            await rig.streams.stream(NAME).erase(key)
        await rig.remove_entry(keys[2])
        await dead.reader.leave()
        assert await one.reader.compare([]) == Comparison(erased=(unknown.entry.key,))
        look = await one.look()
        assert (numbers(look.deliveries), look.vanished, look.erased) == ([4], (keys[2],), (keys[1], keys[3]))
        assert await one.reader.compare(leases_of(look.deliveries)) == Comparison()
        assert [entry.key for entry in await admin(rig).pending(None, 10)] == [keys[4]]
        assert (await rig.state()).parked == 0

    async def test_who_has_an_erased_entry_in_flight_may_finish_it(self, rig: Rig) -> None:
        """By an ack; what fails instead is not tried again."""
        keys = await rig.produce(3)
        [one] = await members(rig, "one")
        acked, parked, given_back = leases_of(await one.read())
        for key in keys:
            await rig.streams.stream(NAME).erase(key)
        assert await one.leases.ack([acked]) == frozenset()
        assert await one.leases.park(parked, NO_WAIT) == "erased"
        assert await one.leases.park(given_back, NO_WAIT, failed=False) == "erased"
        assert list(await admin(rig).pending(None, 10)) == []
        assert (await rig.state()).parked == 0

    async def test_a_dead_letter_has_no_inline_payload(self, rig: Rig) -> None:
        """So nothing is left of it when the entry is erased; until then it is redriven with its payload."""
        stream = rig.streams.stream(NAME)
        [key] = keys_of(await stream.append([inline_entry()]))
        [one] = await members(rig, "one")
        [delivery] = await one.read()
        await one.leases.dead_letter(lease_of(delivery), LETTER)
        [letter] = await admin(rig).dead_letters(None, 10)
        assert letter.entry.fields == {b"wire": b"1", b"metadata": b"0"}
        assert list(await admin(rig).redrive([letter])) == ["redriven"]
        [delivery] = await one.take()
        assert delivery.entry == await stream.get(key)
        await one.leases.dead_letter(lease_of(delivery), LETTER)
        await stream.erase(key)
        [letter] = await admin(rig).dead_letters(None, 10)
        assert list(await admin(rig).redrive([letter])) == ["not-found"]
