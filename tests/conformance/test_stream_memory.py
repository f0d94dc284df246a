"""The stream in memory passes the suite of all streams."""

import time
from collections.abc import Mapping
from datetime import timedelta

import pytest

from event_backbone.metadata import EventKey
from event_backbone.stream.memory import MemoryStreams
from tests.conformance.stream_append import AppendSuite
from tests.conformance.stream_groups import GroupSuite
from tests.conformance.stream_leases import LeaseSuite
from tests.conformance.stream_suite import GROUP, NAME, Rig


class MemoryRig(Rig):
    """Ages one pending entry by moving the moment of its last renewal."""

    def __init__(self) -> None:
        """Begin with no streams."""
        self.memory = MemoryStreams()
        self.streams = self.memory

    async def age(self, key: EventKey, by: timedelta) -> None:
        """Let a pending entry seem not to have been renewed for this long."""
        self.memory.log(NAME).groups[GROUP].pending[key].renewed_at -= by.total_seconds()

    async def hash_at(self, purpose: str) -> Mapping[str, bytes]:
        """Return the hash that was written with an entry."""
        return self.memory.hashes(NAME).get(purpose, {})

    async def remove_entry(self, key: EventKey) -> None:
        """Delete an entry, wherever it is pending."""
        self.memory.remove_entry(NAME, key)

    async def remove_stream(self) -> None:
        """Delete the stream and with it its groups."""
        self.memory.remove_stream(NAME)

    async def remove_group(self) -> None:
        """Delete the group."""
        self.memory.remove_group(NAME, GROUP)


@pytest.fixture
def rig() -> Rig:
    """The implementation under test."""
    return MemoryRig()


class TestMemoryAppend(AppendSuite):
    """Appending and reading without a group."""


class TestMemoryGroups(GroupSuite):
    """Reading by consumer groups."""


class TestMemoryLeases(LeaseSuite):
    """Acting on what was delivered."""


async def test_time_is_injected_not_waited_for() -> None:
    """With clocks of one's own, leases end and event ids are forgotten without waiting."""
    from event_backbone.errors import EventIdExpired
    from tests.conformance.stream_suite import new_entry

    now = time.time()
    streams = MemoryStreams(wall=lambda: now, monotonic=lambda: now)
    entry, reader = new_entry(), streams.group_reader(NAME, GROUP, "one")
    await streams.stream(NAME).append([entry])
    await reader.ensure("beginning")
    await reader.read(1, timedelta(0))
    now += 30
    assert len((await reader.claim(1, timedelta(seconds=30), ())).deliveries) == 1
    now = (entry.event_id.int >> 80) / 1000 + 602
    [answer] = await streams.stream(NAME).append([entry])
    assert isinstance(answer, EventIdExpired)
