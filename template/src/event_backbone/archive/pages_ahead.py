"""Reads a stream page by page, the next page while one is worked on."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from event_backbone.archive.pacing import Pacing
from event_backbone.model import EventKey
from event_backbone.stream.values import Entry

if TYPE_CHECKING:
    from event_backbone.stream.redis.archive_notes import ArchiveNotes

PAGE = 1000

_Page = tuple[Sequence[Entry], EventKey | None, bool]


class PagesAhead:
    """Pages of one stream, for an archiver."""

    def __init__(self, notes: ArchiveNotes, pacing: Pacing) -> None:
        """Read nothing yet."""
        self._notes = notes
        self._pacing = pacing
        self._after: EventKey | None = None
        self._reading: asyncio.Task[_Page] | None = None

    async def page(self, after: EventKey, *, again: bool) -> tuple[Sequence[Entry], bool]:
        """Return up to ``PAGE`` entries after this key, and whether the archive's notes exist.

        What was read ahead may be older than a failover. Unless the caller would notice that, as it has earlier entries
        and looks for them, it reads ``again``. Raises StreamUnavailable.
        """
        if again or after != self._after:
            self.drop()
        reading = self._reading or self._begin(after)
        self._reading = None
        entries, _, exists = await reading
        if len(entries) == PAGE:
            self._begin(entries[-1].key)
        return entries, exists

    def drop(self) -> None:
        """Forget what was read ahead."""
        if self._reading is not None:
            self._reading.cancel()
        self._reading = None

    def _begin(self, after: EventKey) -> asyncio.Task[_Page]:
        self._after = after
        self._reading = asyncio.create_task(self._pacing.measured(partial(self._notes.page, after, None, PAGE)))
        self._reading.add_done_callback(_retrieve)
        return self._reading


def _retrieve(task: asyncio.Task[_Page]) -> None:
    """Take note of what nobody waits for any more."""
    if not task.cancelled():
        task.exception()
