"""How dead letters are chosen by their age, and read in pages: in memory, with a clock that the test moves."""

import time
from collections.abc import Sequence
from datetime import timedelta

import pytest

from event_backbone.dead_letters import DeadLetters
from event_backbone.errors import ConfigurationError
from event_backbone.model import NewDeadLetter, StreamName
from event_backbone.storage import StorageScope
from event_backbone.stream.memory import MemoryStreams
from event_backbone.stream.memory.admin import MemoryGroupAdmin
from event_backbone.stream.values import DeadLetter

NAME, GROUP = StreamName.of("shipments", "test"), "billing"
HOUR = timedelta(hours=1)


class CountingStreams(MemoryStreams):
    """Counts the pages of dead letters that are read, and adds dead letters at any time."""

    def __init__(self) -> None:
        """Begin now, with a group."""
        self.now, self.pages = time.time(), 0
        super().__init__(wall=lambda: self.now)

    def group_admin(self, name: StreamName, group: str) -> MemoryGroupAdmin:
        """Count what this one reads."""
        admin = super().group_admin(name, group)
        read = admin.dead_letters

        async def dead_letters(after: str | None, count: int) -> Sequence[DeadLetter]:
            self.pages += 1
            return await read(after, count)

        admin.dead_letters = dead_letters  # type: ignore[method-assign]
        return admin

    def fail(self, count: int, *, hours_ago: float) -> None:
        """Add this many dead letters."""
        self.now = time.time() - hours_ago * 3600
        for _ in range(count):
            key = self.log(NAME).add({b"hello": b"world"})
            self.log(NAME).add_dead_letter(GROUP, key, NewDeadLetter("undecodable", "", "DecodeError"), 1)
        self.now = time.time()


@pytest.fixture
def streams() -> CountingStreams:
    """Streams without dead letters."""
    return CountingStreams()


@pytest.fixture
def letters(streams: CountingStreams) -> DeadLetters:
    """The dead letters of the group."""
    return DeadLetters(streams, StorageScope(NAME), GROUP, {})


async def test_an_age_chooses_a_part_of_the_night(letters: DeadLetters, streams: CountingStreams) -> None:
    """Both bounds may be given; a page outside them is not read."""
    for hours, count in ((9, 1), (7, 20), (5, 300), (1, 4000)):
        streams.fail(count, hours_ago=hours)
    assert await letters.discard_all(dry_run=True, older_than=6 * HOUR) == 21
    assert await letters.discard_all(dry_run=True, newer_than=6 * HOUR) == 4300
    streams.pages = 0
    assert await letters.discard_all(older_than=4 * HOUR, newer_than=8 * HOUR) == 320
    assert streams.pages == 1
    (left,) = await letters.counts()
    assert (left.dead_letters, round((left.last - left.first) / HOUR)) == (4001, 8)
    assert await letters.discard_all(dry_run=True, newer_than=1_000_000 * HOUR) == 4001  # before 1970


async def test_an_age_is_not_negative(letters: DeadLetters) -> None:
    """One sentence says so."""
    with pytest.raises(ConfigurationError, match="older_than and newer_than must not be negative"):
        await letters.discard_all(older_than=-HOUR)


async def test_what_comes_while_pages_are_read_is_left_for_the_next_time(
    letters: DeadLetters, streams: CountingStreams
) -> None:
    """So every bulk operation ends; a list that needs no more pages reads none."""
    streams.fail(2500, hours_ago=1)
    seen = 0
    async for _ in letters.list(None):
        seen += 1
        if seen % 100 == 0:
            streams.fail(100, hours_ago=0)
    assert seen == 2500
    streams.pages = 0
    assert len([each async for each in letters.list(10)]) == 10
    assert streams.pages == 1
    assert await letters.discard_all() == 5000
