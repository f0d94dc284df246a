"""What an archiver reads ahead."""

from collections.abc import Sequence

import pytest
from redis.asyncio import Redis

from event_backbone.archive.pacing import Pacing
from event_backbone.archive.pages_ahead import PAGE, PagesAhead
from event_backbone.connection import RedisConnection
from event_backbone.model import EventKey
from event_backbone.stream.redis.archive_notes import ArchiveNotes
from event_backbone.stream.values import Entry
from tests.conformance.stream_suite import NAME
from tests.support.eventually import eventually

FIRST, SECOND = EventKey(PAGE), EventKey(2 * PAGE)


class CountedNotes(ArchiveNotes):
    """Counts the pages that were read."""

    pages_read = 0

    async def page(
        self, after: EventKey, end: EventKey | None, count: int
    ) -> tuple[Sequence[Entry], EventKey | None, bool]:
        """Read, and count."""
        found = await super().page(after, end, count)
        self.pages_read += 1
        return found


@pytest.mark.parametrize(
    ("after", "again", "expected"), [(FIRST, False, True), (FIRST, True, False), (FIRST.successor(), False, False)]
)
async def test_a_page_that_was_read_ahead_is_given_only_to_whoever_may_have_it(
    connection: RedisConnection, after: EventKey, *, again: bool, expected: bool, redis: Redis
) -> None:
    """To who goes on after the page before it, and does not ask to read again: Redis may have lost it meanwhile."""
    pipeline = redis.pipeline()
    for number in range(1, 2 * PAGE + 1):
        pipeline.xadd(NAME.key, {"a": "b"}, id=f"{number}-0")
    await pipeline.execute()
    notes = CountedNotes(connection, NAME)
    pages = PagesAhead(notes, Pacing())
    try:
        entries, _ = await pages.page(EventKey(0), again=False)
        assert (len(entries), entries[-1].key) == (PAGE, FIRST)
        await eventually(lambda: notes.pages_read == 2)
        await connection.command("XDEL", NAME.key, SECOND.entry_id)
        entries, _ = await pages.page(after, again=again)
        assert (entries[-1].key == SECOND) is expected
    finally:
        pages.drop()
