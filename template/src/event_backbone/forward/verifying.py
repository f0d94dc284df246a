"""Compares both sides of a link: each event of the source once in the target, in order, and the same."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from event_backbone.errors import PayloadErased, StorageError
from event_backbone.forward.link import Link
from event_backbone.forward.payloads import Side, load_payloads
from event_backbone.forward.source import SourceEvent, SourceLoading, id_of
from event_backbone.forward.verify_report import VerifyReport
from event_backbone.model import EventKey, Payload
from event_backbone.scanning import Scan
from event_backbone.stream.base import Stream
from event_backbone.wire import payload_to_json
from event_backbone.wire.origin import ORIGIN_MEMBER

_PAGE = 200
_MOST_CANDIDATES = 100_000
_BEGINNING = EventKey(0)

Loaded = tuple[SourceEvent, Payload | StorageError]


class Verifying:
    """Compares once. Holds a page of each side, and the ids of up to 100,000 events that may be missing."""

    def __init__(self, link: Link, source: tuple[Stream, Side], target: tuple[Stream, Side], until: EventKey) -> None:
        """Compare what ``link`` has forwarded from ``source`` to ``target``, up to this key of the source."""
        self._link = link
        self._source, self._source_side = source
        self._target, self._target_side = target
        self._report = VerifyReport(link.name, until)
        self._complete_from = _BEGINNING
        self._begins: EventKey | None = None
        self._candidates: dict[str, EventKey] = {}
        self._extra: dict[str, EventKey] = {}

    async def run(self) -> VerifyReport:
        """Compare, and return what was found. Raises what reading either side does."""
        if self._source_side.cold is None:
            self._complete_from = await self._source.complete_from() or _BEGINNING
        until = self._report.checkpoint.successor()
        source = self._loaded(self._source, self._source_side, until)
        target = self._loaded(self._target, self._target_side, None)
        async with aclosing(source) as ours, aclosing(target) as theirs:
            await self._merge(ours, theirs)
        if self._candidates:
            await self._search_candidates()
        for key in sorted(self._extra.values()):
            self._report.extra.add(key)
        return self._report

    async def _merge(self, ours: AsyncGenerator[Loaded, None], theirs: AsyncGenerator[Loaded, None]) -> None:
        """Go through both sides at the same time, by the keys of the source."""
        event = await self._next_wanted(ours)
        last: EventKey | None = None
        async for copy in theirs:
            key = self._link.key_of(copy[0].members.get(ORIGIN_MEMBER))
            if key is None or key > self._report.checkpoint:
                continue
            if last is not None and key <= last:
                self._report.duplicates.add(key)
                continue
            last = key
            while event is not None and event[0].key < key:
                self._is_missing(event)
                event = await self._next_wanted(ours)
            if event is not None and event[0].key == key:
                self._compare(event, copy)
                event = await self._next_wanted(ours)
            elif key < self._complete_from or await self._source.erased([key]):
                self._report.unchecked += 1
            else:
                self._is_extra(copy[0], key)
        while event is not None:
            self._is_missing(event)
            event = await self._next_wanted(ours)

    async def _next_wanted(self, ours: AsyncGenerator[Loaded, None]) -> Loaded | None:
        async for event in ours:
            if self._link.skips(event[0].members) is None:
                return event
        return None

    def _is_missing(self, event: Loaded) -> None:
        """Note an event that the link has not brought: nothing is wrong if it had no payload, or came another way."""
        if isinstance(event[1], StorageError):
            return
        if len(self._candidates) < _MOST_CANDIDATES:
            self._candidates[id_of(event[0])] = event[0].key
        else:
            self._report.missing.add(event[0].key)

    def _is_extra(self, copy: SourceEvent, key: EventKey) -> None:
        """Note an event that the source does not have under this key."""
        if len(self._extra) < _MOST_CANDIDATES and id_of(copy) not in self._extra:
            self._extra[id_of(copy)] = key
        else:
            self._report.extra.add(key)

    async def _search_candidates(self) -> None:
        """Look for the events that are not there by the link among all others."""
        async with aclosing(self._pages(self._target, self._target_side, None)) as pages:
            async for page in pages:
                for event in page:
                    if self._candidates.pop(id_of(event), None) is not None:
                        self._report.other_way += 1
                        self._extra.pop(id_of(event), None)  # the source has it under another key since a restore
        for key in sorted(self._candidates.values()):
            self._report.missing.add(key)

    def _compare(self, event: Loaded, copy: Loaded) -> None:
        (ours, content), (theirs, copied) = event, copy
        hops = [*(ours.members.get(ORIGIN_MEMBER) or ()), self._link.hop(ours.key)]
        expected = {**_without_payload(ours.members), ORIGIN_MEMBER: hops}
        if expected == _without_payload(theirs.members) and _is_same_payload(content, copied):
            self._report.equal += 1
        else:
            self._report.differing.add(ours.key)

    async def _loaded(self, stream: Stream, side: Side, stop: EventKey | None) -> AsyncGenerator[Loaded, None]:
        async with aclosing(self._pages(stream, side, stop)) as pages:
            async for page in pages:
                contents = await load_payloads(side, page)
                for event, content in zip(page, contents, strict=True):
                    yield event, content

    async def _pages(
        self, stream: Stream, side: Side, stop: EventKey | None
    ) -> AsyncGenerator[list[SourceEvent], None]:
        loading = SourceLoading()
        scan = Scan(stream, side.cold, loading, position=_BEGINNING, stop=stop, wanted=None, follow=False, page=_PAGE)
        try:
            while (page := await scan.next_page()) is not None:
                yield page
        finally:
            await scan.close()


def _without_payload(members: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in members.items() if name != "payload"}


def _is_same_payload(ours: Payload | StorageError, theirs: Payload | StorageError) -> bool:
    if isinstance(ours, StorageError) or isinstance(theirs, StorageError):
        # What was erased in one place since should be erased in the other one, too.
        return isinstance(ours, StorageError) and isinstance(ours, PayloadErased) == isinstance(theirs, PayloadErased)
    return dict(ours) == dict(theirs) or payload_to_json(ours) == payload_to_json(theirs)
