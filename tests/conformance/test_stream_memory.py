"""The stream in memory passes the suite of all streams."""

import time
from collections.abc import Mapping
from datetime import timedelta

import pytest

from event_backbone.errors import EventIdExpired
from event_backbone.model import EventKey
from event_backbone.stream.memory import MemoryStreams
from event_backbone.stream.memory.log import Membership, Note
from tests.conformance.stream_append import AppendSuite
from tests.conformance.stream_dead_letters import DeadLetterSuite
from tests.conformance.stream_follow_ups import FollowUpSuite
from tests.conformance.stream_groups import GroupSuite
from tests.conformance.stream_inline import InlineSuite
from tests.conformance.stream_leases import LeaseSuite
from tests.conformance.stream_looks import LookSuite
from tests.conformance.stream_marks import MarkSuite
from tests.conformance.stream_moves import MoveSuite
from tests.conformance.stream_rows import RowSuite
from tests.conformance.stream_states import StateSuite
from tests.conformance.stream_suite import (
    GROUP,
    LETTER,
    NAME,
    NO_WAIT,
    SECOND,
    Rig,
    lease_of,
    members,
    new_entry,
    numbers,
)


class MemoryRig(Rig):
    """Time passes only when the test lets it."""

    def __init__(self) -> None:
        """Begin with no streams."""
        self.now = time.time()
        self.memory = MemoryStreams(wall=lambda: self.now)
        self.streams = self.memory

    async def pass_time(self, by: timedelta) -> None:
        """Move the clock."""
        self.now += by.total_seconds()

    async def rows(self) -> Mapping[str, int]:
        """Return when each member's lease ends."""
        return dict(self._kept.rows)

    async def remove_rows(self) -> None:
        """Delete all rows."""
        self._kept.rows.clear()

    async def set_due(self, key: EventKey, after: timedelta | None) -> None:
        """Set or (None) delete the due time of an entry, whichever member has it."""
        if after is None:
            del self._kept.due[key]
        else:
            self._kept.due[key] = int((self.now + after.total_seconds()) * 1000)

    async def set_note(self, key: EventKey, note: str) -> None:
        """Write a note of an entry's attempts."""
        failures, failed_attempt, ends_alone, marked_attempt = map(int, note.split("/"))
        self._kept.notes[key] = Note(failures, failed_attempt, ends_alone, marked_attempt)

    async def has_note(self, key: EventKey) -> bool:
        """Return whether anything is noted of an entry's attempts."""
        return key in self._kept.notes

    async def remove_pending(self, key: EventKey) -> None:
        """End an entry for the group, and nothing else."""
        del self.memory.log(NAME).group(GROUP).pending[key]

    async def hash_at(self, purpose: str) -> Mapping[str, bytes]:
        """Return the hash that was written with an entry."""
        return self.memory.hashes(NAME).get(purpose, {})

    async def kept_follow_ups(self) -> set[EventKey]:
        """Return the entries of whose follow-up events something is kept."""
        return set(self._kept.follow_ups)

    async def keys_of_group(self) -> list[str]:
        """Return what is kept of the group."""
        log = self.memory.log(NAME)
        return [GROUP for kept in (log.memberships, log.dead) if GROUP in kept]

    async def remove_entry(self, key: EventKey) -> None:
        """Delete an entry, wherever it is pending."""
        self.memory.remove_entry(NAME, key)

    async def remove_stream(self) -> None:
        """Delete the stream and with it its groups."""
        self.memory.remove_stream(NAME)

    async def remove_group(self) -> None:
        """Delete the group."""
        self.memory.remove_group(NAME, GROUP)

    @property
    def _kept(self) -> Membership:
        return self.memory.log(NAME).membership(GROUP)


@pytest.fixture
def rig() -> MemoryRig:
    """The implementation under test."""
    return MemoryRig()


class TestMemoryAppend(AppendSuite):
    """Appending and reading without a group."""


class TestMemoryInline(InlineSuite):
    """Payloads in entries, and erasing them."""


class TestMemoryGroups(GroupSuite):
    """Reading by consumer groups."""


class TestMemoryLooks(LookSuite):
    """What a look takes over."""


class TestMemoryRows(RowSuite):
    """Rows, holds and clocks."""


class TestMemoryLeases(LeaseSuite):
    """Acting on what was delivered."""


class TestMemoryMarks(MarkSuite):
    """Ends while running alone."""


class TestMemoryDeadLetters(DeadLetterSuite):
    """What a group dead-letters."""


class TestMemoryStates(StateSuite):
    """How far a group is."""


class TestMemoryMoves(MoveSuite):
    """Moving and deleting a group."""


class TestMemoryFollowUps(FollowUpSuite):
    """What is produced once."""


async def test_nothing_is_noted_of_what_is_finished(rig: MemoryRig) -> None:
    """However it ended: notes would otherwise grow forever."""
    keys = await rig.produce(3)
    one, two = await members(rig, "one", "two")
    for delivery in await one.read():
        await one.leases.park(lease_of(delivery), NO_WAIT)
    await rig.remove_entry(keys[0])
    acked, given_up = await two.take()
    await two.leases.ack([lease_of(acked)])
    await two.leases.dead_letter(lease_of(given_up), LETTER)
    assert rig.memory.log(NAME).membership(GROUP).notes == {}


async def test_a_due_time_is_exact(rig: MemoryRig) -> None:
    """With the test's clock there is no tolerance: not a millisecond before, and then at once."""
    await rig.produce(1)
    one, two = await members(rig, "one", "two")
    [delivery] = await one.read()
    rig.now = 1_764_000_000.0
    await one.leases.park(lease_of(delivery), SECOND)
    rig.now += 0.998
    assert list(await two.take()) == []
    rig.now += 0.002
    assert numbers(await two.take()) == [0]


async def test_event_ids_are_forgotten_without_waiting(rig: MemoryRig) -> None:
    """The same clock dates entries and forgets event ids."""
    entry = new_entry()
    await rig.streams.stream(NAME).append([entry])
    rig.now = (entry.event_id.int >> 80) / 1000 + 602
    [answer] = await rig.streams.stream(NAME).append([entry])
    assert isinstance(answer, EventIdExpired)
