"""What every stream must do, whatever keeps it. Each implementation runs this suite with its own rig."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from datetime import timedelta

from event_backbone.errors import StreamError
from event_backbone.model import EventKey, HashWrite, NewDeadLetter, StreamName, new_event_id
from event_backbone.stream import Delivery, GroupAdmin, GroupState, Lease, Look, NewEntry, Streams

NAME = StreamName.of("shipments", "test")
GROUP = "billing"
NO_WAIT = timedelta(0)
SECOND = timedelta(seconds=1)
LEASE = timedelta(seconds=30)
HOLD = timedelta(seconds=10)
LETTER = NewDeadLetter("rejected", "no such customer", "LookupError", ("shop/a.py:1 in é", "b.py:2 in <lambda>"))
_LARGEST_BATCH = 256
_BETWEEN_LOOKS = timedelta(seconds=2)


class Rig(ABC):
    """One implementation, and what an administrator or the passage of time does to it."""

    streams: Streams

    @abstractmethod
    async def pass_time(self, by: timedelta) -> None:
        """Let this much time pass without anybody looking; a negative time puts the server's clock back."""

    @abstractmethod
    async def rows(self) -> Mapping[str, int]:
        """Return when each member's lease ends: in milliseconds of a clock that ``pass_time`` moves."""

    @abstractmethod
    async def remove_rows(self) -> None:
        """Delete all rows."""

    @abstractmethod
    async def set_due(self, key: EventKey, after: timedelta | None) -> None:
        """Set or (None) delete the due time of an entry, whichever member has it."""

    @abstractmethod
    async def set_note(self, key: EventKey, note: str) -> None:
        """Write a note of an entry's attempts, as "failures/failed attempt/ends alone/marked attempt"."""

    @abstractmethod
    async def has_note(self, key: EventKey) -> bool:
        """Return whether anything is noted of an entry's attempts."""

    @abstractmethod
    async def remove_pending(self, key: EventKey) -> None:
        """Ack an entry by the server's own command."""

    @abstractmethod
    async def hash_at(self, purpose: str) -> Mapping[str, bytes]:
        """Return the hash that was written with an entry."""

    @abstractmethod
    async def kept_follow_ups(self) -> set[EventKey]:
        """Return the entries of whose follow-up events something is kept."""

    @abstractmethod
    async def keys_of_group(self) -> list[str]:
        """Return what is kept of the group beside the stream."""

    @abstractmethod
    async def remove_entry(self, key: EventKey) -> None:
        """Delete an entry, wherever it is pending."""

    @abstractmethod
    async def remove_stream(self) -> None:
        """Delete the stream and with it its groups."""

    @abstractmethod
    async def remove_group(self) -> None:
        """Delete the group."""

    async def produce(self, count: int) -> list[EventKey]:
        """Append this many entries, whose metadata are b"0", b"1" and so on, in batches like the producer's."""
        stream, entries = self.streams.stream(NAME), [new_entry(str(number)) for number in range(count)]
        batches = [entries[first : first + _LARGEST_BATCH] for first in range(0, count, _LARGEST_BATCH)]
        return [key for batch in batches for key in keys_of(await stream.append(batch))]

    async def state(self) -> GroupState:
        """Return the state of the only group."""
        [state] = await self.streams.stream(NAME).groups()
        return state


class Member:
    """One member of the group: its reader and its leases."""

    def __init__(self, rig: Rig, name: str, lease: timedelta = LEASE) -> None:
        """Join under this name."""
        self.reader = rig.streams.group_reader(NAME, GROUP, name)
        self.leases = rig.streams.group_leases(NAME, GROUP, name)
        self.lease = lease

    async def read(self, count: int = 10) -> Sequence[Delivery]:
        """Read what is there."""
        return await self.reader.read(count, NO_WAIT)

    async def look(self, limit: int = 100) -> Look:
        """Renew the row and take over up to ``limit`` entries."""
        return await self.reader.look(self.lease, limit)

    async def take(self, limit: int = 100) -> Sequence[Delivery]:
        """Look, and return only what was taken over."""
        return (await self.look(limit)).deliveries


def new_entry(metadata: str = "m", *writes: HashWrite) -> NewEntry:
    """Return an entry with a new event id."""
    return NewEntry(new_event_id(), metadata.encode(), writes)


def keys_of(answers: Sequence[EventKey | StreamError]) -> list[EventKey]:
    """Return the keys; fail when one answer is an error."""
    keys = [answer for answer in answers if isinstance(answer, EventKey)]
    assert len(keys) == len(answers), answers
    return keys


def lease_of(delivery: Delivery) -> Lease:
    """Return the lease that comes with a delivery."""
    return Lease(delivery.entry.key, delivery.attempt)


def leases_of(deliveries: Sequence[Delivery]) -> list[Lease]:
    """Return the leases that come with deliveries."""
    return [lease_of(delivery) for delivery in deliveries]


def numbers(deliveries: Sequence[Delivery]) -> list[int]:
    """Return which of the produced entries were delivered."""
    return [int(delivery.entry.fields[b"metadata"]) for delivery in deliveries]


def admin(rig: Rig) -> GroupAdmin:
    """Return the group's administration."""
    return rig.streams.group_admin(NAME, GROUP)


async def members(rig: Rig, *names: str) -> list[Member]:
    """Create the group, from the beginning, and let these members join it."""
    joined = [Member(rig, name) for name in names]
    await joined[0].reader.ensure("beginning")
    return joined


async def settled(rig: Rig, *names: str) -> list[Member]:
    """Let these members join and look until the hold of the group's first look is over."""
    joined = await members(rig, *names)
    for member in joined:
        await member.look(0)
    await time_passes(rig, HOLD + SECOND, *joined)
    return joined


async def time_passes(rig: Rig, by: timedelta, *living: Member) -> None:
    """Let time pass while these members look, often enough for the group not to hold; they take nothing."""
    while by > NO_WAIT:
        step = min(by, _BETWEEN_LOOKS)
        by -= step
        await rig.pass_time(step)
        for member in living:
            await member.look(0)


async def leave_to(old: Member, new: Member) -> Sequence[Delivery]:
    """Let a member leave with what is pending under its name, and another one take it."""
    await old.reader.leave()
    return await new.take()
