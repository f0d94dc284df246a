"""Reads a stream page by page, and its archive where the stream has gaps: one ordered history, each event once."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Callable, Collection, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from event_backbone import telemetry
from event_backbone.backoff import Backoff, Delays
from event_backbone.contract import EventOf
from event_backbone.contract.stored_event import is_event
from event_backbone.errors import StorageMissing, StorageUnavailable, StreamUnavailable
from event_backbone.model import EventKey, Metadata, OriginFilter, check_origin, is_of_origin
from event_backbone.stream.base import Stream
from event_backbone.stream.values import Entry

if TYPE_CHECKING:
    from event_backbone.archive.cold_reads import ColdPage
    from event_backbone.archive.gap import Gap

T = TypeVar("T")

Wanted = Collection[EventOf[Any, ...]] | Callable[[Metadata], bool] | None
"""The events of a contract that are wanted, or what decides by their metadata; None means all of any contract."""

_WAIT = timedelta(seconds=1)
_BACKOFF = Backoff(first=timedelta(milliseconds=50), longest=timedelta(seconds=1), jitter=0)

_log = logging.getLogger("event_backbone")


class Loading(Protocol[T]):
    """Makes of entries, and of archived events, what a scan gives out; of the wanted events among them."""

    async def read(self, entries: Sequence[Entry], wanted: Wanted, most_bytes: int | None, /) -> tuple[list[T], int]:
        """Return what there is of these entries, and of how many of them: all, or as many as ``most_bytes`` allows."""
        ...

    async def read_archived(self, page: ColdPage, wanted: Wanted, /) -> list[T]:
        """Return what there is of these archived events."""
        ...


class ColdPages(Protocol):
    """Reads a stream together with what fills its gaps; ``ColdReads`` does so from the archive."""

    async def page(self, after: EventKey, stop: EventKey | None, count: int) -> tuple[Sequence[Entry], Gap | None]:
        """Return up to ``count`` entries of the stream after this key, and the gap after which they may come."""
        ...

    def pages(self, after: EventKey, stop: EventKey | None, gap: Gap) -> AsyncGenerator[ColdPage, None]:
        """Yield the events after this key, before ``stop`` and in the gap, in order."""
        ...


class Scan(Generic[T]):
    """Reads on from a position. What raised may be called again: nothing is left out, nothing comes twice."""

    def __init__(
        self,
        stream: Stream,
        cold: ColdPages | None,
        loading: Loading[T],
        *,
        position: EventKey,
        stop: EventKey | None,
        wanted: Wanted,
        follow: bool,
        page: int = 100,
        page_bytes: int | None = None,
    ) -> None:
        """Begin after ``position``; without ``follow``, end before ``stop`` or after the newest event.

        At most ``page`` entries are read at once. With ``page_bytes``, the payloads of a page from the stream are not
        larger together, unless one alone is.
        """
        self._stream = stream
        self._cold = cold
        self._loading = loading
        self._position = position
        self._stop = stop
        self._wanted = wanted
        self._follow = follow
        self._page = page
        self._page_bytes = page_bytes
        self._archived: AsyncGenerator[ColdPage, None] | None = None
        self._filled: Gap | None = None  # the gap for which the archive has been read to its end
        self._filling: Gap | None = None
        self._read_all = False

    @property
    def position(self) -> EventKey:
        """Up to where it has read: no wanted event after this key was returned, and all before it were."""
        return self._position

    @property
    def at_end(self) -> bool:
        """Whether the last page was, when it was read, the last there is."""
        return self._read_all and self._archived is None

    async def next_page(self) -> list[T] | None:
        """Return the wanted events of the next page, perhaps none; None at the end.

        With ``follow`` it waits up to a second for new events instead.
        """
        if self._archived is not None:
            return await self._next_archived()
        if self._read_all and not self._follow:
            return None
        wait = self._read_all
        entries = await self._stream.after(self._position, self._page, _WAIT) if wait else ()
        if self._cold is None:
            if not wait:
                entries = await self._stream.range(self._position.successor(), self._stop, self._page)
        else:
            if wait and not entries:
                return []
            entries, gap = await self._cold.page(self._position, self._stop, self._page)
            if gap is not None and gap != self._filled:
                self._archived, self._filling = self._cold.pages(self._position, self._stop, gap), gap
                return []
        found, count = await self._loading.read(entries, self._wanted, self._page_bytes)
        self._read_all = count == len(entries) < self._page
        self._position = entries[count - 1].key if count else self._position
        return found

    async def next_page_after_outages(self) -> list[T] | None:
        """Return the same, and wait for outages to end. Nothing is missed meanwhile, as it keeps its position."""
        delays = Delays(_BACKOFF)
        while True:
            try:
                return await self.next_page()
            except StorageMissing:
                raise
            except (StreamUnavailable, StorageUnavailable) as error:
                name = self._stream.name
                telemetry.outages.add(1, {"uri": name.uri, "side": "reader"})
                _log.warning("Cannot read stream %s at the moment; it will be retried: %s", name.key, error)
                await delays.wait()

    async def close(self) -> None:
        """End what is being read ahead. May be called twice."""
        archived, self._archived = self._archived, None
        if archived is not None:
            await archived.aclose()

    async def _next_archived(self) -> list[T]:
        archived = self._archived
        try:
            page = None if archived is None else await anext(archived, None)
            if page is None:
                self._archived, self._filled = None, self._filling
                return []
            found = await self._loading.read_archived(page, self._wanted)
        except BaseException:
            await self.close()
            raise
        self._position = page.events[-1].key
        return found


def wanted_of(events: Collection[EventOf[Any, ...]] | None, origin: OriginFilter) -> Wanted:
    """Return which events are wanted; raise ConfigurationError if the origin is not valid."""
    check_origin(origin)
    if origin == "any":
        return events
    return lambda metadata: is_of_origin(metadata.origin, origin) and is_wanted(metadata, events)


def is_wanted(metadata: Metadata, wanted: Wanted) -> bool:
    """Return whether an event is wanted."""
    if callable(wanted):
        return wanted(metadata)
    return wanted is None or any(is_event(metadata, event) for event in wanted)
