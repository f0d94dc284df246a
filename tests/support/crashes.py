"""Members of a group that die, and others that take what they had."""

from collections.abc import Sequence
from datetime import timedelta

from event_backbone.model import StreamName
from event_backbone.stream.base import Streams
from event_backbone.stream.values import Delivery
from tests.support.eventually import eventually
from tests.support.parcels import GROUP, URI

STREAM = StreamName.of(URI, "test")
_LEASE = timedelta(milliseconds=200)
_LONG_LEASE = timedelta(minutes=1)
_MOST = 100


async def crash(streams: Streams, times: int) -> Sequence[Delivery]:
    """Deliver what the group has to members that die: to each of them everything, without a recorded failure.

    They are called crashed-0, crashed-1 and so on; the row of the last one has ended.
    """
    reader = streams.group_reader(STREAM, GROUP, "crashed-0")
    await reader.ensure("beginning")
    deliveries = await reader.read(_MOST, timedelta(0))
    await reader.leave()
    for number in range(1, times):
        deliveries = await crash_again(streams, f"crashed-{number}", len(deliveries))
    return deliveries


async def crash_again(streams: Streams, member: str, count: int) -> Sequence[Delivery]:
    """Let one more member take this many events of those that died before, and die."""
    reader = streams.group_reader(STREAM, GROUP, member)
    taken: list[Delivery] = []

    async def has_taken_all() -> bool:
        taken.extend((await reader.look(_LEASE, _MOST)).deliveries)
        return len(taken) == count

    await eventually(has_taken_all)
    await reader.leave()
    return taken


async def steal(streams: Streams) -> Sequence[Delivery]:
    """Take over, as member "thief", whatever is pending: end the rows of all others until its look gets there first."""
    thief = streams.group_reader(STREAM, GROUP, "thief")
    admin = streams.group_admin(STREAM, GROUP)
    stolen: list[Delivery] = []

    async def has_stolen_all() -> bool:
        holders = {entry.consumer for entry in await admin.pending(None, _MOST)} - {"thief"}
        for holder in holders:
            if holder is not None:
                await streams.group_reader(STREAM, GROUP, holder).leave()
        stolen.extend((await thief.look(_LONG_LEASE, _MOST)).deliveries)
        return {entry.consumer for entry in await admin.pending(None, _MOST)} == {"thief"}

    await eventually(has_stolen_all)
    return stolen
