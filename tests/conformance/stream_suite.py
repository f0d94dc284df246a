"""What every stream must do, whatever keeps it. Each implementation runs this suite with a rig of its own."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from datetime import timedelta

from event_backbone.errors import StreamError
from event_backbone.metadata import EventKey, HashWrite, StreamName, new_event_id
from event_backbone.stream import Delivery, GroupAdmin, Lease, NewDeadLetter, NewEntry, Streams

NAME = StreamName.of("shipments", "test")
GROUP = "billing"
NO_WAIT = timedelta(0)
LEASE = timedelta(seconds=30)
LETTER = NewDeadLetter("rejected", "no such customer", "LookupError")


class Rig(ABC):
    """One implementation, and what an administrator or the passing of time does to it."""

    streams: Streams

    @abstractmethod
    async def age(self, key: EventKey, by: timedelta) -> None:
        """Let a pending entry seem not to have been renewed for this long."""

    @abstractmethod
    async def hash_at(self, purpose: str) -> Mapping[str, bytes]:
        """Return the hash that was written with an entry."""

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
        """Append so many entries, whose metadata are b"0", b"1" and so on."""
        return keys_of(await self.streams.stream(NAME).append([new_entry(str(number)) for number in range(count)]))


class Member:
    """One consumer of the group: its reader and its leases."""

    def __init__(self, rig: Rig, consumer: str) -> None:
        """Join under this name."""
        self.reader = rig.streams.group_reader(NAME, GROUP, consumer)
        self.leases = rig.streams.group_leases(NAME, GROUP, consumer)

    async def read(self, count: int = 10) -> Sequence[Delivery]:
        """Read what is there."""
        return await self.reader.read(count, NO_WAIT)

    async def claim(self, count: int = 10) -> Sequence[Delivery]:
        """Claim what nobody has renewed for a lease."""
        return (await self.reader.claim(count, LEASE, ())).deliveries


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


def numbers(deliveries: Sequence[Delivery]) -> list[int]:
    """Return which of the produced entries were delivered."""
    return [int(delivery.entry.fields[b"metadata"]) for delivery in deliveries]


def admin(rig: Rig) -> GroupAdmin:
    """Return the group's administration."""
    return rig.streams.group_admin(NAME, GROUP)


async def members(rig: Rig, *consumers: str) -> list[Member]:
    """Make the group, from the beginning, and let these consumers join it."""
    joined = [Member(rig, consumer) for consumer in consumers]
    await joined[0].reader.ensure("beginning")
    return joined
